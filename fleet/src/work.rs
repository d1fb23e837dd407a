//! What workers did, added up by all of them in one item for each stretch of time.
//!
//! The items lie in the table of the predictions, under keys that no prediction has (`work#LENGTH#NUMBER`), and expire
//! after an hour. A worker adds its numbers once a stretch, so a stretch is one small item however many workers there
//! are, and a reader reads as much with a thousand workers as with one.
//!
//! Adding is not repeatable: a call that was done and not answered is counted twice when the SDK retries it. That is an
//! error of a few percent in one stretch, and no record depends on it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;

use crate::table::attribute::{BUSY, EXPIRES_AT, KEY, PHOTOS, SLOTS, TURNS, WORKERS};
use crate::table::{Item, Key, MOST_ITEMS, Table, UpdateExpression};
use crate::{AwsError, Timestamp};

/// What every key begins with, for the roles' conditions.
pub const WORK_PREFIX: &str = "work#";
/// How long an item is kept: far longer than any average is taken over.
const RETENTION: Duration = Duration::from_secs(3600);
/// So often what a throttled table left out is asked for.
const MOST_ROUNDS: u32 = 5;
/// Before it is asked for once more; each time this much longer.
const PAUSE: Duration = Duration::from_millis(200);

/// What was done in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Messages that were finished.
    pub photos: u64,
    /// How often a slot was at work and done: with these photos, and with what is retried or was asked for directly.
    pub turns: u64,
    /// For how long slots (threads) were at work, all together.
    pub busy: Duration,
    /// For how long there were slots.
    pub slots: Duration,
    /// For how long there were workers.
    pub workers: Duration,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.photos += other.photos;
        self.turns += other.turns;
        self.busy += other.busy;
        self.slots += other.slots;
        self.workers += other.workers;
    }
}

/// Where work is added up.
#[derive(Clone, Debug)]
pub struct WorkStore {
    table: Table,
    length: Duration,
}

impl WorkStore {
    /// In this table, in stretches of this length. Writers and readers have to agree on it.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>, length: Duration) -> Self {
        // Whole milliseconds, so that all reckon the same stretches.
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { table: Table::new(client, table), length: Duration::from_millis(millis) }
    }

    /// How long a stretch is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The number of the stretch that this moment is in. They begin with the epoch and follow each other.
    #[must_use]
    pub fn stretch_at(&self, at: SystemTime) -> u64 {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis() / self.length.as_millis()).unwrap_or(u64::MAX)
    }

    /// When a stretch ends, since the epoch.
    #[must_use]
    pub fn end_of(&self, stretch: u64) -> Duration {
        let millis = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis.saturating_mul(stretch + 1))
    }

    /// Add what one worker did.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; it may have been added all the same.
    pub async fn add(&self, stretch: u64, work: &Work) -> Result<(), AwsError> {
        let added = UpdateExpression::new()
            .set(EXPIRES_AT, Timestamp::from_secs(0) + self.end_of(stretch) + RETENTION)
            .add(PHOTOS, work.photos)
            .add(TURNS, work.turns)
            .add(BUSY, work.busy)
            .add(SLOTS, work.slots)
            .add(WORKERS, work.workers);
        self.table.update("adding up the work of", &Key::Other(self.key(stretch)), &added).await?;
        Ok(())
    }

    /// What was done in these stretches, one for each, in their order; zero where no worker added any.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn read(&self, stretches: std::ops::Range<u64>) -> Result<Vec<Work>, AwsError> {
        let stretches: Vec<u64> = stretches.collect();
        let mut found: HashMap<String, Work> = HashMap::new();
        for some in stretches.chunks(MOST_ITEMS) {
            // Not an error that a library could retry: each round asks for what the one before left out, and keeps what it gave.
            let mut rounds = 0;
            let mut keys = some.iter().map(|stretch| self.key(*stretch)).collect::<Vec<_>>();
            while !keys.is_empty() {
                if rounds == MOST_ROUNDS {
                    let tried = "reading the workers' work";
                    return Err(AwsError::unexpected(tried, format!("{} items were throttled", keys.len())));
                }
                tokio::time::sleep(PAUSE * rounds).await;
                rounds += 1;
                let (items, left) = self.table.get_all(keys, &[], false).await?;
                found.extend(items.iter().filter_map(|item| Some((KEY.of(item)?, work_of(item)))));
                // The SDK does not retry these: the table is throttled.
                keys = left;
            }
        }
        Ok(stretches.iter().map(|stretch| found.get(&self.key(*stretch)).copied().unwrap_or_default()).collect())
    }

    fn key(&self, stretch: u64) -> String {
        format!("{WORK_PREFIX}{}#{stretch}", self.length.as_millis())
    }
}

fn work_of(item: &Item) -> Work {
    Work {
        photos: PHOTOS.of(item).unwrap_or_default(),
        turns: TURNS.of(item).unwrap_or_default(),
        busy: BUSY.of(item).unwrap_or_default(),
        slots: SLOTS.of(item).unwrap_or_default(),
        workers: WORKERS.of(item).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_each_other() {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version_latest().build();
        let store = WorkStore::new(Client::from_conf(config), "t", Duration::from_secs(10));
        let at = |millis| store.stretch_at(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!((at(0), at(9_999), at(10_000)), (0, 0, 1));
        assert_eq!(store.end_of(1), Duration::from_secs(20));
        assert_eq!(store.key(7), "work#10000#7");
    }
}
