//! A message of Telegram's, as far as this bot cares: who, where, which photo, which words, and whether it is for us.

use teloxide::types::{FileId, Message};

/// A photo that a message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// A photo, or a document that says it is an image: its largest size, and how many bytes it has.
    Photo(FileId, usize),
    /// Something that is no image we can read; what it is, in words.
    Other(String),
}

/// What came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The chat.
    pub chat_id: i64,
    /// The message, which answers reply to.
    pub message_id: i32,
    /// Its text or caption.
    pub words: Option<String>,
    /// What hangs on it.
    pub attached: Option<Attached>,
    /// The album it is part of.
    pub media_group: Option<String>,
    /// Whether more than one person may read the chat.
    pub is_group: bool,
    /// Whether it speaks to the bot: always in private; in a group by name, by a slash command or by a reply to the bot.
    pub is_addressed: bool,
}

impl Incoming {
    /// Read a message; `bot` is the bot's own name, without `@`. Nothing if no person sent it.
    #[must_use]
    pub fn read(message: &Message, bot: &str) -> Option<Self> {
        let from = message.from.as_ref().filter(|from| !from.is_bot)?;
        let is_group = !message.chat.is_private();
        let words = message.text().or_else(|| message.caption());
        let replies_to_us = message
            .reply_to_message()
            .and_then(|replied| replied.from.as_ref())
            .is_some_and(|author| author.is_bot && author.username.as_deref() == Some(bot));
        tracing::trace!(from = from.id.0, "a message");
        Some(Self {
            chat_id: message.chat.id.0,
            message_id: message.id.0,
            words: words.map(str::to_owned),
            attached: attached(message),
            media_group: message.media_group_id().map(|group| group.0.clone()),
            is_group,
            is_addressed: !is_group || replies_to_us || words.is_some_and(|words| names(words, bot)),
        })
    }
}

/// Whether a text in a group is for this bot: it names it, or begins with a slash and names no other.
#[must_use]
pub fn names(words: &str, bot: &str) -> bool {
    let bot = format!("@{}", bot.to_lowercase());
    let words = words.to_lowercase();
    let is_bot = |word: &str| word.trim_end_matches([',', '.', ':', '!', '?']).ends_with(&bot);
    let first = words.split_whitespace().next().unwrap_or_default();
    words.split_whitespace().any(is_bot) || (first.starts_with('/') && !first.contains('@'))
}

fn attached(message: &Message) -> Option<Attached> {
    // Telegram lists the sizes from the smallest to the largest.
    if let Some(largest) = message.photo().and_then(<[_]>::last) {
        return Some(Attached::Photo(largest.file.id.clone(), largest.file.size as usize));
    }
    if let Some(document) = message.document() {
        let mime = document.mime_type.as_ref().map(ToString::to_string).unwrap_or_default();
        return Some(match mime.as_str() {
            "image/jpeg" | "image/png" | "image/webp" | "image/gif" | "image/bmp" => {
                Attached::Photo(document.file.id.clone(), document.file.size as usize)
            }
            "image/heic" | "image/heif" => Attached::Other("a HEIC image".into()),
            "image/avif" => Attached::Other("an AVIF image".into()),
            "image/tiff" => Attached::Other("a TIFF image".into()),
            "image/svg+xml" => Attached::Other("an SVG drawing".into()),
            _ => Attached::Other("a file that is no image".into()),
        });
    }
    let what = if message.animation().is_some() {
        "an animation"
    } else if message.video().is_some() || message.video_note().is_some() {
        "a video"
    } else if message.sticker().is_some() {
        "a sticker"
    } else if message.voice().is_some() || message.audio().is_some() {
        "a sound"
    } else {
        return None;
    };
    Some(Attached::Other(what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_spoken_to_in_a_group() {
        for words in ["@PolyBot predict", "predict @polybot", "/help", "/help@polybot", "blur 5, @polybot!"] {
            assert!(names(words, "Polybot"), "{words}");
        }
        for words in ["predict", "hello all", "/help@otherbot", "@polybot2 blur", "", "mail me at a@polybotics.org"] {
            assert!(!names(words, "Polybot"), "{words}");
        }
    }
}
