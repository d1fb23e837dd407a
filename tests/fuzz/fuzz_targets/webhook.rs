//! Any webhook body: read as an update and looked at, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polybot::incoming::Incoming;
use teloxide::types::{Update, UpdateKind};

fuzz_target!(|body: &[u8]| {
    let Ok(update) = serde_json::from_slice::<Update>(body) else { return };
    if let UpdateKind::Message(message) | UpdateKind::EditedMessage(message) = &update.kind {
        let _ = Incoming::read(message, "a_bot");
    }
});
