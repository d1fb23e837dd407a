//! The operations on items by their keys.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::attribute::Item;
use super::expression::{Condition, Path, Placeholders, Update, project, projection};
use super::invalid;
use super::table::{Change, Place, Table};
use super::tables::Tables;
use crate::failure::Failure;

/// Keys in one BatchGetItem, and changes in one BatchWriteItem.
const MOST_READS: usize = 100;
const MOST_WRITES: usize = 25;

/// What conditions see if the item does not exist.
static NOTHING: Item = Item::new();

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetItem {
    table_name: String,
    key: Item,
    #[serde(flatten)]
    shown: Shown,
}

/// Which part of an item is wanted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    projection_expression: Option<String>,
    #[serde(flatten)]
    placeholders: Placeholders,
}

impl Shown {
    fn paths(&self) -> Result<Option<Vec<Path>>, Failure> {
        let paths =
            self.projection_expression.as_deref().map(|text| projection(text, &self.placeholders)).transpose()?;
        self.placeholders.check_all_used()?;
        Ok(paths)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutItem {
    item: Item,
    #[serde(flatten)]
    write: Write,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteItem {
    key: Item,
    #[serde(flatten)]
    write: Write,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateItem {
    key: Item,
    update_expression: Option<String>,
    #[serde(flatten)]
    write: Write,
}

/// What the three have in common.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Write {
    table_name: String,
    condition_expression: Option<String>,
    #[serde(default)]
    return_values: ReturnValues,
    #[serde(default)]
    return_values_on_condition_check_failure: ReturnValues,
    #[serde(flatten)]
    placeholders: Placeholders,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ReturnValues {
    #[default]
    None,
    AllOld,
    UpdatedOld,
    AllNew,
    UpdatedNew,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchGetItem {
    request_items: BTreeMap<String, KeysOfTable>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysOfTable {
    keys: Vec<Item>,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchWriteItem {
    request_items: BTreeMap<String, Vec<BatchedWrite>>,
}

#[derive(Debug, Deserialize)]
enum BatchedWrite {
    #[serde(rename = "PutRequest", deserialize_with = "item")]
    Put(Item),
    #[serde(rename = "DeleteRequest", deserialize_with = "item")]
    Delete(Item),
}

/// The item in `{"Item": …}`, the key in `{"Key": …}`.
fn item<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
    #[derive(Deserialize)]
    struct Of {
        #[serde(rename = "Item", alias = "Key")]
        item: Item,
    }
    Of::deserialize(deserializer).map(|of| of.item)
}

impl Write {
    /// The change that was planned by a look at what is there, if the condition holds, is made.
    fn make(
        &self,
        table: &mut Table,
        plan: impl FnOnce(&Table) -> Result<Change, Failure>,
        place: &Place,
        updated: &[&Path],
    ) -> Result<Value, Failure> {
        let condition = self.condition_expression.as_deref();
        let condition = condition.map(|text| Condition::parse(text, &self.placeholders)).transpose()?;
        self.placeholders.check_all_used()?;
        let old = table.get(place);
        if condition.is_some_and(|condition| !condition.holds(old.unwrap_or(&NOTHING))) {
            let failure = Failure::bad("ConditionalCheckFailedException", "The conditional request failed");
            return Err(match (self.return_values_on_condition_check_failure, old) {
                (ReturnValues::AllOld, Some(old)) => failure.with("Item", json!(old)),
                _ => failure,
            });
        }
        let change = plan(table)?;
        let new = match self.return_values {
            ReturnValues::AllNew => change.new.clone(),
            ReturnValues::UpdatedNew => change.new.as_ref().map(|new| project(new, updated.iter().copied())),
            _ => None,
        };
        let old = table.make(change);
        let shown = match self.return_values {
            ReturnValues::None => None,
            ReturnValues::AllOld => old,
            ReturnValues::UpdatedOld => old.map(|old| project(&old, updated.iter().copied())),
            ReturnValues::AllNew | ReturnValues::UpdatedNew => new,
        };
        Ok(shown.filter(|shown| !shown.is_empty()).map_or(json!({}), |shown| json!({ "Attributes": shown })))
    }

    /// Refuses what only updates can return.
    fn check_return_values(&self) -> Result<(), Failure> {
        match self.return_values {
            ReturnValues::None | ReturnValues::AllOld => Ok(()),
            _ => Err(invalid("Return values set to invalid value: this call can return NONE and ALL_OLD")),
        }
    }
}

impl Tables {
    pub(super) fn get_item(&self, request: GetItem) -> Result<Value, Failure> {
        let table = self.table(&request.table_name)?;
        let paths = request.shown.paths()?;
        let found = table.get(&table.place(&request.key)?);
        Ok(found.map_or(json!({}), |item| json!({ "Item": shown(item, paths.as_deref()) })))
    }

    pub(super) fn put_item(&mut self, PutItem { item, write }: PutItem) -> Result<Value, Failure> {
        write.check_return_values()?;
        let table = self.table_mut(&write.table_name)?;
        let change = table.put(item)?;
        let place = change.place.clone();
        write.make(table, |_| Ok(change), &place, &[])
    }

    pub(super) fn delete_item(&mut self, DeleteItem { key, write }: DeleteItem) -> Result<Value, Failure> {
        write.check_return_values()?;
        let table = self.table_mut(&write.table_name)?;
        let place = table.place(&key)?;
        let change = Change { place: place.clone(), new: None };
        write.make(table, |_| Ok(change), &place, &[])
    }

    /// Without an item under the key, one with nothing but the key is updated.
    pub(super) fn update_item(&mut self, request: UpdateItem) -> Result<Value, Failure> {
        let UpdateItem { key, update_expression, write } = request;
        let table = self.table_mut(&write.table_name)?;
        let place = table.place(&key)?;
        let update = update_expression.as_deref().map(|text| Update::parse(text, &write.placeholders)).transpose()?;
        let update = update.unwrap_or_default();
        let updated: Vec<_> = update.paths().collect();
        if let Some(name) =
            table.keys.names().into_iter().find(|name| updated.iter().any(|path| path.attribute() == *name))
        {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of \
                 the key"
            )));
        }
        let plan = |table: &Table| table.put(update.apply(table.get(&place).unwrap_or(&key))?);
        write.make(table, plan, &place, &updated)
    }

    pub(super) fn batch_get_item(&self, request: BatchGetItem) -> Result<Value, Failure> {
        let count: usize = request.request_items.values().map(|one| one.keys.len()).sum();
        check_count("BatchGetItem", count, MOST_READS)?;
        let mut responses = BTreeMap::new();
        for (name, KeysOfTable { keys, shown: wanted }) in &request.request_items {
            let table = self.table(name)?;
            let paths = wanted.paths()?;
            let places = keys.iter().map(|key| table.place(key)).collect::<Result<Vec<_>, _>>()?;
            check_distinct(&places)?;
            let items = places.iter().filter_map(|place| table.get(place));
            responses.insert(name, items.map(|item| shown(item, paths.as_deref())).collect::<Vec<_>>());
        }
        Ok(json!({ "Responses": responses, "UnprocessedKeys": {} }))
    }

    pub(super) fn batch_write_item(&mut self, request: BatchWriteItem) -> Result<Value, Failure> {
        check_count("BatchWriteItem", request.request_items.values().map(Vec::len).sum(), MOST_WRITES)?;
        let mut planned = Vec::new();
        for (name, writes) in request.request_items {
            let table = self.table(&name)?;
            let plan = |write| match write {
                BatchedWrite::Put(item) => table.put(item),
                BatchedWrite::Delete(key) => Ok(Change { place: table.place(&key)?, new: None }),
            };
            let changes = writes.into_iter().map(plan).collect::<Result<Vec<_>, Failure>>()?;
            check_distinct(&changes.iter().map(|change| &change.place).collect::<Vec<_>>())?;
            planned.push((name, changes));
        }
        // Only when all can be made.
        for (name, changes) in planned {
            let table = self.table_mut(&name)?;
            for change in changes {
                table.make(change);
            }
        }
        Ok(json!({ "UnprocessedItems": {} }))
    }
}

/// The paths of an item, or all of it.
pub(super) fn shown(item: &Item, paths: Option<&[Path]>) -> Value {
    match paths {
        Some(paths) => json!(project(item, paths)),
        None => json!(item),
    }
}

fn check_count(operation: &str, count: usize, most: usize) -> Result<(), Failure> {
    if !(1..=most).contains(&count) {
        return Err(invalid(format!(
            "Too many items requested for the {operation} call, or none: {count}, not 1 to {most}"
        )));
    }
    Ok(())
}

fn check_distinct<T: Ord>(places: &[T]) -> Result<(), Failure> {
    let distinct: BTreeSet<_> = places.iter().collect();
    if distinct.len() < places.len() {
        return Err(invalid("Provided list of item keys contains duplicates"));
    }
    Ok(())
}
