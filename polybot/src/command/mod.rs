//! The grammar of captions and texts. Pure: text in, command out, or what is wrong with it.
//!
//! All that it knows stands in one table ([`TABLE`]); so do the help text, Telegram's command menu and the table in
//! `docs/CONVERSATION.md`.

mod argument;
mod caption_error;
mod classes;
mod entry;
mod given;
mod nearest;
mod reading;
mod table;
mod usage;
mod words;

use std::fmt;

pub use argument::{Argument, Kind, Word};
pub use caption_error::CaptionError;
pub use classes::Classes;
pub use entry::Entry;
pub use fleet::Deed;
pub use photo::filters::{Axis, Concat, Direction, Filter, Turn};
pub use table::TABLE;
pub use usage::{choices, help, markdown, menu, names};

use fleet::Wish;
use nearest::nearest;
use words::words;

/// What a photo's caption asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Find the objects in the photo.
    Detect(Wanted),
    /// Change the photo.
    Filter(Filter),
    /// Join the photos of an album.
    Concat(Concat),
}

/// What is wanted of what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Say how sure the detector is of each.
    pub confidences: bool,
    /// Only what the detector is so sure of, in percent; [`LEAST_PERCENT`] is all of it.
    pub percent: u8,
    /// Only these; all, if there are none.
    pub classes: Classes,
    /// What is done with them.
    pub deed: Deed,
}

/// What the detector is at least sure of all that it finds, in percent.
pub const LEAST_PERCENT: u8 = 25;

impl Default for Wanted {
    fn default() -> Self {
        Self { confidences: false, percent: LEAST_PERCENT, classes: Classes::default(), deed: Deed::Mark }
    }
}

impl Wanted {
    /// As a record keeps it.
    #[must_use]
    pub fn wish(&self) -> Wish {
        Wish {
            classes: self.classes.names().map(str::to_owned).collect(),
            percent: Some(self.percent).filter(|percent| *percent > LEAST_PERCENT),
            deed: self.deed,
        }
    }
}

/// What a text message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// How to use the bot.
    Help,
    /// What is kept of what people send.
    Privacy,
    /// Delete what is kept of the asker.
    Forget,
    /// Anything else; the text as it was written.
    Other(String),
}

/// Words that ask for help, with or without a slash before them.
pub const HELP: [&str; 3] = ["start", "help", "hello"];

/// The word that asks what is kept.
pub const PRIVACY: &str = "privacy";

/// The command that deletes what is kept.
pub const FORGET: &str = "forget";

/// What a caption asks for. None at all means detection, and so does one that only addresses somebody. Case, spaces,
/// hyphens and the order of words do not matter, nor does a slash before or `@somebot` after the first.
///
/// # Errors
/// [`CaptionError`] if it is not a command or its arguments are invalid.
pub fn caption(caption: Option<&str>) -> Result<Command, CaptionError> {
    let text = caption.unwrap_or_default();
    let only_addresses = || text.contains('@') && !words::without_names(text).contains(char::is_alphanumeric);
    if text.trim().is_empty() || only_addresses() {
        return Ok(Command::Detect(Wanted::default()));
    }
    let words = words(text);
    let (entry, rest) = name(&words)?.ok_or_else(|| unknown(text, &words))?;
    let given = reading::read(entry, &rest)?;
    (entry.command)(&given)
}

/// What a text asks for.
#[must_use]
pub fn text(text: &str) -> Text {
    let words = words(text);
    let asks = |word: &String| HELP.contains(&word.as_str());
    let is_help = match words.as_slice() {
        [] => false,
        [word] => asks(word),
        // Telegram's links to a bot send "/start something".
        [word, ..] => text.trim_start().starts_with('/') && asks(word),
    };
    match words.as_slice() {
        _ if is_help => Text::Help,
        [word] if word == PRIVACY => Text::Privacy,
        // What can't be undone needs its slash.
        [word] if word == FORGET && text.trim_start().starts_with('/') => Text::Forget,
        _ => Text::Other(text.trim().to_owned()),
    }
}

/// Whether a text begins with a word or a command of ours, be its arguments right or not.
#[must_use]
pub fn is_ours(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let first = words(first.split('@').next().unwrap_or_default());
    let is_text = |word: &str| HELP.contains(&word) || word == PRIVACY || word == FORGET;
    let is_help = matches!(first.as_slice(), [word] if is_text(word));
    let names = words::longest(&first, |joined| TABLE.iter().find(|entry| entry.is_called(joined)));
    // "/salt and pepper" has its name in several words.
    let all = words(text);
    is_help
        || names.is_some()
        || words::longest(&all, |joined| TABLE.iter().find(|entry| entry.is_called(joined))).is_some()
}

/// What is wrong with a caption that names no command.
fn unknown(caption: &str, words: &[String]) -> CaptionError {
    let caption = caption.trim().to_owned();
    match nearest(words) {
        Some(&Entry { name, .. }) => CaptionError::Misspelt { caption, nearest: name },
        None => CaptionError::Unknown { caption },
    }
}

/// The command that is named, wherever its name stands, and the other words.
fn name(words: &[String]) -> Result<Option<(&'static Entry, Vec<&str>)>, CaptionError> {
    let mut found: Option<&'static Entry> = None;
    let mut rest = Vec::new();
    let mut left = words;
    while let [word, others @ ..] = left {
        let named = words::longest(left, |joined| TABLE.iter().find(|entry| entry.is_called(joined)));
        match (named, found) {
            (None, _) => {
                rest.push(word.as_str());
                left = others;
            }
            (Some((entry, _)), Some(first)) if entry.name != first.name => {
                return Err(CaptionError::OneAtATime { first: first.name, second: entry.name });
            }
            (Some((entry, after)), _) => {
                found = Some(entry);
                left = after;
            }
        }
    }
    Ok(found.map(|entry| (entry, rest)))
}

/// The caption that asks for it, with all its arguments; read again it gives the same command. A way to hand a command
/// to another instance.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Detect(Wanted { confidences, percent, classes, deed }) => {
                match deed {
                    Deed::Mark => f.write_str("predict")?,
                    Deed::Count => f.write_str("count")?,
                    Deed::Blur { block: None } => f.write_str("blur")?,
                    Deed::Blur { block: Some(block) } => write!(f, "blur {block}")?,
                    Deed::Crop => f.write_str("crop")?,
                }
                if confidences {
                    f.write_str(" confidence")?;
                }
                if percent > LEAST_PERCENT {
                    write!(f, " {percent}")?;
                }
                if classes.is_empty() { Ok(()) } else { write!(f, " {classes}") }
            }
            Self::Filter(filter) => match filter {
                Filter::Blur { level } => write!(f, "blur {level}"),
                Filter::Contour => f.write_str("contour"),
                Filter::Rotate { direction, turn } => {
                    let direction = match direction {
                        Direction::Clockwise => "clockwise",
                        Direction::AntiClockwise => "anti-clockwise",
                    };
                    write!(f, "rotate {direction} {}", turn.degrees())
                }
                Filter::SaltAndPepper { level } => write!(f, "salt and pepper {level}"),
                Filter::Segment => f.write_str("segment"),
                Filter::Grayscale => f.write_str("grayscale"),
                Filter::Sharpen => f.write_str("sharpen"),
                Filter::Edges => f.write_str("edges"),
                Filter::Invert => f.write_str("invert"),
                Filter::Median { radius } => write!(f, "median {radius}"),
            },
            Self::Concat(concat) => f.write_str(match concat {
                Concat::LeftToRight => "concat horizontal left-to-right",
                Concat::RightToLeft => "concat horizontal right-to-left",
                Concat::TopToBottom => "concat vertical top-to-bottom",
                Concat::BottomToTop => "concat vertical bottom-to-top",
            }),
        }
    }
}

#[cfg(test)]
mod tests;
