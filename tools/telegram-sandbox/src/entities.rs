//! What Telegram marks in a text: commands, mentions and links.

use serde_json::{Value, json};

/// Offsets count UTF-16 units, as everywhere in Telegram.
pub(crate) fn entities(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut offset = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let bare = bare.trim_end_matches([',', '.', '!', '?', ':', ';']);
        if let Some(kind) = kind_of(bare) {
            found.push(json!({ "type": kind, "offset": offset, "length": bare.encode_utf16().count() }));
        }
        offset += word.encode_utf16().count();
    }
    found
}

fn kind_of(word: &str) -> Option<&'static str> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(command) = word.strip_prefix('/') {
        let (command, addressee) = command.split_once('@').unwrap_or((command, "anyone"));
        return (is_name(command) && is_name(addressee)).then_some("bot_command");
    }
    if let Some(name) = word.strip_prefix('@') {
        return is_name(name).then_some("mention");
    }
    (word.starts_with("http://") || word.starts_with("https://")).then_some("url")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_mentions_are_marked_in_utf16() {
        assert_eq!(
            entities("🙂 /help@a_bot, ask @ada now"),
            [
                json!({ "type": "bot_command", "offset": 3, "length": 11 }),
                json!({ "type": "mention", "offset": 20, "length": 4 }),
            ]
        );
        assert!(entities("nothing / here @ all").is_empty());
    }
}
