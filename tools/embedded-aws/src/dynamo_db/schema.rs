//! What a table is told at its making: keys, types and indexes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::attribute::{Attribute, Item};
use super::invalid;
use crate::failure::Failure;
use crate::{ACCOUNT, REGION};

/// Bytes of the longest values of a partition and of a sort key.
const LONGEST: [usize; 2] = [2048, 1024];

/// As snapshots keep it; they have more, from earlier versions, which is not needed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Schema {
    pub(super) name: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) creation_date_time: OffsetDateTime,
    pub(super) key_schema: Vec<KeyElement>,
    pub(super) attribute_definitions: Vec<AttributeDefinition>,
    pub(super) billing_mode: String,
    #[serde(default)]
    pub(super) global_secondary_index: Vec<IndexSchema>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeyElement {
    #[serde(alias = "AttributeName")]
    attribute_name: String,
    #[serde(alias = "KeyType")]
    key_type: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct AttributeDefinition {
    #[serde(alias = "AttributeName")]
    attribute_name: String,
    #[serde(alias = "AttributeType")]
    attribute_type: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct IndexSchema {
    pub(super) index_name: String,
    pub(super) key_schema: Vec<KeyElement>,
    pub(super) projection_type: String,
    #[serde(default)]
    pub(super) non_key_attributes: Vec<String>,
}

/// The attributes by which a table or an index finds its items.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) partition: Key,
    pub(super) sort: Option<Key>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    /// S, N or B.
    pub(super) kind: String,
}

/// The values of an item's keys.
pub(super) type KeyValues = (Attribute, Option<Attribute>);

impl Keys {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        [&self.partition].into_iter().chain(&self.sort)
    }

    fn into_names(self) -> impl Iterator<Item = String> {
        [self.partition].into_iter().chain(self.sort).map(|key| key.name)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.iter().map(|key| key.name.as_str()).collect()
    }

    /// The values in an item; `None` if it has not all of them.
    pub(super) fn values(&self, item: &Item) -> Option<KeyValues> {
        let sort = match &self.sort {
            Some(key) => Some(item.get(&key.name)?.clone()),
            None => None,
        };
        Some((item.get(&self.partition.name)?.clone(), sort))
    }

    /// The values in an item that a table is to keep.
    pub(super) fn of_item(&self, item: &Item) -> Result<KeyValues, Failure> {
        for (key, longest) in self.iter().zip(LONGEST) {
            let name = &key.name;
            let value = item.get(name).ok_or_else(|| {
                invalid(format!("One or more parameter values were invalid: Missing the key {name} in the item"))
            })?;
            if value.kind() != key.kind {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Type mismatch for key {name} expected: {} actual: {}",
                    key.kind,
                    value.kind()
                )));
            }
            if value.is_empty() {
                return Err(invalid(format!(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot \
                     contain an empty string or binary value. Key: {name}"
                )));
            }
            if value.bytes() > longest {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Size of the key {name} has exceeded the maximum \
                     size limit of {longest} bytes"
                )));
            }
        }
        self.values(item).ok_or_else(|| invalid("The provided key element does not match the schema"))
    }

    /// The values in a request's key, which has nothing else in it.
    pub(super) fn of_key(&self, key: &Item) -> Result<KeyValues, Failure> {
        let fits = |part: &Key| key.get(&part.name).is_some_and(|value| value.kind() == part.kind);
        if key.len() != self.iter().count() || !self.iter().all(fits) {
            let names = self.names().join(" and ");
            return Err(invalid(format!("The provided key element does not match the schema: it is {names}")));
        }
        self.of_item(key)
    }

    /// Refuses an item whose values this index can't have. Those that have none of them are not in it.
    pub(super) fn check_for_index(&self, index: &str, item: &Item) -> Result<(), Failure> {
        for (key, longest) in self.iter().zip(LONGEST) {
            let Some(value) = item.get(&key.name) else { continue };
            let name = &key.name;
            if value.kind() != key.kind {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Type mismatch for Index Key {name} Expected: {} \
                     Actual: {} IndexName: {index}",
                    key.kind,
                    value.kind()
                )));
            }
            if value.is_empty() || value.bytes() > longest {
                return Err(invalid(format!(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not \
                     supported. The AttributeValue for a key attribute cannot contain an empty value, or one of more \
                     than {longest} bytes. IndexName: {index}, IndexKey: {name}"
                )));
            }
        }
        Ok(())
    }
}

impl Schema {
    pub(super) fn check(&self) -> Result<(), Failure> {
        let name = &self.name;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !(3..=255).contains(&name.len()) || !name.chars().all(is_plain) {
            return Err(invalid(format!(
                "Value '{name}' at 'tableName' failed to satisfy constraint: 3 to 255 letters, digits, '_', '-' and '.'"
            )));
        }
        let mut used: BTreeSet<String> = self.keys(&self.key_schema)?.into_names().collect();
        for (position, index) in self.global_secondary_index.iter().enumerate() {
            used.extend(self.keys(&index.key_schema)?.into_names());
            let is_known = match index.projection_type.as_str() {
                "ALL" | "KEYS_ONLY" => index.non_key_attributes.is_empty(),
                "INCLUDE" => !index.non_key_attributes.is_empty(),
                _ => false,
            };
            if !is_known {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: the projection of {} is ALL, KEYS_ONLY, or INCLUDE \
                     with NonKeyAttributes",
                    index.index_name
                )));
            }
            if self.global_secondary_index[..position].iter().any(|other| other.index_name == index.index_name) {
                let name = &index.index_name;
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Duplicate index name: {name}"
                )));
            }
        }
        if used.len() != self.attribute_definitions.len() {
            return Err(invalid(
                "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match \
                 number of attributes defined in AttributeDefinitions",
            ));
        }
        Ok(())
    }

    /// The keys that these elements, of the table or of an index, make.
    pub(super) fn keys(&self, elements: &[KeyElement]) -> Result<Keys, Failure> {
        let key = |element: &KeyElement| {
            let name = &element.attribute_name;
            let defined = self.attribute_definitions.iter().find(|definition| definition.attribute_name == *name);
            match defined.map(|definition| definition.attribute_type.as_str()) {
                Some(kind @ ("S" | "N" | "B")) => Ok(Key { name: name.clone(), kind: kind.to_owned() }),
                Some(kind) => Err(invalid(format!("Value '{kind}' at 'attributeType' of {name} is not S, N or B"))),
                None => Err(invalid(format!(
                    "One or more parameter values were invalid: Some index key attributes are not defined in \
                     AttributeDefinitions. Keys: [{name}]"
                ))),
            }
        };
        match elements {
            [partition] if partition.key_type == "HASH" => Ok(Keys { partition: key(partition)?, sort: None }),
            [partition, sort]
                if partition.key_type == "HASH"
                    && sort.key_type == "RANGE"
                    && partition.attribute_name != sort.attribute_name =>
            {
                Ok(Keys { partition: key(partition)?, sort: Some(key(sort)?) })
            }
            _ => Err(invalid(
                "Invalid KeySchema: The first KeySchemaElement is a HASH key type, and there may be a second one, \
                 a RANGE key type with another name",
            )),
        }
    }

    pub(super) fn arn(&self) -> String {
        format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{}", self.name)
    }

    /// As DescribeTable tells it.
    pub(super) fn describe(&self, status: &str, items: usize) -> Value {
        let keys = |elements: &[KeyElement]| -> Vec<_> {
            let key = |key: &KeyElement| json!({ "AttributeName": key.attribute_name, "KeyType": key.key_type });
            elements.iter().map(key).collect()
        };
        let definitions = self.attribute_definitions.iter().map(|definition| {
            json!({ "AttributeName": definition.attribute_name, "AttributeType": definition.attribute_type })
        });
        let mut described = json!({
            "TableName": self.name,
            "TableArn": self.arn(),
            "TableStatus": status,
            "CreationDateTime": self.creation_date_time.unix_timestamp_nanos() as f64 / 1e9,
            "KeySchema": keys(&self.key_schema),
            "AttributeDefinitions": definitions.collect::<Vec<_>>(),
            "BillingModeSummary": { "BillingMode": self.billing_mode },
            "ItemCount": items,
        });
        let index = |index: &IndexSchema| {
            let mut projection = json!({ "ProjectionType": index.projection_type });
            if !index.non_key_attributes.is_empty() {
                projection["NonKeyAttributes"] = json!(index.non_key_attributes);
            }
            json!({
                "IndexName": index.index_name,
                "IndexArn": format!("{}/index/{}", self.arn(), index.index_name),
                "IndexStatus": status,
                "KeySchema": keys(&index.key_schema),
                "Projection": projection,
            })
        };
        if !self.global_secondary_index.is_empty() {
            described["GlobalSecondaryIndexes"] = self.global_secondary_index.iter().map(index).collect();
        }
        described
    }
}
