//! Any webhook body: read as an update and looked at, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polybot::Me;
use polybot::incoming::Update;

fuzz_target!(|body: &[u8]| {
    let Ok(update) = serde_json::from_slice(body) else { return };
    let _ = Update::read(&update, &Me { id: 1, name: "a_bot".into(), reads_groups: true });
});
