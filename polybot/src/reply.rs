//! Every sentence that a user reads, but those that say what is wrong with a caption: they are the `Display` of
//! [`command::CaptionError`] and [`filters::ConcatError`](crate::filters::ConcatError), beside what they speak of.

use fleet::{Label, Prediction, Status, summary};

use crate::command::{self, Command};
use crate::filters::Filter;

/// How to use the bot, from the same table as the grammar.
#[must_use]
pub fn help() -> String {
    format!(
        "Hello! Send me a photo and I find the objects in it: you get the photo back with a box around each and a \
         summary.\n\nWith one of these captions I do something else. What is in brackets may be left out:\n\n{}",
        command::help()
    )
}

/// Why there is no result when trying again and again did not help, as part of a sentence.
pub const KEPT_FAILING: &str = "something on my side kept failing; it was reported, please try again later";

/// While the photo waits for a worker.
pub const BEING_PROCESSED: &str = "Your photo is being processed…";

/// While the photos of an album wait for workers.
pub const ALBUM_BEING_PROCESSED: &str = "Your photos are being processed…";

/// Why a photo was not processed, as part of a sentence.
pub const TOO_LARGE_REASON: &str = "it is larger than the 20 MB that Telegram lets me download";

/// Telegram does not give the photo, as part of a sentence.
pub const GONE_REASON: &str = "Telegram does not give me the file; please send it again";

/// `concat` under a single photo.
pub const CONCAT_NEEDS_AN_ALBUM: &str =
    "To join photos, send 2 to 10 of them together as one album, with \"concat\" as its caption.";

/// A button whose photo can't be found, as when its message was deleted.
pub const ORIGINAL_IS_GONE: &str = "The original photo is gone. Please send it again.";

/// A button that this version does not know.
pub const OLD_BUTTON: &str = "This button does not work any more. Please send the photo again.";

/// The photo can't be downloaded from Telegram because of its size.
pub const TOO_LARGE: &str = "Your photo is too large: Telegram lets me download at most 20 MB.";

/// A message with neither text nor photo.
pub const NO_PHOTO: &str = "I can read photos and texts only. Send me a photo and I find the objects in it.";

/// The answer to a finished prediction.
#[must_use]
pub fn answer(prediction: &Prediction) -> String {
    match prediction.status {
        Status::Failed => failed(prediction.failure.as_deref().unwrap_or("something went wrong; please try again")),
        Status::Queued => BEING_PROCESSED.into(),
        Status::Done => format!("{}{}", found(&prediction.labels), confidences(prediction)),
    }
}

/// The answer to an album: a line for each photo, numbered as they were sent.
#[must_use]
pub fn album_answer(parts: &[Prediction]) -> String {
    let line = |(number, part): (usize, &Prediction)| format!("{}. {}", number + 1, answer(part));
    parts.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// How sure the detector is of each, if the user asked for it.
fn confidences(prediction: &Prediction) -> String {
    if !prediction.confidences || prediction.labels.is_empty() {
        return String::new();
    }
    let line = |label: &Label| format!("\n{}: {:.0} %", label.class, label.confidence * 100.0);
    prediction.labels.iter().map(line).collect()
}

/// Under a photo that a filter has changed: the caption that does the same again.
#[must_use]
pub fn filtered(filter: &Filter) -> String {
    Command::Filter(*filter).to_string()
}

/// A message with something that can't be read.
#[must_use]
pub fn not_an_image(what: &str) -> String {
    format!("This is {what}; I can read JPEG, PNG, WebP, GIF and BMP images. Please send it as one of these.")
}

/// What was found.
fn found(labels: &[Label]) -> String {
    if labels.is_empty() { "I see nothing I know in this photo.".into() } else { format!("I see {}.", summary(labels)) }
}

/// Why there is no result.
#[must_use]
pub fn failed(reason: &str) -> String {
    format!("Sorry, I could not process your photo: {}.", reason.trim_end_matches('.'))
}

/// A caption that came without a photo.
#[must_use]
pub fn caption_without_photo(caption: &str) -> String {
    format!("Send me a photo with \"{}\" as its caption, and I will.", short(caption))
}

/// A text that is no command.
#[must_use]
pub fn unknown_text(text: &str) -> String {
    format!("You wrote: \"{}\". Send me a photo and I find the objects in it; /help says more.", short(text))
}

/// A user's text, cut so that it can be quoted.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 200;
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MOST).collect();
    if chars.next().is_some() { start + "…" } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let mut prediction = Prediction::queued(uuid::Uuid::nil(), 1, 2, "k".into(), 0);
        prediction.status = Status::Done;
        assert_eq!(answer(&prediction), "I see nothing I know in this photo.");
        let bus = Label { class: "bus".into(), cx: 0.5, cy: 0.5, width: 1.0, height: 1.0, confidence: 0.9 };
        prediction.labels = vec![bus];
        assert_eq!(answer(&prediction), "I see 1 bus.");
        prediction.status = Status::Failed;
        prediction.failure = Some("this is not an image.".into());
        assert_eq!(answer(&prediction), "Sorry, I could not process your photo: this is not an image.");
    }

    #[test]
    fn help_fits_into_a_message() {
        let help = help();
        assert!(help.contains("predict") && help.contains("median"));
        assert!(help.chars().count() <= 4096, "{}", help.chars().count());
    }

    #[test]
    fn quotes_are_cut_between_characters() {
        let long = "ä".repeat(1000);
        let reply = unknown_text(&long);
        assert!(reply.chars().count() < 400 && reply.contains('…'));
    }
}
