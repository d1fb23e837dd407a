//! What workers did, added up by all of them in one item for each stretch of time.
//!
//! The items lie in the table of the predictions, under keys that no prediction has (`work#LENGTH#NUMBER`), and expire
//! after an hour. A worker adds its numbers once a stretch, so a stretch is one small item however many workers there
//! are, and whoever wants to know reads as much with a thousand workers as with one.
//!
//! Adding is not repeatable: a call that was done and not answered is counted twice when the SDK tries it again. That is an
//! error of a few percent in one stretch, and no record depends on it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_sdk_dynamodb::types::KeysAndAttributes;

use crate::AwsError;

/// What every key begins with, for the roles' conditions.
pub const WORK_PREFIX: &str = "work#";
/// How long an item is kept, in seconds: far longer than anybody averages over.
const RETENTION: u64 = 3600;
/// The most items in one call (BatchGetItem).
const MOST_ITEMS: usize = 100;
/// So often what a throttled table left out is asked for.
const MOST_ROUNDS: u32 = 5;
/// Before it is asked for once more; each time this much longer.
const PAUSE: Duration = Duration::from_millis(200);

/// What was done in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Messages that were finished.
    pub photos: u64,
    /// How often a slot was at work and done: with these photos, and with what is to be tried again or was asked for directly.
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
    client: Client,
    table: String,
    length: Duration,
}

impl WorkStore {
    /// In this table, in stretches of this length. Whoever adds and whoever reads have to agree on it.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>, length: Duration) -> Self {
        // Whole milliseconds, so that all reckon the same stretches.
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { client, table: table.into(), length: Duration::from_millis(millis) }
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
        let expires_at = self.end_of(stretch).as_secs() + RETENTION;
        self.client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", S(self.key(stretch)))
            .update_expression(
                "SET expires_at = :expires_at ADD photos :photos, turns :turns, busy_ms :busy, slots_ms :slots, workers_ms :workers",
            )
            .expression_attribute_values(":expires_at", N(expires_at.to_string()))
            .expression_attribute_values(":photos", N(work.photos.to_string()))
            .expression_attribute_values(":turns", N(work.turns.to_string()))
            .expression_attribute_values(":busy", millis(work.busy))
            .expression_attribute_values(":slots", millis(work.slots))
            .expression_attribute_values(":workers", millis(work.workers))
            .send()
            .await
            .map_err(|error| {
                AwsError::new(format!("adding up the work of {} in {}", self.key(stretch), self.table), error)
            })?;
        Ok(())
    }

    /// What was done in these stretches, one for each, in their order; nothing where nobody added any.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn read(&self, stretches: std::ops::Range<u64>) -> Result<Vec<Work>, AwsError> {
        let tried = || format!("reading the workers' work in {}", self.table);
        let stretches: Vec<u64> = stretches.collect();
        let mut found: HashMap<String, Work> = HashMap::new();
        for some in stretches.chunks(MOST_ITEMS) {
            let mut rounds = 0;
            let mut asked = Some(some.iter().map(|stretch| self.key(*stretch)).collect::<Vec<_>>());
            while let Some(keys) = asked.take() {
                let keys = keys.into_iter().map(|key| HashMap::from([("prediction_id".to_owned(), S(key))]));
                let keys = KeysAndAttributes::builder()
                    .set_keys(Some(keys.collect()))
                    .build()
                    .map_err(|error| AwsError::unexpected(tried(), error))?;
                let answer = self.client.batch_get_item().request_items(&self.table, keys).send().await;
                let mut answer = answer.map_err(|error| AwsError::new(tried(), error))?;
                let items = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table)).unwrap_or_default();
                found.extend(
                    items
                        .iter()
                        .filter_map(|item| Some((item.get("prediction_id")?.as_s().ok()?.clone(), work_of(item)))),
                );
                let left = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.table));
                let key = |key: &HashMap<String, AttributeValue>| Some(key.get("prediction_id")?.as_s().ok()?.clone());
                let left: Vec<String> =
                    left.map(|left| left.keys().iter().filter_map(key).collect()).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                // The SDK does not retry these: the table is throttled.
                rounds += 1;
                if rounds == MOST_ROUNDS {
                    return Err(AwsError::unexpected(tried(), format!("{} items were throttled", left.len())));
                }
                tokio::time::sleep(PAUSE * rounds).await;
                asked = Some(left);
            }
        }
        Ok(stretches.iter().map(|stretch| found.get(&self.key(*stretch)).copied().unwrap_or_default()).collect())
    }

    fn key(&self, stretch: u64) -> String {
        format!("{WORK_PREFIX}{}#{stretch}", self.length.as_millis())
    }
}

fn millis(duration: Duration) -> AttributeValue {
    N(duration.as_millis().to_string())
}

fn work_of(item: &HashMap<String, AttributeValue>) -> Work {
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()?.parse().ok()).unwrap_or(0_u64);
    Work {
        photos: number("photos"),
        turns: number("turns"),
        busy: Duration::from_millis(number("busy_ms")),
        slots: Duration::from_millis(number("slots_ms")),
        workers: Duration::from_millis(number("workers_ms")),
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
