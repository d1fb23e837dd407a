//! The records, over DynamoDB. Every write says what it expects to find: every step may run twice.
//!
//! The item is the [`Prediction`] itself, with two more attributes: `undelivered` (its value the status, present until
//! the user was told: the sparse index [`UNDELIVERED_INDEX`] holds just these), and `lease_until` (who answers the user
//! holds the record until then).

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use serde::Deserialize;
use uuid::Uuid;

use crate::prediction::RETENTION;
use crate::{AwsError, Label, Prediction, Status};

/// The sparse index of what no user was told yet: partition key `undelivered` (the status), sort key `time`.
pub const UNDELIVERED_INDEX: &str = "undelivered-index";

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

/// Whether a conditional write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It did.
    Now,
    /// The record was not as expected, as when the same was done before.
    NotAsExpected,
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
        match response {
            Ok(_) => Ok(Written::Now),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(Written::NotAsExpected)
            }
            Err(error) => Err(AwsError::new(tried(), error)),
        }
    }

    /// The record of this id. Read consistently: what was written before is seen.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn get(&self, prediction_id: Uuid) -> Result<Option<Prediction>, AwsError> {
        let tried = || self.tried("reading", prediction_id);
        let response = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("prediction_id", S(prediction_id.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new(tried(), error))?;
        response
            .item
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
            .projection_expression("prediction_id, #status, failure, delivered_at")
            .expression_attribute_names("#status", "status")
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

    /// Take the right to tell the user, until `until`: nobody was told, and nobody else holds it `now`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn lease(&self, prediction_id: Uuid, now: i64, until: i64) -> Result<Written, AwsError> {
        self.update(
            "leasing",
            prediction_id,
            "SET lease_until = :until",
            "attribute_exists(prediction_id) AND attribute_not_exists(delivered_at) \
             AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            [(":until", number(until)), (":now", number(now))],
        )
        .await
    }

    /// Give the right to tell the user back, as when telling failed and may be tried again.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn release(&self, prediction_id: Uuid, until: i64) -> Result<Written, AwsError> {
        self.update(
            "releasing",
            prediction_id,
            "REMOVE lease_until",
            "lease_until = :until",
            [(":until", number(until))],
        )
        .await
    }

    /// The user was told `now`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the user may be told again.
    pub async fn mark_delivered(&self, prediction_id: Uuid, now: i64) -> Result<Written, AwsError> {
        self.update(
            "marking as delivered",
            prediction_id,
            "SET delivered_at = :now REMOVE undelivered, lease_until",
            "attribute_exists(prediction_id) AND attribute_not_exists(delivered_at)",
            [(":now", number(now))],
        )
        .await
    }

    /// Predictions of this status, finished (or queued) at `until` or before, whose user was not told; at most `limit`, the
    /// oldest first. From the sparse index, which may be a moment behind.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn undelivered(&self, status: Status, until: i64, limit: i32) -> Result<Vec<Uuid>, AwsError> {
        let tried = || format!("looking for undelivered predictions in {}", self.table);
        let found = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNDELIVERED_INDEX)
            .key_condition_expression("undelivered = :status AND #time <= :until")
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":status", status_value(status))
            .expression_attribute_values(":until", number(until))
            .limit(limit)
            .send()
            .await
            .map_err(|error| AwsError::new(tried(), error))?;
        let id = |item: &HashMap<String, AttributeValue>| {
            let id = item.get("prediction_id").and_then(|id| id.as_s().ok()).and_then(|id| Uuid::parse_str(id).ok());
            id.ok_or_else(|| AwsError::unexpected(tried(), "an item has no prediction_id"))
        };
        found.items().iter().map(id).collect()
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
        match call.send().await {
            Ok(_) => Ok(Written::Now),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(Written::NotAsExpected)
            }
            Err(error) => Err(AwsError::new(self.tried(what, prediction_id), error)),
        }
    }

    fn tried(&self, what: &str, prediction_id: Uuid) -> String {
        format!("{what} prediction {prediction_id} in {}", self.table)
    }
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
