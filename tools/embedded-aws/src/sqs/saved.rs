//! Queues as they are written down. What was in flight or delayed is simply there again: who had received it is gone.

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
