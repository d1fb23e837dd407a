//! Which Telegram updates are to be handled, and which were: each once, also when Telegram brings one again, to this instance or
//! another.
//!
//! What an update asks is kept in its item until it is done, so Telegram is told "ok" at once and everything else may take its
//! time: a file that does not come, a chat that may not be written to for an hour. Who handles it holds a lease; what failed
//! waits for its next try in the sparse index of the predictions, where the sweep finds it.
//!
//! Items lie in the table of the predictions, under keys that no prediction has (`update#…`), and expire: a day after they are
//! done, as Telegram gives up long before.

use std::time::Duration;

use fleet::table::attribute::{
    ASKED, ASKER, CHAT_ID, DEATHS, EXPIRES_AT, FAILING_SINCE, FINGERPRINT, FORGOTTEN, GONE_SINCE, HANDLED, LEASE_UNTIL,
    WORK_ID,
};
use fleet::table::update::{HANDLED_RETENTION, UpdateTransition};
use fleet::table::{Item, Key, Partition, Table, UpdateExpression, Written};
use fleet::{AwsError, Clock, Timestamp};
use uuid::Uuid;

use crate::answers;
use crate::incoming::{Asked, Incoming};

/// How long it is remembered what a message asked: longer than people can change it.
const EDITABLE: Duration = HANDLED_RETENTION.saturating_mul(3);

/// Whether an update was new.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Taken {
    /// It is kept now, and leased to the caller.
    Now(Box<Entry>),
    /// It is kept, or was handled.
    Before,
    /// An instance of an older version is at it, which keeps nothing.
    Busy,
}

/// An update that is held.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) update_id: i64,
    /// The same at every try, so that what the last try left is found again.
    pub(crate) work_id: Uuid,
    /// What is asked.
    pub(crate) asked: Asked,
    /// The end of the lease.
    pub(crate) held_until: Timestamp,
    /// When handling it failed first, if it did.
    pub(crate) first_failed_at: Option<Timestamp>,
    /// Since when Telegram does not give its file, if that is why it failed last.
    pub(crate) gone_since: Option<Timestamp>,
    /// How often it was begun and not even put off: whoever worked on it died, perhaps of it.
    pub(crate) deaths: i64,
}

/// The record of updates.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    table: Table,
    lease: Duration,
}

impl Ledger {
    /// In the table of this name. An instance may take `lease` for one update before another one may try it.
    #[must_use]
    pub(crate) fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>, lease: Duration) -> Self {
        Self { table: Table::new(client, table), lease }
    }

    /// How long handling an update may take.
    #[must_use]
    pub(crate) fn time(&self) -> Duration {
        answers::working_time(self.lease)
    }

    /// Keep a new update, and hold it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn take(&self, update_id: i64, asked: &Asked, now: Timestamp) -> Result<Taken, AwsError> {
        let key = Key::Update(update_id);
        let body = serde_json::to_string(asked).map_err(|error| self.table.unreadable(&key, error))?;
        let taken = UpdateTransition::Take {
            asked: &body,
            asker: asked.sender(),
            chat_id: asked.chat_id(),
            work_id: Uuid::now_v7(),
            now,
            until: now + self.lease,
        };
        match self.table.apply(&key, &taken).await? {
            Some(item) => Ok(Taken::Now(Box::new(self.entry(update_id, &item)?))),
            None => {
                let item = self.table.get(&key).await?.unwrap_or_default();
                let is_kept = HANDLED.is_in(&item) || ASKED.is_in(&item);
                Ok(if is_kept { Taken::Before } else { Taken::Busy })
            }
        }
    }

    /// Hold an update that is due.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn take_over(&self, update_id: i64, now: Timestamp) -> Result<Option<Entry>, AwsError> {
        let taken = UpdateTransition::TakeOver { now, until: now + self.lease };
        let taken = self.table.apply(&Key::Update(update_id), &taken).await?;
        taken.map(|item| self.entry(update_id, &item)).transpose()
    }

    /// Hold it anew, to work on it now: until it is deferred or ends that counts as a death. Answers whether it was still held.
    /// Insisted on: without it the update waits until its lease is over.
    ///
    /// # Errors
    /// [`AwsError`] of the last try.
    pub(crate) async fn begin(&self, entry: &mut Entry, clock: &Clock) -> Result<bool, AwsError> {
        let update_id = entry.update_id;
        let held = &*entry;
        let begun = || async {
            let (held_until, until) = (held.held_until, clock.now() + self.lease);
            let begun = UpdateTransition::Begin { held_until, until, deaths: held.deaths + 1 };
            Ok((self.change(held, &begun).await?, until))
        };
        let failed = |error: &AwsError| tracing::warn!(%error, update_id, "not begun yet");
        let (written, until) = answers::insist(clock, begun, failed).await?;
        entry.held_until = until;
        entry.deaths += 1;
        Ok(written == Written::Now)
    }

    /// Updates that are due `now`: put off until then, or left behind. At most `limit`; from the sparse index.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn due(&self, now: Timestamp, limit: i32) -> Result<Vec<i64>, AwsError> {
        let found = self.table.due(Partition::Update, now, limit).await?;
        Ok(found.iter().filter_map(|key| Key::update_id(key)).collect())
    }

    /// The update was handled for good: what it asked is forgotten.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the update may be handled again.
    pub(crate) async fn end(&self, update_id: i64, clock: &Clock) -> Result<(), AwsError> {
        let (key, ended) = (Key::Update(update_id), UpdateTransition::End { now: clock.now() });
        let write = || self.table.apply(&key, &ended);
        answers::insist(clock, write, |error| tracing::warn!(%error, update_id, "not marked as handled yet")).await?;
        Ok(())
    }

    /// Handling it failed first at `first_failed_at`, and since `gone_since` because Telegram does not give its file; anybody may try
    /// it again at `next_attempt_at`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the next try then has to wait for the lease to end.
    pub(crate) async fn defer(
        &self,
        entry: &Entry,
        first_failed_at: Timestamp,
        gone_since: Option<Timestamp>,
        next_attempt_at: Timestamp,
    ) -> Result<(), AwsError> {
        let deferred = UpdateTransition::Defer {
            held_until: entry.held_until,
            failing_since: first_failed_at,
            gone_since,
            next_attempt_at,
        };
        let (Written::Now | Written::NotAsExpected) = self.change(entry, &deferred).await?;
        Ok(())
    }

    /// It was not begun; anybody may have it at once.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the next try then has to wait for the lease to end.
    pub(crate) async fn give_back(&self, entry: &Entry) -> Result<(), AwsError> {
        let given_back = UpdateTransition::GiveBack { held_until: entry.held_until };
        let (Written::Now | Written::NotAsExpected) = self.change(entry, &given_back).await?;
        Ok(())
    }

    /// Remember what a message asks. Answers whether it asked something else, or nothing that is known, before; not if it is forgotten.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn asks(&self, incoming: &Incoming, work_id: Uuid, now: Timestamp) -> Result<bool, AwsError> {
        let &Incoming { chat_id, message_id, sender, .. } = incoming;
        let mark = fingerprint(incoming.words.as_deref());
        let remembered = UpdateExpression::new()
            .set(FINGERPRINT, mark.as_str())
            .set(WORK_ID, work_id)
            .set(ASKER, sender)
            .set(CHAT_ID, chat_id)
            .set(EXPIRES_AT, now + EDITABLE)
            // Its sender had it forgotten: what Telegram calls an edit then may be no more than a reaction.
            .when(FORGOTTEN.absent())
            // The same work may come here twice.
            .when(FINGERPRINT.absent().or(FINGERPRINT.is_not(mark.as_str())).or(WORK_ID.is(work_id)));
        let key = Key::Message { chat_id, message_id };
        Ok(self.table.update("recording what is asked by", &key, &remembered).await?.is_some())
    }

    async fn change(&self, entry: &Entry, transition: &UpdateTransition<'_>) -> Result<Written, AwsError> {
        Ok(self.table.apply(&Key::Update(entry.update_id), transition).await?.into())
    }

    fn entry(&self, update_id: i64, item: &Item) -> Result<Entry, AwsError> {
        let entry = || {
            Some(Entry {
                update_id,
                work_id: WORK_ID.of(item)?,
                asked: serde_json::from_str(&ASKED.of(item)?).ok()?,
                held_until: LEASE_UNTIL.of(item)?,
                first_failed_at: FAILING_SINCE.of(item),
                gone_since: GONE_SINCE.of(item),
                deaths: DEATHS.of(item).unwrap_or_default(),
            })
        };
        entry().ok_or_else(|| self.table.unreadable(&Key::Update(update_id), "what it asks is not known"))
    }
}

/// What tells captions apart without keeping them.
fn fingerprint(words: Option<&str>) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(words.unwrap_or_default().trim()))
}
