//! Which Telegram updates were handled: each once, also when Telegram brings one again, to this instance or another.
//!
//! Items lie in the table of the predictions, under keys that no prediction has (`update#…`), and expire after a day:
//! Telegram gives up long before.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::AttributeValue::{Bool, N, S};
use aws_sdk_dynamodb::types::ReturnValue;
use fleet::AwsError;
use uuid::Uuid;

use crate::lease;

/// How long an update is remembered, in seconds.
const RETENTION: i64 = 24 * 3600;

/// What is to be done with an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Handle it. The id is the same at every try, so that what the last try left is found again.
    Handle(Uuid),
    /// It was handled.
    Done,
    /// Another instance, or another request, is at it.
    Busy,
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

    /// Take the update, if it is neither handled nor being handled.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn begin(&self, update_id: u32, now: i64) -> Result<Begun, AwsError> {
        let taken = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", key(update_id))
            .update_expression(
                "SET lease_until = :until, expires_at = :expires, work_id = if_not_exists(work_id, :work)",
            )
            .condition_expression(
                "attribute_not_exists(handled) AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            )
            .expression_attribute_values(":until", number(now + self.lease))
            .expression_attribute_values(":expires", number(now + RETENTION))
            .expression_attribute_values(":work", S(Uuid::now_v7().to_string()))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let tried = || format!("taking update {update_id} in {}", self.table);
        match AwsError::unless_condition_failed(taken, tried)? {
            Some(taken) => {
                let work = taken.attributes().and_then(|item| item.get("work_id")).and_then(|id| id.as_s().ok());
                let work = work.and_then(|id| Uuid::parse_str(id).ok());
                work.map(Begun::Handle).ok_or_else(|| AwsError::unexpected(tried(), "the item has no work_id"))
            }
            None => {
                let item = self.item(update_id).await?;
                Ok(if item.contains_key("handled") { Begun::Done } else { Begun::Busy })
            }
        }
    }

    /// The update was handled for good.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the update may be handled again.
    pub async fn end(&self, update_id: u32) -> Result<(), AwsError> {
        lease::insist(
            || self.set(update_id, "SET handled = :value REMOVE lease_until", Bool(true)),
            |error| tracing::warn!(%error, update_id, "not marked as handled yet"),
        )
        .await
    }

    /// The update failed; the next try need not wait.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the next try then has to wait for the lease to end.
    pub async fn give_back(&self, update_id: u32) -> Result<(), AwsError> {
        self.set(update_id, "SET lease_until = :value", number(0)).await
    }

    async fn set(&self, update_id: u32, expression: &str, value: AttributeValue) -> Result<(), AwsError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", key(update_id))
            .update_expression(expression)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("closing update {update_id} in {}", self.table), error))?;
        Ok(())
    }

    async fn item(&self, update_id: u32) -> Result<HashMap<String, AttributeValue>, AwsError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("prediction_id", key(update_id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("reading update {update_id} in {}", self.table), error))?;
        Ok(found.item.unwrap_or_default())
    }
}

fn key(update_id: u32) -> AttributeValue {
    S(format!("update#{update_id}"))
}

fn number(value: i64) -> AttributeValue {
    N(value.to_string())
}
