//! Query and Scan.

use serde::Deserialize;
use serde_json::{Value, json};

use super::attribute::Item;
use super::expression::{Condition, KeyCondition, Placeholders, projection};
use super::invalid;
use super::items::shown;
use super::table::{Page, Range, Table};
use super::tables::Tables;
use crate::failure::Failure;

/// What the two have in common.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Search {
    table_name: String,
    index_name: Option<String>,
    key_condition_expression: Option<String>,
    filter_expression: Option<String>,
    projection_expression: Option<String>,
    select: Option<Select>,
    scan_index_forward: Option<bool>,
    limit: Option<i64>,
    exclusive_start_key: Option<Item>,
    #[serde(default)]
    consistent_read: bool,
    #[serde(flatten)]
    placeholders: Placeholders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Select {
    AllAttributes,
    AllProjectedAttributes,
    SpecificAttributes,
    Count,
}

impl Tables {
    pub(super) fn query(&self, request: &Search) -> Result<Value, Failure> {
        let table = self.table(&request.table_name)?;
        let keys = request.index_name.as_deref().map(|name| table.index(name)).transpose()?;
        let keys = keys.map_or(&table.keys, |index| &index.keys);
        let condition = request
            .key_condition_expression
            .as_deref()
            .ok_or_else(|| invalid("The KeyConditionExpression parameter must be specified in the request"))?;
        let condition = KeyCondition::parse(condition, &request.placeholders, keys)?;
        request.answer(table, Some(&condition), &keys.names())
    }

    pub(super) fn scan(&self, request: &Search) -> Result<Value, Failure> {
        if request.key_condition_expression.is_some() || request.scan_index_forward.is_some() {
            return Err(invalid("KeyConditionExpression and ScanIndexForward are parameters of Query, not of Scan"));
        }
        request.answer(self.table(&request.table_name)?, None, &[])
    }
}

impl Search {
    /// What the page holds; the filter may not speak of `keys`.
    fn answer(&self, table: &Table, condition: Option<&KeyCondition>, keys: &[&str]) -> Result<Value, Failure> {
        let index = self.index_name.as_deref().map(|name| table.index(name)).transpose()?;
        if index.is_some() && self.consistent_read {
            return Err(invalid("Consistent reads are not supported on global secondary indexes"));
        }
        let filter = self.filter_expression.as_deref();
        let filter = filter.map(|text| Condition::filter(text, &self.placeholders, keys)).transpose()?;
        let paths = self.projection_expression.as_deref();
        let paths = paths.map(|text| projection(text, &self.placeholders)).transpose()?;
        self.placeholders.check_all_used()?;
        let has_all = index.is_none_or(|index| index.schema.projection_type == "ALL");
        match self.select {
            Some(Select::AllAttributes) if !has_all => {
                return Err(invalid(
                    "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for a \
                     global secondary index whose projection type is not ALL",
                ));
            }
            Some(Select::AllProjectedAttributes) if index.is_none() => {
                return Err(invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying or Scanning an index"));
            }
            Some(select) if (select == Select::SpecificAttributes) != paths.is_some() => {
                return Err(invalid(format!(
                    "A ProjectionExpression and the Select type SPECIFIC_ATTRIBUTES go together; not so {select:?}"
                )));
            }
            _ => {}
        }
        if let Some(index) = index
            && let Some(path) = paths.iter().flatten().find(|path| !index.has(path.attribute(), &table.keys))
        {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Global secondary index {} does not project {path}",
                index.schema.index_name
            )));
        }
        let limit = match self.limit {
            Some(limit) => usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| {
                invalid(format!(
                    "Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value greater than or \
                     equal to 1"
                ))
            })?,
            None => usize::MAX,
        };
        let is_backward = self.scan_index_forward == Some(false);
        let start = self.exclusive_start_key.as_ref();
        let Page { items, last } = table.page(&Range { index, condition, is_backward, start, limit })?;
        let scanned = items.len();
        let found = items.iter().filter(|item| filter.as_ref().is_none_or(|filter| filter.holds(item)));
        let mut answer = json!({ "ScannedCount": scanned });
        if self.select == Some(Select::Count) {
            answer["Count"] = json!(found.count());
        } else {
            let found: Vec<_> = found.map(|item| shown(item, paths.as_deref())).collect();
            answer["Count"] = json!(found.len());
            answer["Items"] = Value::Array(found);
        }
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = json!(last);
        }
        Ok(answer)
    }
}
