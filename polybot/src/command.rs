//! The grammar of captions and texts. Pure: text in, command out.

/// What a photo's caption asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caption {
    /// Find the objects in the photo.
    Detect,
    /// Nothing that is known; the caption as it was written.
    Unknown(String),
}

/// What a text message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// How to use the bot.
    Help,
    /// Anything else; the text as it was written.
    Other(String),
}

/// Words that mean "find the objects".
pub const DETECT: [&str; 2] = ["predict", "detect"];
/// Words that ask for help, with or without a slash before them.
pub const HELP: [&str; 3] = ["start", "help", "hello"];

/// What a caption asks for; case and spaces do not matter, none means detection.
#[must_use]
pub fn caption(caption: Option<&str>) -> Caption {
    let words = normalised(caption.unwrap_or_default());
    if words.is_empty() || DETECT.contains(&words.as_str()) {
        Caption::Detect
    } else {
        Caption::Unknown(caption.unwrap_or_default().trim().to_owned())
    }
}

/// What a text asks for; case, spaces and a `@bot` after a slash command do not matter.
#[must_use]
pub fn text(text: &str) -> Text {
    let words = normalised(text);
    let word = words
        .strip_prefix('/')
        .map_or(words.as_str(), |command| command.split_once('@').map_or(command, |(command, _bot)| command));
    if HELP.contains(&word) { Text::Help } else { Text::Other(text.trim().to_owned()) }
}

/// Lower case, single spaces.
fn normalised(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_that_mean_detection() {
        for text in [None, Some(""), Some("  "), Some("predict"), Some("PREDICT"), Some(" Predict \n"), Some("detect")]
        {
            assert_eq!(caption(text), Caption::Detect, "{text:?}");
        }
        assert_eq!(caption(Some(" Predikt ")), Caption::Unknown("Predikt".into()));
    }

    #[test]
    fn texts_that_ask_for_help() {
        for asked in ["/start", "/help", "Hello", " HELP ", "start", "/help@polybot"] {
            assert_eq!(text(asked), Text::Help, "{asked}");
        }
        assert_eq!(text(" good morning "), Text::Other("good morning".into()));
    }
}
