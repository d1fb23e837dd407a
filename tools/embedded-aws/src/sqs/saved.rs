//! Queues as they are kept on disk. After a start, messages that were in flight or delayed are visible: their receivers are gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queue::{Message, Millis};

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Saved {
    pub(super) queues: BTreeMap<String, SavedQueue>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SavedQueue {
    pub(super) settings: BTreeMap<String, String>,
    pub(super) created_at: Millis,
    pub(super) changed_at: Millis,
    pub(super) messages: Vec<Message>,
}
