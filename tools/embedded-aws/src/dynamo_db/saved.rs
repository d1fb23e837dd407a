//! All tables as a snapshot keeps them, in the layout that earlier versions wrote; what else they wrote is ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attribute::Item;
use super::schema::Schema;

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Saved {
    #[serde(default)]
    pub(super) tables: BTreeMap<String, SavedTable>,
    /// By table.
    #[serde(default)]
    pub(super) ttl_configs: BTreeMap<String, TimeToLive>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SavedTable {
    #[serde(flatten)]
    pub(super) schema: Schema,
    /// By partition and sort key, as texts that only have to differ: the items have their keys in them.
    #[serde(default)]
    pub(super) items: BTreeMap<String, BTreeMap<String, Item>>,
}

/// Which attribute says when an item expires.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct TimeToLive {
    #[serde(alias = "AttributeName")]
    pub(super) attribute_name: String,
    #[serde(alias = "Enabled")]
    pub(super) enabled: bool,
}
