//! Which Telegram updates are to be handled, and which were: each once, also when Telegram brings one again, to this instance or
//! another.
//!
//! What an update asks is kept in its item until it is done, so Telegram is told "ok" at once and everything else may take its
//! time: a file that does not come, a chat that may not be written to for an hour. Who handles it holds a lease; what failed
//! waits for its next try in the sparse index of the predictions, where the sweep finds it.
//!
//! Items lie in the table of the predictions, under keys that no prediction has (`update#…`), and expire: a day after they are
//! done, as Telegram gives up long before.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::AttributeValue::{Bool, N, S};
use aws_sdk_dynamodb::types::ReturnValue;
use fleet::predictions::UNDELIVERED_INDEX;
use fleet::{AwsError, Clock, prediction};
use uuid::Uuid;

use crate::incoming::Asked;
use crate::lease;

/// How long an update is remembered after it was handled, in seconds.
const RETENTION: i64 = 24 * 3600;
/// How long it is remembered what a message asked, in seconds: longer than people can change it.
const EDITABLE: i64 = 3 * RETENTION;
/// The value of the sparse index's key while an update is not handled.
const WAITING: &str = "update";
const UPDATE: &str = "update#";

/// Whether an update was new.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It is kept now, and leased to the caller.
    Now(Box<Entry>),
    /// It is kept, or was handled.
    Before,
    /// An instance of an older version is at it, which keeps nothing.
    Busy,
}

/// An update that is held.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The update's number.
    pub update_id: i64,
    /// The same at every try, so that what the last try left is found again.
    pub work_id: Uuid,
    /// What is asked.
    pub asked: Asked,
    /// Seconds since the epoch: held until then.
    pub leased_until: i64,
    /// Seconds since the epoch: when handling it failed first, if it did.
    pub since: Option<i64>,
    /// How often it was taken and not even put off: whoever held it died, perhaps of it.
    pub deaths: i64,
}

/// The record of updates.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    table: String,
    lease: i64,
}

impl Ledger {
    /// In the table of this name. An instance may take `lease` seconds for one update before another one may try it.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>, lease: i64) -> Self {
        Self { client, table: table.into(), lease }
    }

    /// How long handling an update may take.
    #[must_use]
    pub fn time(&self) -> Duration {
        lease::working_time(self.lease)
    }

    /// Keep a new update, and hold it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn take(&self, update_id: i64, asked: &Asked, now: i64) -> Result<Taken, AwsError> {
        let tried = || format!("taking update {update_id} in {}", self.table);
        let body = serde_json::to_string(asked).map_err(|error| AwsError::unexpected(tried(), error))?;
        let (work_id, leased_until) = (Uuid::now_v7(), now + self.lease);
        let taken = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", key(update_id))
            .update_expression(
                "SET asked = :asked, lease_until = :until, undelivered = :waiting, #time = :until, deaths = :one, \
                 expires_at = :expires, asker = :asker, chat_id = :chat, work_id = if_not_exists(work_id, :work)",
            )
            .condition_expression(
                "attribute_not_exists(handled) AND attribute_not_exists(asked) \
                 AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            )
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":asked", S(body))
            .expression_attribute_values(":until", number(leased_until))
            .expression_attribute_values(":waiting", S(WAITING.into()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":asker", number(asked.sender()))
            .expression_attribute_values(":chat", number(asked.chat_id()))
            .expression_attribute_values(":expires", number(now + prediction::RETENTION))
            .expression_attribute_values(":work", S(work_id.to_string()))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match AwsError::unless_condition_failed(taken, tried)? {
            Some(taken) => {
                let entry = taken.attributes().and_then(|item| entry(update_id, item));
                entry
                    .map(|entry| Taken::Now(Box::new(entry)))
                    .ok_or_else(|| AwsError::unexpected(tried(), "the item can't be read"))
            }
            None => {
                let item = self.item(&key(update_id)).await?;
                let is_kept = item.contains_key("handled") || item.contains_key("asked");
                Ok(if is_kept { Taken::Before } else { Taken::Busy })
            }
        }
    }

    /// Hold an update that is due.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn take_over(&self, update_id: i64, now: i64) -> Result<Option<Entry>, AwsError> {
        let tried = || format!("taking over update {update_id} in {}", self.table);
        let taken = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", key(update_id))
            .update_expression("SET lease_until = :until, #time = :until, deaths = deaths + :one")
            .condition_expression(
                "undelivered = :waiting AND #time <= :now AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            )
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":until", number(now + self.lease))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":waiting", S(WAITING.into()))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let Some(taken) = AwsError::unless_condition_failed(taken, tried)? else { return Ok(None) };
        let item = taken.attributes().cloned().unwrap_or_default();
        let entry = entry(update_id, &item);
        entry.map(Some).ok_or_else(|| AwsError::unexpected(tried(), "the item can't be read"))
    }

    /// Hold it anew, after it waited for others of its chat. Answers whether it was still held.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn hold(&self, entry: &mut Entry, now: i64) -> Result<bool, AwsError> {
        let until = now + self.lease;
        let is_held =
            self.change("holding", entry, "SET lease_until = :new, #time = :new", &[(":new", number(until))]).await?;
        entry.leased_until = until;
        Ok(is_held)
    }

    /// Updates that are due `now`: put off until then, or left behind. At most `limit`; from the sparse index.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn due(&self, now: i64, limit: i32) -> Result<Vec<i64>, AwsError> {
        let found = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNDELIVERED_INDEX)
            .key_condition_expression("undelivered = :waiting AND #time <= :now")
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":waiting", S(WAITING.into()))
            .expression_attribute_values(":now", number(now))
            .limit(limit)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("looking for updates that wait in {}", self.table), error))?;
        let ids = found.items().iter().filter_map(|item| item.get("prediction_id")?.as_s().ok());
        Ok(ids.filter_map(|id| id.strip_prefix(UPDATE)?.parse().ok()).collect())
    }

    /// The update was handled for good: what it asked is forgotten.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the update may be handled again.
    pub async fn end(&self, update_id: i64, clock: &Clock) -> Result<(), AwsError> {
        let write = || async {
            self.client
                .update_item()
                .table_name(&self.table)
                .key("prediction_id", key(update_id))
                .update_expression(
                    "SET handled = :true, expires_at = :expires \
                     REMOVE asked, asker, chat_id, lease_until, undelivered, #time, failing_since, deaths",
                )
                .expression_attribute_names("#time", "time")
                .expression_attribute_values(":true", Bool(true))
                .expression_attribute_values(":expires", number(clock.now() + RETENTION))
                .send()
                .await
                .map_err(|error| AwsError::new(format!("closing update {update_id} in {}", self.table), error))
        };
        lease::insist(clock, write, |error| tracing::warn!(%error, update_id, "not marked as handled yet")).await?;
        Ok(())
    }

    /// Handling it fails `since` then; it may be tried again at `after`, by anybody.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the next try then has to wait for the lease to end.
    pub async fn put_off(&self, entry: &Entry, since: i64, after: i64) -> Result<(), AwsError> {
        let update = "SET failing_since = :since, #time = :after, deaths = :none REMOVE lease_until";
        let values = [(":since", number(since)), (":after", number(after)), (":none", number(0))];
        self.change("putting off", entry, update, &values).await?;
        Ok(())
    }

    /// It was not begun; anybody may have it at once.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the next try then has to wait for the lease to end.
    pub async fn give_back(&self, entry: &Entry) -> Result<(), AwsError> {
        let update = "SET #time = :none, deaths = :none REMOVE lease_until";
        self.change("giving back", entry, update, &[(":none", number(0))]).await?;
        Ok(())
    }

    /// Remember what a message asks. Answers whether it asked something else, or nothing that is known, before.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn asks(
        &self,
        message: (i64, i32),
        words: Option<&str>,
        work_id: Uuid,
        now: i64,
    ) -> Result<bool, AwsError> {
        let (chat_id, message_id) = message;
        let tried = || format!("recording what message {message_id} of chat {chat_id} asks in {}", self.table);
        let mark = fingerprint(words);
        let written = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", S(format!("message#{chat_id}#{message_id}")))
            .update_expression("SET fingerprint = :mark, work_id = :work, expires_at = :expires")
            // The same work may come here twice.
            .condition_expression("attribute_not_exists(fingerprint) OR fingerprint <> :mark OR work_id = :work")
            .expression_attribute_values(":mark", S(mark))
            .expression_attribute_values(":work", S(work_id.to_string()))
            .expression_attribute_values(":expires", number(now + EDITABLE))
            .send()
            .await;
        Ok(AwsError::unless_condition_failed(written, tried)?.is_some())
    }

    /// Change an entry that is held. Answers whether it was.
    async fn change(
        &self,
        what: &str,
        entry: &Entry,
        update: &str,
        values: &[(&str, AttributeValue)],
    ) -> Result<bool, AwsError> {
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", key(entry.update_id))
            .update_expression(update)
            .condition_expression("lease_until = :until")
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":until", number(entry.leased_until));
        for (placeholder, value) in values {
            call = call.expression_attribute_values(*placeholder, value.clone());
        }
        let tried = || format!("{what} update {} in {}", entry.update_id, self.table);
        Ok(AwsError::unless_condition_failed(call.send().await, tried)?.is_some())
    }

    async fn item(&self, key: &AttributeValue) -> Result<HashMap<String, AttributeValue>, AwsError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("prediction_id", key.clone())
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("reading an update in {}", self.table), error))?;
        Ok(found.item.unwrap_or_default())
    }
}

fn entry(update_id: i64, item: &HashMap<String, AttributeValue>) -> Option<Entry> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()).and_then(|n| n.parse::<i64>().ok());
    Some(Entry {
        update_id,
        work_id: Uuid::parse_str(text("work_id")?).ok()?,
        asked: serde_json::from_str(text("asked")?).ok()?,
        leased_until: number("lease_until")?,
        since: number("failing_since"),
        deaths: number("deaths").unwrap_or_default(),
    })
}

/// What tells captions apart without keeping them.
fn fingerprint(words: Option<&str>) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(words.unwrap_or_default().trim()))
}

fn key(update_id: i64) -> AttributeValue {
    S(format!("{UPDATE}{update_id}"))
}

fn number(value: i64) -> AttributeValue {
    N(value.to_string())
}
