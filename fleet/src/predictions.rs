//! The records, over DynamoDB. Every write says what it expects to find: every step may run twice.
//!
//! The item is the [`Prediction`] itself, with two more attributes: `undelivered` (its value the status, present until
//! the user was told: the sparse index [`UNDELIVERED_INDEX`] holds just these, and dead letters and answers that were given up
//! under values of their own), and `lease_until` (who answers the user holds the record until then).

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{Bool, N, S};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue};
use serde::Deserialize;
use uuid::Uuid;

use crate::job::NOBODY;
use crate::prediction::RETENTION;
use crate::{AwsError, Label, Prediction, Status};

/// The sparse index of what no user was told yet: partition key `undelivered` (the status), sort key `time`.
pub const UNDELIVERED_INDEX: &str = "undelivered-index";

/// The index's partition of dead letters whose users were told.
const DEAD_LETTERS: &str = "dead-letter";
/// The index's partition of answers that could not be sent for so long that they are tried no more.
const UNDELIVERABLE: &str = "undeliverable";

/// What a finished job found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The S3 key of the annotated photo.
    pub predicted_img_path: String,
    /// What was found.
    pub labels: Vec<Label>,
    /// The model that found it.
    pub model: String,
}

/// How far a prediction is, without what it found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// The prediction.
    pub prediction_id: Uuid,
    /// How far it is.
    pub status: Status,
    /// Why it failed, in words for the user.
    #[serde(default)]
    pub failure: Option<String>,
    /// Seconds since the epoch: when the user was told.
    #[serde(default)]
    pub delivered_at: Option<i64>,
}

/// The most predictions that [`PredictionStore::standings`] looks at in one call.
pub const MOST_STANDINGS: usize = 100;

/// An item of the table that is about something that one person sent: a prediction, an album, an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// Its key.
    pub key: String,
    /// The S3 key of the photo, if it has one.
    pub original: Option<String>,
    /// The S3 key of what was made of it, if it has one.
    pub predicted: Option<String>,
    /// How far it is, if it is a prediction.
    pub status: Option<Status>,
    /// The predictions that are to come of an album, or have come.
    pub parts: Vec<Uuid>,
    /// The work that an update asks for, while it is to be done: the id of the prediction that may come of it.
    pub work: Option<Uuid>,
    /// The chat and the message of it, or of the first of an album.
    pub message: Option<(i64, i64)>,
    /// It is of an album, whose photos get their ids later than other work.
    pub is_part: bool,
    /// The chat and the message that says to wait for it, while somebody waits.
    pub status_message: Option<(i64, i32)>,
}

/// How long a tombstone is left, in seconds: longer than SQS keeps a job.
const TOMBSTONE: i64 = 15 * 24 * 3600;

/// Whether a conditional write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It did.
    Now,
    /// The record was not as expected, as when the same was done before.
    NotAsExpected,
}

impl<T> From<Option<T>> for Written {
    fn from(answer: Option<T>) -> Self {
        if answer.is_some() { Self::Now } else { Self::NotAsExpected }
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct PredictionStore {
    client: Client,
    table: String,
}

impl PredictionStore {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Record a new prediction, if there is none of its id.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn insert(&self, prediction: &Prediction) -> Result<Written, AwsError> {
        let tried = || self.tried("recording", prediction.prediction_id);
        let mut item: HashMap<String, AttributeValue> =
            serde_dynamo::to_item(prediction).map_err(|error| AwsError::unexpected(tried(), error))?;
        item.retain(|_, value| !matches!(value, AttributeValue::Null(_)));
        if prediction.delivered_at.is_none() {
            item.insert("undelivered".into(), status_value(prediction.status));
        }
        let response = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(prediction_id)")
            .send()
            .await;
        Ok(Written::from(AwsError::unless_condition_failed(response, tried)?))
    }

    /// The item of this key as it stands. Read consistently: what was written before is seen.
    async fn item(
        &self,
        key: String,
        tried: impl Fn() -> String,
    ) -> Result<Option<HashMap<String, AttributeValue>>, AwsError> {
        let call = self.client.get_item().table_name(&self.table).key("prediction_id", S(key)).consistent_read(true);
        Ok(call.send().await.map_err(|error| AwsError::new(tried(), error))?.item)
    }

    /// The record of this id. Read consistently: what was written before is seen.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn get(&self, prediction_id: Uuid) -> Result<Option<Prediction>, AwsError> {
        let tried = || self.tried("reading", prediction_id);
        self.item(prediction_id.to_string(), tried)
            .await?
            .map(|item| serde_dynamo::from_item(item).map_err(|error| AwsError::unexpected(tried(), error)))
            .transpose()
    }

    /// How far these predictions are, at most [`MOST_STANDINGS`]; read consistently. Those without a record are left out,
    /// and so may others be when DynamoDB is pressed: ask again.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn standings(&self, prediction_ids: &[Uuid]) -> Result<Vec<Standing>, AwsError> {
        let tried = || format!("reading {} predictions in {}", prediction_ids.len(), self.table);
        let key = |id: &Uuid| HashMap::from([("prediction_id".to_owned(), S(id.to_string()))]);
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(prediction_ids.iter().map(key).collect()))
            .consistent_read(true)
            .projection_expression("prediction_id, #status, #failure, delivered_at")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#failure", "failure")
            .build()
            .map_err(|error| AwsError::unexpected(tried(), error))?;
        let response = self
            .client
            .batch_get_item()
            .request_items(&self.table, wanted)
            .send()
            .await
            .map_err(|error| AwsError::new(tried(), error))?;
        let items = response.responses.unwrap_or_default().remove(&self.table).unwrap_or_default().into_iter();
        items.map(|item| serde_dynamo::from_item(item).map_err(|error| AwsError::unexpected(tried(), error))).collect()
    }

    /// Queued to done.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn complete(&self, prediction_id: Uuid, findings: &Findings, now: i64) -> Result<Written, AwsError> {
        let labels = serde_dynamo::to_attribute_value(&findings.labels)
            .map_err(|error| AwsError::unexpected(self.tried("completing", prediction_id), error))?;
        self.update(
            "completing",
            prediction_id,
            "SET #status = :done, undelivered = :done, #time = :now, expires_at = :expires, \
             predicted_img_path = :path, labels = :labels, #model = :model",
            "#status = :queued",
            [
                (":done", status_value(Status::Done)),
                (":queued", status_value(Status::Queued)),
                (":now", number(now)),
                (":expires", number(now + RETENTION)),
                (":path", S(findings.predicted_img_path.clone())),
                (":labels", labels),
                (":model", S(findings.model.clone())),
            ],
        )
        .await
    }

    /// Queued to failed; `failure` is a sentence for the user.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn fail(&self, prediction_id: Uuid, failure: &str, now: i64) -> Result<Written, AwsError> {
        self.update(
            "recording the failure of",
            prediction_id,
            "SET #status = :failed, undelivered = :failed, #time = :now, expires_at = :expires, failure = :failure",
            "#status = :queued",
            [
                (":failed", status_value(Status::Failed)),
                (":queued", status_value(Status::Queued)),
                (":now", number(now)),
                (":expires", number(now + RETENTION)),
                (":failure", S(failure.into())),
            ],
        )
        .await
    }

    /// Queued to failed, because its message, of a job submitted at `submitted`, was received too often; `failure` is a
    /// sentence for the user. It can be [revived](Self::revive); what is left of older messages then changes nothing.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn bury(
        &self,
        prediction_id: Uuid,
        submitted: i64,
        failure: &str,
        now: i64,
    ) -> Result<Written, AwsError> {
        self.update(
            "recording as a dead letter",
            prediction_id,
            "SET #status = :failed, undelivered = :failed, #time = :now, expires_at = :expires, failure = :failure, \
             dead_letter = :true",
            "#status = :queued AND (attribute_not_exists(revived_at) OR revived_at <= :submitted)",
            [
                (":submitted", number(submitted)),
                (":failed", status_value(Status::Failed)),
                (":queued", status_value(Status::Queued)),
                (":now", number(now)),
                (":expires", number(now + RETENTION)),
                (":failure", S(failure.into())),
                (":true", Bool(true)),
            ],
        )
        .await
    }

    /// A dead letter back to queued, so that it is tried and told again; on its own, if it was part of an album.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn revive(&self, prediction_id: Uuid, now: i64) -> Result<Written, AwsError> {
        self.update(
            "reviving",
            prediction_id,
            "SET #status = :queued, undelivered = :queued, #time = :now, expires_at = :expires, revived_at = :now \
             REMOVE failure, dead_letter, delivered_at, lease_until, album, status_message_id, requeued, untold_since, \
             tell_after",
            "#status = :failed AND dead_letter = :true",
            [
                (":failed", status_value(Status::Failed)),
                (":queued", status_value(Status::Queued)),
                (":now", number(now)),
                (":expires", number(now + RETENTION)),
                (":true", Bool(true)),
            ],
        )
        .await
    }

    /// A queued one whose message is lost is queued `now`, one more time than `prediction` says.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn requeue(&self, prediction: &Prediction, now: i64) -> Result<Written, AwsError> {
        self.update(
            "requeueing",
            prediction.prediction_id,
            "SET #time = :now, requeued = :requeued",
            "#status = :queued AND #time = :seen",
            [
                (":queued", status_value(Status::Queued)),
                (":now", number(now)),
                (":seen", number(prediction.time)),
                (":requeued", number(i64::from(prediction.requeued) + 1)),
            ],
        )
        .await
    }

    /// Take the right to tell the user of this result, until `until`: nobody was told, and nobody else holds it `now`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn lease(&self, prediction: &Prediction, now: i64, until: i64) -> Result<Written, AwsError> {
        self.update(
            "leasing",
            prediction.prediction_id,
            "SET lease_until = :until",
            "#status = :seen AND attribute_not_exists(delivered_at) \
             AND (attribute_not_exists(lease_until) OR lease_until < :now) \
             AND (attribute_not_exists(tell_after) OR tell_after <= :now)",
            [(":until", number(until)), (":now", number(now)), (":seen", status_value(prediction.status))],
        )
        .await
    }

    /// Give the right to tell the user back, which was held until `leased_until`: telling fails `since` then, and may be tried
    /// again at `after`. The index has it at `place` until then.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the right ends by itself, and telling is tried again then.
    pub async fn put_off(
        &self,
        prediction: &Prediction,
        leased_until: i64,
        since: i64,
        after: i64,
        place: i64,
    ) -> Result<Written, AwsError> {
        self.update(
            "putting off the answer of",
            prediction.prediction_id,
            "SET untold_since = :since, tell_after = :after, #time = :place REMOVE lease_until",
            "lease_until = :until",
            [
                (":until", number(leased_until)),
                (":since", number(since)),
                (":after", number(after)),
                (":place", number(place)),
            ],
        )
        .await
    }

    /// Move one that nobody was told of to another `place` in the index, as when its album has to wait.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn set_place(&self, prediction: &Prediction, place: i64) -> Result<Written, AwsError> {
        self.update(
            "putting off the answer of",
            prediction.prediction_id,
            "SET #time = :place",
            "#status = :seen AND attribute_not_exists(delivered_at)",
            [(":place", number(place)), (":seen", status_value(prediction.status))],
        )
        .await
    }

    /// Telling the user failed for too long: out of the sweep's sight, and among the [undeliverable](Self::undeliverable). From
    /// there it can be [told again](Self::tell_again).
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; telling is tried again then.
    pub async fn give_up(&self, prediction: &Prediction) -> Result<Written, AwsError> {
        self.update(
            "giving up the answer of",
            prediction.prediction_id,
            "SET undelivered = :undeliverable REMOVE lease_until, untold_since, tell_after",
            "#status = :seen AND undelivered = :seen",
            [(":undeliverable", S(UNDELIVERABLE.into())), (":seen", status_value(prediction.status))],
        )
        .await
    }

    /// One that was given up, back to where the sweep finds it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn tell_again(&self, prediction: &Prediction, now: i64) -> Result<Written, AwsError> {
        self.update(
            "taking up the answer of",
            prediction.prediction_id,
            "SET undelivered = :seen, #time = :now, expires_at = :expires REMOVE untold_since, tell_after",
            "#status = :seen AND undelivered = :undeliverable",
            [
                (":expires", number(now + RETENTION)),
                (":undeliverable", S(UNDELIVERABLE.into())),
                (":seen", status_value(prediction.status)),
                (":now", number(now)),
            ],
        )
        .await
    }

    /// The user was told `now`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the user may be told again.
    pub async fn mark_delivered(&self, prediction: &Prediction, now: i64) -> Result<Written, AwsError> {
        let (what, id) = ("marking as delivered", prediction.prediction_id);
        let condition = "#status = :seen AND attribute_not_exists(delivered_at)";
        let (now, seen) = ((":now", number(now)), (":seen", status_value(prediction.status)));
        if prediction.dead_letter {
            let update = "SET delivered_at = :now, undelivered = :dead REMOVE lease_until";
            return self.update(what, id, update, condition, [now, seen, (":dead", S(DEAD_LETTERS.into()))]).await;
        }
        let update = "SET delivered_at = :now REMOVE undelivered, lease_until";
        self.update(what, id, update, condition, [now, seen]).await
    }

    /// The message that says to wait, so that whoever tells the user removes it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn note_status_message(&self, prediction_id: Uuid, message_id: i32) -> Result<Written, AwsError> {
        self.update(
            "noting the message that says to wait for",
            prediction_id,
            "SET status_message_id = :message",
            "attribute_exists(prediction_id) AND attribute_not_exists(delivered_at)",
            [(":message", number(message_id.into()))],
        )
        .await
    }

    /// Its group has become a supergroup, and has another id.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn move_to(&self, prediction_id: Uuid, chat_id: i64) -> Result<Written, AwsError> {
        self.update(
            "moving",
            prediction_id,
            "SET chat_id = :chat",
            "attribute_exists(prediction_id)",
            [(":chat", number(chat_id))],
        )
        .await
    }

    /// All that is kept of what this person sent: in one group, or everywhere. By a scan of the whole table, as hardly anybody
    /// asks for it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn belongings(&self, person: i64, group: Option<i64>) -> Result<Vec<Belonging>, AwsError> {
        let tried = || format!("looking for what somebody sent in {}", self.table);
        // A private chat has its person's id, so what an older version kept without `asker` is found, too.
        let filter =
            if group.is_some() { "asker = :person AND chat_id = :chat" } else { "asker = :person OR chat_id = :chat" };
        let mut items = self
            .client
            .scan()
            .table_name(&self.table)
            // What was written a moment ago is theirs, too.
            .consistent_read(true)
            .filter_expression(filter)
            .expression_attribute_values(":person", number(person))
            .expression_attribute_values(":chat", number(group.unwrap_or(person)))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            found.push(belonging(&item.map_err(|error| AwsError::new(tried(), error))?, tried)?);
        }
        Ok(found)
    }

    /// One of them as it is now; nothing, if it is not there, or a tombstone.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn belonging(&self, key: &str) -> Result<Option<Belonging>, AwsError> {
        let tried = || format!("reading {key} in {}", self.table);
        let found = self.item(key.to_owned(), tried).await?;
        let is_tombstone = |item: &HashMap<String, AttributeValue>| item.get("chat_id") == Some(&number(NOBODY));
        found.filter(|item| !is_tombstone(item)).map(|item| belonging(&item, tried)).transpose()
    }

    /// Delete it. Of a prediction a tombstone is left: a record without content that says that nothing is to be done, as its job may
    /// be on the queue, or be at a worker. Answers what it was at last; nothing, if it went on meanwhile and is not deleted: then it
    /// is to be looked at again.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn forget(&self, found: &Belonging, now: i64) -> Result<Option<Belonging>, AwsError> {
        let tried = || format!("forgetting {} in {}", found.key, self.table);
        let Some(status) = found.status else {
            let key = S(found.key.clone());
            let deleted = self.client.delete_item().table_name(&self.table).key("prediction_id", key).send().await;
            deleted.map_err(|error| AwsError::new(tried(), error))?;
            return Ok(Some(found.clone()));
        };
        let left = self
            .tombstone(&found.key, now)
            .condition_expression("#status = :seen AND chat_id <> :nobody")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":seen", status_value(status))
            .expression_attribute_values(":nobody", number(NOBODY))
            .return_values(ReturnValue::AllOld)
            .send()
            .await;
        let left = AwsError::unless_condition_failed(left, tried)?;
        left.and_then(|left| left.attributes).map(|item| belonging(&item, tried)).transpose()
    }

    /// Leave a tombstone where a prediction is to come, so that it does not. Not done, if it has come.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn forget_before(&self, prediction_id: Uuid, now: i64) -> Result<Written, AwsError> {
        let left = self
            .tombstone(&prediction_id.to_string(), now)
            .condition_expression("attribute_not_exists(prediction_id)")
            .send()
            .await;
        Ok(Written::from(AwsError::unless_condition_failed(left, || self.tried("forgetting", prediction_id))?))
    }

    /// What [`Prediction::is_forgotten`] tells.
    fn tombstone(&self, key: &str, now: i64) -> PutItemFluentBuilder {
        self.client
            .put_item()
            .table_name(&self.table)
            .item("prediction_id", S(key.to_owned()))
            .item("status", status_value(Status::Failed))
            .item("chat_id", number(NOBODY))
            .item("message_id", number(0))
            .item("original_img_path", S(String::new()))
            .item("time", number(now))
            .item("delivered_at", number(now))
            .item("expires_at", number(now + TOMBSTONE))
    }

    /// Predictions of this status, finished (or queued) at `until` or before, whose user was not told; at most `limit`, the
    /// oldest first. From the sparse index, which may be a moment behind.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn undelivered(&self, status: Status, until: i64, limit: i32) -> Result<Vec<Uuid>, AwsError> {
        let tried = || format!("looking for undelivered predictions in {}", self.table);
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNDELIVERED_INDEX)
            .key_condition_expression("undelivered = :status AND #time <= :until")
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":status", status_value(status))
            .expression_attribute_values(":until", number(until))
            .limit(limit);
        let found = query.send().await.map_err(|error| AwsError::new(tried(), error))?;
        found.items().iter().map(|item| id_of(item, tried)).collect()
    }

    /// All dead letters whose users were told, the oldest first; from the sparse index.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn dead_letters(&self) -> Result<Vec<Uuid>, AwsError> {
        self.all("dead letters", DEAD_LETTERS).await
    }

    /// All whose answer was given up; from the sparse index.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn undeliverable(&self) -> Result<Vec<Uuid>, AwsError> {
        self.all("undeliverable answers", UNDELIVERABLE).await
    }

    /// A whole partition of the index.
    async fn all(&self, what: &str, partition: &str) -> Result<Vec<Uuid>, AwsError> {
        let tried = || format!("looking for {what} in {}", self.table);
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNDELIVERED_INDEX)
            .key_condition_expression("undelivered = :partition")
            .expression_attribute_values(":partition", S(partition.into()))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            found.push(id_of(&item.map_err(|error| AwsError::new(tried(), error))?, tried)?);
        }
        Ok(found)
    }

    async fn update<const N: usize>(
        &self,
        what: &str,
        prediction_id: Uuid,
        update: &str,
        condition: &str,
        values: [(&str, AttributeValue); N],
    ) -> Result<Written, AwsError> {
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", S(prediction_id.to_string()))
            .update_expression(update)
            .condition_expression(condition);
        // Reserved words of DynamoDB's expressions.
        for (placeholder, name) in [("#status", "status"), ("#time", "time"), ("#model", "model")] {
            if update.contains(placeholder) || condition.contains(placeholder) {
                call = call.expression_attribute_names(placeholder, name);
            }
        }
        for (placeholder, value) in values {
            call = call.expression_attribute_values(placeholder, value);
        }
        let answer = call.send().await;
        Ok(Written::from(AwsError::unless_condition_failed(answer, || self.tried(what, prediction_id))?))
    }

    fn tried(&self, what: &str, prediction_id: Uuid) -> String {
        format!("{what} prediction {prediction_id} in {}", self.table)
    }
}

fn belonging(item: &HashMap<String, AttributeValue>, tried: impl Fn() -> String) -> Result<Belonging, AwsError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).filter(|text| !text.is_empty());
    let id = |value: &AttributeValue| Uuid::parse_str(value.as_s().ok()?).ok();
    let parts = item.get("parts").and_then(|parts| parts.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
    let work = item.get("work_id").filter(|_| item.contains_key("asked"));
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()).and_then(|n| n.parse::<i64>().ok());
    // An album has an attribute for each message, with its number at the end.
    let of_album = || item.keys().filter_map(|name| name.rsplit_once('_')?.1.parse().ok()).min();
    let message = number("message_id").or_else(of_album);
    let is_waited_for = !item.contains_key("delivered_at");
    let waiting = number("status_message_id").filter(|_| is_waited_for).and_then(|id| i32::try_from(id).ok());
    let status = text("status").and_then(|status| match status.as_str() {
        "queued" => Some(Status::Queued),
        "done" => Some(Status::Done),
        "failed" => Some(Status::Failed),
        _ => None,
    });
    Ok(Belonging {
        key: text("prediction_id").ok_or_else(|| AwsError::unexpected(tried(), "an item has no key"))?.clone(),
        original: text("original_img_path").cloned(),
        predicted: text("predicted_img_path").cloned(),
        status,
        parts: parts.iter().filter_map(id).collect(),
        work: work.and_then(id),
        message: number("chat_id").zip(message),
        is_part: item.contains_key("album"),
        status_message: number("chat_id").zip(waiting),
    })
}

fn id_of(item: &HashMap<String, AttributeValue>, tried: impl Fn() -> String) -> Result<Uuid, AwsError> {
    let id = item.get("prediction_id").and_then(|id| id.as_s().ok()).and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or_else(|| AwsError::unexpected(tried(), "an item has no prediction_id"))
}

fn status_value(status: Status) -> AttributeValue {
    S(match status {
        Status::Queued => "queued",
        Status::Done => "done",
        Status::Failed => "failed",
    }
    .into())
}

fn number(value: i64) -> AttributeValue {
    N(value.to_string())
}
