//! The DynamoDB table, and the only words that it hears.
//!
//! One table holds every record: predictions under their UUID, and beside them albums, updates, captions of messages and what
//! workers did, each under a prefix of its own. One sparse index, [`UNDELIVERED_INDEX`], holds what something is to be done with.
//!
//! - [`attribute`]: the attributes, each with its type;
//! - [`condition`] and [`expression`]: what a write expects to find and what it does, leases included, as values;
//! - [`prediction`], [`album`], [`update`]: the states of each kind of item, and the transitions between them, one enum each.
//!
//! Every write of a record says what it expects to find, as every step may run twice.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, KeysAndAttributes, Projection,
    ProjectionType, ReturnValue, ScalarAttributeType,
};

use crate::{AwsError, Timestamp};

pub mod album;
pub mod attribute;
pub mod condition;
pub mod expression;
pub mod prediction;
mod rendered;
mod transition;
pub mod update;

pub use attribute::{Attribute, Item, Partition};
pub use condition::Condition;
pub use expression::UpdateExpression;
pub use rendered::Rendered;
pub use transition::{Key, Transition, Write};

use attribute::{KEY, TIME, UNDELIVERED, Value};

/// The sparse index of what something is to be done with: partition key `undelivered`, sort key `time`.
pub const UNDELIVERED_INDEX: &str = "undelivered-index";
/// The most items that [`Table::get_all`] takes.
pub const MOST_ITEMS: usize = 100;

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
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// The table of this name.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Write what the transition says, if the item is as it expects. Returns the item: after an update the new one, after a put
    /// the one before (empty if there was none). `None` if it was not as expected.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn apply<T: Transition>(&self, key: &Key, transition: &T) -> Result<Option<Item>, AwsError> {
        match transition.write() {
            Write::Update(expression) => self.update(transition.tried(), key, &expression).await,
            Write::Put(item, condition) => self.put(transition.tried(), key, item, &condition).await,
        }
    }

    /// Change one item. Returns the new one, or `None` if it was not as expected. `tried` is for errors, such as "completing".
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn update(
        &self,
        tried: &str,
        key: &Key,
        expression: &UpdateExpression,
    ) -> Result<Option<Item>, AwsError> {
        let rendered = expression.render();
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(KEY.name(), key.value().into_attribute())
            .update_expression(rendered.update)
            .set_condition_expression(rendered.condition)
            .set_expression_attribute_names(some(rendered.names))
            .set_expression_attribute_values(some(rendered.values))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let written = AwsError::unless_condition_failed(answer, || self.tried(tried, key))?;
        Ok(written.map(|written| written.attributes.unwrap_or_default()))
    }

    async fn put(
        &self,
        tried: &str,
        key: &Key,
        mut item: Item,
        condition: &Condition,
    ) -> Result<Option<Item>, AwsError> {
        let rendered = condition.rendered();
        item.insert(KEY.name().to_owned(), key.value().into_attribute());
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .set_condition_expression(rendered.condition)
            .set_expression_attribute_names(some(rendered.names))
            .set_expression_attribute_values(some(rendered.values))
            .return_values(ReturnValue::AllOld)
            .send()
            .await;
        let written = AwsError::unless_condition_failed(answer, || self.tried(tried, key))?;
        Ok(written.map(|written| written.attributes.unwrap_or_default()))
    }

    /// Delete an item, if it is there.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn delete(&self, key: &Key) -> Result<(), AwsError> {
        let key_value = key.value().into_attribute();
        let call = self.client.delete_item().table_name(&self.name).key(KEY.name(), key_value);
        call.send().await.map_err(|error| AwsError::new(self.tried("deleting", key), error))?;
        Ok(())
    }

    /// Delete an item, if it is like this.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn delete_if(&self, key: &Key, condition: &Condition) -> Result<Written, AwsError> {
        let rendered = condition.rendered();
        let answer = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key(KEY.name(), key.value().into_attribute())
            .set_condition_expression(rendered.condition)
            .set_expression_attribute_names(some(rendered.names))
            .set_expression_attribute_values(some(rendered.values))
            .send()
            .await;
        Ok(AwsError::unless_condition_failed(answer, || self.tried("deleting", key))?.into())
    }

    /// The item of this key. Read consistently: what was written before is seen.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn get(&self, key: &Key) -> Result<Option<Item>, AwsError> {
        let key_value = key.value().into_attribute();
        let call = self.client.get_item().table_name(&self.name).key(KEY.name(), key_value).consistent_read(true);
        Ok(call.send().await.map_err(|error| AwsError::new(self.tried("reading", key), error))?.item)
    }

    /// The items of these keys, at most [`MOST_ITEMS`]: all attributes, or only those that are named. With them come the keys
    /// that DynamoDB, pressed, left out; the SDK does not retry those.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn get_all(
        &self,
        keys: impl IntoIterator<Item = String>,
        only: &[&str],
        consistently: bool,
    ) -> Result<(Vec<Item>, Vec<String>), AwsError> {
        let keys = keys.into_iter().map(|key| HashMap::from([(KEY.name().to_owned(), key.into_attribute())]));
        let keys: Vec<Item> = keys.collect();
        let tried = format!("reading {} items of {}", keys.len(), self.name);
        let projection = only.iter().map(|name| format!("#{name}")).collect::<Vec<_>>().join(", ");
        let names = only.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect();
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(consistently)
            .set_projection_expression(Some(projection).filter(|projection| !projection.is_empty()))
            .set_expression_attribute_names(some(names))
            .build()
            .map_err(|error| AwsError::unexpected(tried.clone(), error))?;
        let answer = self.client.batch_get_item().request_items(&self.name, wanted).send().await;
        let answer = answer.map_err(|error| AwsError::new(tried, error))?;
        let items = answer.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
        let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.name));
        let left = left.map(|left| left.keys.iter().filter_map(|key| KEY.of(key)).collect()).unwrap_or_default();
        Ok((items, left))
    }

    /// The keys in a partition of the sparse index whose time is `until` or before, at most `limit`, the oldest first. The index
    /// may be a moment behind.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn due(&self, partition: Partition, until: Timestamp, limit: i32) -> Result<Vec<String>, AwsError> {
        let query = self.index(&UNDELIVERED.is(partition).and(TIME.at_most(until))).limit(limit);
        let found = query.send().await.map_err(|error| AwsError::new(self.looking_for(partition), error))?;
        found.items().iter().map(|item| self.key_of(item)).collect()
    }

    /// All keys in a partition of the sparse index, the oldest first. The index may be a moment behind.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn all_in(&self, partition: Partition) -> Result<Vec<String>, AwsError> {
        let mut items = self.index(&UNDELIVERED.is(partition)).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            found.push(self.key_of(&item.map_err(|error| AwsError::new(self.looking_for(partition), error))?)?);
        }
        Ok(found)
    }

    /// A query of the sparse index for what is like this.
    fn index(&self, key: &Condition) -> QueryFluentBuilder {
        let rendered = key.rendered();
        self.client
            .query()
            .table_name(&self.name)
            .index_name(UNDELIVERED_INDEX)
            .set_key_condition_expression(rendered.condition)
            .set_expression_attribute_names(some(rendered.names))
            .set_expression_attribute_values(some(rendered.values))
    }

    /// One page of a scan of the whole table, read consistently: the items that are like this, and the key to go on `after`, if there
    /// is more. `sought` is for errors.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn scan_page(
        &self,
        sought: &str,
        filter: &Condition,
        after: Option<String>,
    ) -> Result<(Vec<Item>, Option<String>), AwsError> {
        let rendered = filter.rendered();
        let page = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true)
            .set_filter_expression(rendered.condition)
            .set_expression_attribute_names(some(rendered.names))
            .set_expression_attribute_values(some(rendered.values))
            .set_exclusive_start_key(after.map(|key| Item::from([(KEY.name().to_owned(), key.into_attribute())])))
            .send()
            .await
            .map_err(|error| AwsError::new(format!("looking for {sought} in {}", self.name), error))?;
        let next = page.last_evaluated_key.map(|last| self.key_of(&last)).transpose()?;
        Ok((page.items.unwrap_or_default(), next))
    }

    /// An item of this key that is there and can't be read.
    #[must_use]
    pub fn unreadable(&self, key: &Key, reason: impl ToString) -> AwsError {
        AwsError::unexpected(self.tried("reading", key), reason)
    }

    fn key_of(&self, item: &Item) -> Result<String, AwsError> {
        KEY.of(item).ok_or_else(|| AwsError::unexpected(format!("looking into {}", self.name), "an item has no key"))
    }

    fn tried(&self, what: &str, key: &Key) -> String {
        format!("{what} {key} in {}", self.name)
    }

    fn looking_for(&self, partition: Partition) -> String {
        format!("looking for what is {:?} in {}", partition.as_str(), self.name)
    }
}

/// A call that creates the table as `infra/polybot.yaml` does, for fleets that have no stack.
#[must_use]
pub fn creation(client: &Client, name: &str) -> CreateTableFluentBuilder {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("it has name and type")
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("it has name and type")
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name(UNDELIVERED_INDEX)
        .key_schema(key(UNDELIVERED.name(), KeyType::Hash))
        .key_schema(key(TIME.name(), KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()
        .expect("it has name and keys");
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute(KEY.name(), ScalarAttributeType::S))
        .attribute_definitions(attribute(UNDELIVERED.name(), ScalarAttributeType::S))
        .attribute_definitions(attribute(TIME.name(), ScalarAttributeType::N))
        .key_schema(key(KEY.name(), KeyType::Hash))
        .global_secondary_indexes(index)
}

/// DynamoDB refuses an empty map.
fn some<T>(map: HashMap<String, T>) -> Option<HashMap<String, T>> {
    Some(map).filter(|map| !map.is_empty())
}
