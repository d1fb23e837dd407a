//! Any text as a caption, as a message and as a button: understood or refused in words that a message can hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polybot::command::{self, Command};
use polybot::reply;

fuzz_target!(|text: &str| {
    match command::caption(Some(text)) {
        // What was understood says itself so that it is understood the same.
        Ok(command) => {
            let said = command.to_string();
            let again = command::caption(Some(&said));
            assert_eq!(again.ok().as_ref().map(Command::to_string), Some(said));
        }
        Err(error) => assert!((1..=4096).contains(&reply::caption_error(&error).chars().count())),
    }
    let _ = command::text(text);
    let _ = polybot::buttons::press(text);
    let me = polybot::Me { id: 1, name: "a_bot".into(), reads_groups: true };
    let _ = polybot::incoming::names(text, &serde_json::Value::Null, &me);
});
