//! All tables, and the operations that are about tables as a whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::invalid;
use super::saved::{Saved, SavedTable, TimeToLive};
use super::schema::{AttributeDefinition, IndexSchema, KeyElement, Schema};
use super::table::Table;
use crate::failure::Failure;
use crate::service::Service;

/// Parameters that would change the answer if they were heeded, so they are not left unheeded.
const NOT_OFFERED: [&str; 12] = [
    "AttributeUpdates",
    "AttributesToGet",
    "ConditionalOperator",
    "Expected",
    "KeyConditions",
    "LocalSecondaryIndexes",
    "QueryFilter",
    "ScanFilter",
    "Segment",
    "StreamSpecification",
    "TableClass",
    "TotalSegments",
];

#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<String, Table>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfTable {
    table_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateTable {
    table_name: String,
    key_schema: Vec<KeyElement>,
    attribute_definitions: Vec<AttributeDefinition>,
    billing_mode: Option<String>,
    global_secondary_indexes: Option<Vec<CreateIndex>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateIndex {
    index_name: String,
    key_schema: Vec<KeyElement>,
    projection: Projection,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Projection {
    projection_type: String,
    #[serde(default)]
    non_key_attributes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTables {
    limit: Option<usize>,
    exclusive_start_table_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateTimeToLive {
    table_name: String,
    time_to_live_specification: TimeToLive,
}

/// A request's parameters.
pub(super) fn parse<T: DeserializeOwned>(request: &[u8]) -> Result<T, Failure> {
    let request: Value = serde_json::from_slice(if request.is_empty() { b"{}" } else { request })
        .map_err(|error| Failure::bad("SerializationException", error.to_string()))?;
    if let Some(parameter) = NOT_OFFERED.into_iter().find(|parameter| request.get(parameter).is_some()) {
        return Err(invalid(format!(
            "the embedded AWS does not offer the parameter {parameter}; if it is a legacy one, use an expression"
        )));
    }
    serde_json::from_value(request).map_err(|error| invalid(error.to_string()))
}

impl Tables {
    pub(super) fn restore(mut saved: Saved) -> Result<Self, Failure> {
        let restore = |(name, table): (String, SavedTable)| {
            let time_to_live = saved.ttl_configs.remove(&name);
            Table::restore(table, time_to_live).map(|table| (name, table))
        };
        saved.tables.into_iter().map(restore).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn save(&self) -> Saved {
        let tables = self.0.iter();
        Saved {
            tables: tables.clone().map(|(name, table)| (name.clone(), table.save())).collect(),
            ttl_configs: tables.filter_map(|(name, table)| Some((name.clone(), table.time_to_live.clone()?))).collect(),
        }
    }

    /// Answers what changes nothing.
    pub(super) fn read(&self, operation: &str, request: &[u8]) -> Result<Value, Failure> {
        match operation {
            "GetItem" => self.get_item(parse(request)?),
            "BatchGetItem" => self.batch_get_item(parse(request)?),
            "Query" => self.query(&parse(request)?),
            "Scan" => self.scan(&parse(request)?),
            "DescribeTable" => {
                let table = self.table(&parse::<OfTable>(request)?.table_name)?;
                Ok(json!({ "Table": table.describe("ACTIVE") }))
            }
            "ListTables" => self.list_tables(&parse(request)?),
            "DescribeTimeToLive" => {
                let table = self.table(&parse::<OfTable>(request)?.table_name)?;
                Ok(json!({ "TimeToLiveDescription": match &table.time_to_live {
                    Some(ttl) if ttl.enabled => {
                        json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": ttl.attribute_name })
                    }
                    _ => json!({ "TimeToLiveStatus": "DISABLED" }),
                } }))
            }
            other => Err(Failure::unknown_operation(Service::DynamoDb, other)),
        }
    }

    /// Does what changes something: all of it or, with an error, nothing.
    pub(super) fn write(&mut self, operation: &str, request: &[u8]) -> Result<Value, Failure> {
        match operation {
            "PutItem" => self.put_item(parse(request)?),
            "UpdateItem" => self.update_item(parse(request)?),
            "DeleteItem" => self.delete_item(parse(request)?),
            "BatchWriteItem" => self.batch_write_item(parse(request)?),
            "CreateTable" => self.create_table(parse(request)?),
            "DeleteTable" => {
                let name = parse::<OfTable>(request)?.table_name;
                let table = self.0.remove(table_name(&name)).ok_or_else(|| not_found(&name))?;
                Ok(json!({ "TableDescription": table.describe("DELETING") }))
            }
            "UpdateTimeToLive" => self.update_time_to_live(parse(request)?),
            other => Err(Failure::unknown_operation(Service::DynamoDb, other)),
        }
    }

    pub(super) fn table(&self, name: &str) -> Result<&Table, Failure> {
        self.0.get(table_name(name)).ok_or_else(|| not_found(name))
    }

    pub(super) fn table_mut(&mut self, name: &str) -> Result<&mut Table, Failure> {
        self.0.get_mut(table_name(name)).ok_or_else(|| not_found(name))
    }

    fn create_table(&mut self, request: CreateTable) -> Result<Value, Failure> {
        let index = |index: CreateIndex| IndexSchema {
            index_name: index.index_name,
            key_schema: index.key_schema,
            projection_type: index.projection.projection_type,
            non_key_attributes: index.projection.non_key_attributes,
        };
        let schema = Schema {
            name: request.table_name,
            creation_date_time: OffsetDateTime::now_utc(),
            key_schema: request.key_schema,
            attribute_definitions: request.attribute_definitions,
            billing_mode: request.billing_mode.unwrap_or_else(|| "PROVISIONED".to_owned()),
            global_secondary_index: request
                .global_secondary_indexes
                .unwrap_or_default()
                .into_iter()
                .map(index)
                .collect(),
        };
        schema.check()?;
        let name = schema.name.clone();
        if self.0.contains_key(&name) {
            return Err(Failure::bad("ResourceInUseException", format!("Table already exists: {name}")));
        }
        let table = Table::new(schema)?;
        let described = table.describe("ACTIVE");
        self.0.insert(name, table);
        Ok(json!({ "TableDescription": described }))
    }

    fn list_tables(&self, request: &ListTables) -> Result<Value, Failure> {
        let limit = request.limit.unwrap_or(100);
        if !(1..=100).contains(&limit) {
            return Err(invalid(format!("Value '{limit}' at 'limit' failed to satisfy constraint: it is 1 to 100")));
        }
        let start = request.exclusive_start_table_name.as_deref();
        let mut names = self.0.keys().filter(|name| start.is_none_or(|start| name.as_str() > start));
        let listed: Vec<_> = names.by_ref().take(limit).collect();
        let mut answer = json!({ "TableNames": listed });
        if names.next().is_some() {
            answer["LastEvaluatedTableName"] = json!(listed.last());
        }
        Ok(answer)
    }

    fn update_time_to_live(&mut self, request: UpdateTimeToLive) -> Result<Value, Failure> {
        let table = self.table_mut(&request.table_name)?;
        let specification = request.time_to_live_specification;
        if table.time_to_live.as_ref().is_some_and(|ttl| ttl.enabled) == specification.enabled {
            let state = if specification.enabled { "enabled" } else { "disabled" };
            return Err(invalid(format!("TimeToLive is already {state}")));
        }
        let TimeToLive { attribute_name, enabled } = specification.clone();
        table.time_to_live = Some(specification);
        Ok(json!({ "TimeToLiveSpecification": { "AttributeName": attribute_name, "Enabled": enabled } }))
    }
}

/// The name in a request may be an ARN.
fn table_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn not_found(name: &str) -> Failure {
    Failure::bad("ResourceNotFoundException", format!("Requested resource not found: Table: {name} not found"))
}
