//! Every sentence that a user reads.

use fleet::{Deed, FailureReason, Label, Prediction, Status, Wish, summary};

use crate::command::{self, CaptionError, Command};
use crate::filter_error::FilterError;
use photo::filters::{ConcatError, Filter, MAX_PHOTOS, MIN_PHOTOS};

/// How to use the bot, from the same table as the grammar.
#[must_use]
pub fn help(reads_groups: bool) -> String {
    let groups = if reads_groups { "" } else { PRIVACY_MODE };
    format!(
        "Hello! Send me a photo and I find the objects in it: you get the photo back with a box around each and a \
         summary.\n\nWith one of these captions I do something else. What is in brackets may be left out:\n\n{}{groups}",
        command::help()
    )
}

/// What is kept and for how long, as far as settings say it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The region of AWS where it lies.
    pub region: String,
    /// Days after which the bucket removes photos and results.
    pub image_days: Option<u32>,
}

/// What is kept, where and for how long.
#[must_use]
pub fn privacy(kept: &Kept) -> String {
    let days = |time: std::time::Duration| time.as_secs() / (24 * 3600);
    let images = match kept.image_days {
        Some(days) => format!("for {days} days"),
        None => "until whoever runs me removes them".into(),
    };
    format!(
        "What I keep of what you send me, in the AWS region {}:\n\
         • photos that I look for objects in, and the pictures that I make of them: {images};\n\
         • a record of each: who sent it and in which chat, what was found, the caption of an album: for {} days;\n\
         • what a message asks: until it is answered; that it was, for a day, and a fingerprint of a photo's caption for three.\n\
         Photos that I only filter, and texts, are not kept. Telegram keeps our chat itself.\n\
         /forget deletes all of yours at once; in a group, what you sent there.",
        kept.region,
        days(fleet::prediction::RETENTION),
    )
}

/// What was deleted. It has no numbers: an earlier try may have deleted a part.
#[must_use]
pub fn forgotten(is_group: bool) -> String {
    let place = if is_group { " in this group" } else { "" };
    format!(
        "I forgot what you sent me{place}: photos, results and records are deleted. What Telegram shows in this chat is \
         Telegram's; delete it there."
    )
}

/// It could not be deleted for too long.
pub const NOT_FORGOTTEN: &str = "Sorry, I could not delete all of what you sent me: something on my side kept failing; please send /forget again later.";

/// What the help ends with while BotFather's privacy mode is on: groups then show the bot commands and replies to it only.
pub const PRIVACY_MODE: &str = "\nIn groups Telegram shows me only commands such as /predict@me and replies to me. To speak to \
    me by name there, make me an administrator, or have my owner send /setprivacy to @BotFather.\n";

/// Where Telegram takes no picture from the bot, or not this one.
pub const PICTURE_REFUSED: &str = "Telegram does not let me send this file here.";

/// A caption of an album that was changed.
pub const ALBUM_IS_CLOSED: &str =
    "An album is done once, with the caption it was sent with. To have it done with another one, please send it again.";

/// Why there is no result although the job was retried, as part of a sentence.
pub const KEPT_FAILING: &str = "something on my side kept failing; please try again later";

/// While the photo waits for a worker.
pub const BEING_PROCESSED: &str = "Your photo is being processed…";

/// While the photos of an album wait for workers.
pub const ALBUM_BEING_PROCESSED: &str = "Your photos are being processed…";

/// Why a photo was not processed, as part of a sentence.
pub const TOO_LARGE_REASON: &str = "it is larger than the 20 MiB that Telegram lets me download";

/// Telegram does not give the photo, as part of a sentence.
pub const GONE_REASON: &str = "Telegram does not give me the file; please send it again";

/// `concat` under a single photo.
pub const CONCAT_NEEDS_AN_ALBUM: &str =
    "To join photos, send 2 to 10 of them together as one album, with \"concat\" as its caption.";

/// A photo of an album that is joined already.
pub const TOO_LATE_TO_BE_JOINED: &str = "This photo came to me when I had joined the others of its album, so it is not among \
    them. To have all of them joined, please send the album again.";

/// A button whose photo can't be found, as when its message was deleted.
pub const ORIGINAL_IS_GONE: &str = "The original photo is gone. Please send it again.";

/// A button that this version does not know.
pub const OLD_BUTTON: &str = "This button does not work any more. Please send the photo again.";

/// The photo can't be downloaded from Telegram because of its size.
pub const TOO_LARGE: &str = "Your photo is too large: Telegram lets me download at most 20 MiB.";

/// The answer to a finished prediction.
#[must_use]
pub fn answer(prediction: &Prediction) -> String {
    match prediction.status {
        Status::Failed => failed(&reason(&prediction.failure_reason().unwrap_or(FailureReason::Unknown))),
        Status::Queued => BEING_PROCESSED.into(),
        Status::Done => format!("{}{}", found(&prediction.labels, &prediction.wish), confidences(prediction)),
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

/// The same, as part of a sentence.
#[must_use]
pub fn no_image_reason(what: &str) -> String {
    format!("it is {what}, not a JPEG, PNG, WebP, GIF or BMP image")
}

/// Parts of an album that can't be read, told once.
#[must_use]
pub fn left_out(parts: &[String]) -> String {
    let what = match parts {
        [part] => part.clone(),
        parts => format!("{} parts of your album ({})", parts.len(), parts.join(", ")),
    };
    format!("I left out {what}: I can read JPEG, PNG, WebP, GIF and BMP images only.")
}

/// In place of a picture that Telegram does not take; `caption` says what it was.
#[must_use]
pub fn without_picture(caption: &str) -> String {
    format!("\"{caption}\" is done, but Telegram does not let me send pictures here.")
}

/// What was found.
fn found(labels: &[Label], wish: &Wish) -> String {
    if labels.is_empty() {
        let what = match wish.classes.as_slice() {
            [] => "nothing I know".to_owned(),
            [class] => format!("no {class}"),
            [classes @ .., last] => format!("no {} or {last}", classes.join(", ")),
        };
        let sure = wish.percent.map(|percent| format!(" that I am {percent} % sure of")).unwrap_or_default();
        let done = match wish.deed {
            Deed::Mark | Deed::Count => "",
            Deed::Blur { .. } => ", so nothing is blurred",
            Deed::Crop => ", so nothing is cut out",
        };
        return format!("I see {what} in this photo{sure}{done}.");
    }
    let summary = summary(labels);
    match wish.deed {
        Deed::Mark | Deed::Count => format!("I see {summary}."),
        Deed::Blur { .. } => format!("I blurred {summary}."),
        Deed::Crop => format!("I cut out {summary}."),
    }
}

/// A photo that was not taken in.
#[must_use]
pub fn refused(refused: &FailureReason) -> String {
    match refused {
        FailureReason::TooLargeToDownload => TOO_LARGE.into(),
        FailureReason::OtherThanAnImage { what } => not_an_image(what),
        other => failed(&reason(other)),
    }
}

/// Why there is no result, as part of a sentence.
#[must_use]
pub fn reason(reason: &FailureReason) -> String {
    match reason {
        FailureReason::PhotoGone => "your photo is no longer stored; please send it again".into(),
        FailureReason::NotAnImage => "this is not an image in a format I can read (JPEG, PNG, WebP, GIF or BMP)".into(),
        FailureReason::OtherThanAnImage { what } => no_image_reason(what),
        FailureReason::TooManyBytes { bytes, limit } => {
            format!("the file has {bytes} bytes; at most {limit} are accepted")
        }
        FailureReason::TooManyPixels { width, height, limit } => {
            format!("the image is {width} x {height} pixels; at most {limit} pixels are accepted")
        }
        FailureReason::TooMuchMemory => {
            "the image needs more memory than I have for one; please send a smaller one".into()
        }
        FailureReason::Damaged => "the image can't be read: it is damaged, cut off, or of a rare kind".into(),
        FailureReason::DetectorFailed => "the detector failed on this photo".into(),
        FailureReason::DetectorPanicked => "something in this photo breaks the detector".into(),
        FailureReason::ResultNotEncoded => "the annotated photo can't be written".into(),
        FailureReason::JobVersion => {
            "this photo was queued by another version of the service; please send it again".into()
        }
        FailureReason::RetriesExhausted => KEPT_FAILING.into(),
        FailureReason::NotGivenByTelegram => GONE_REASON.into(),
        FailureReason::TooLargeToDownload => TOO_LARGE_REASON.into(),
        // What an older version claimed, nobody had done.
        FailureReason::InWords { words } => words.replace("; it was reported, ", "; ").replace("; it was reported", ""),
        FailureReason::Unknown => "something went wrong; please try again".into(),
    }
}

/// Why a filter made nothing.
#[must_use]
pub(crate) fn filter_failed(error: &FilterError) -> String {
    match error {
        FilterError::Photo(refused) => failed(&reason(refused)),
        FilterError::Concat(ConcatError::TooFew) => failed(&format!(
            "concat joins at least {MIN_PHOTOS} photos; send them together as one album, with the caption on any of them"
        )),
        FilterError::Concat(ConcatError::TooMany(count)) => {
            failed(&format!("concat joins at most {MAX_PHOTOS} photos, not {count}"))
        }
        FilterError::Concat(ConcatError::Empty(number)) => failed(&format!("photo {number} is empty")),
        FilterError::Panicked => failed("something in this photo breaks the filter"),
        FilterError::ResultNotEncoded => failed("the result can't be written"),
        FilterError::ResultsTooLarge => {
            failed("together the results are larger than Telegram takes; please send fewer or smaller photos")
        }
    }
}

/// What is wrong with those photos of an album of `count` that no filter could be applied to: a line for each, numbered as they
/// were sent, as in [`album_answer`].
#[must_use]
pub(crate) fn album_failures(failed: &[(usize, FilterError)], count: usize) -> String {
    let line = |(number, error): &(usize, FilterError)| match count {
        1 => filter_failed(error),
        _ => format!("{}. {}", number + 1, filter_failed(error)),
    };
    failed.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Why there is no result.
#[must_use]
pub fn failed(reason: &str) -> String {
    format!("Sorry, I could not process your photo: {}.", reason.trim_end_matches('.'))
}

/// What is wrong with a caption.
#[must_use]
pub fn caption_error(error: &CaptionError) -> String {
    match error {
        CaptionError::Misspelt { caption, nearest } => {
            format!("I do not know what to do with \"{}\". Did you mean \"{nearest}\"?", short(caption))
        }
        CaptionError::Unknown { caption } => {
            let names = command::names();
            format!("I do not know what to do with \"{}\". I know these captions: {names}.", short(caption))
        }
        CaptionError::OneAtATime { first, second } => {
            format!("I can do one thing at a time: \"{first}\" or \"{second}\", not both.")
        }
        CaptionError::OutOfRange { command, argument, from, to, given } => {
            format!("The {argument} of \"{command}\" goes from {from} to {to}; {} is outside.", short(given))
        }
        CaptionError::NotWhole { command, argument, from, to, given } => {
            let given = short(given);
            format!("The {argument} of \"{command}\" is a whole number from {from} to {to}, not \"{given}\".")
        }
        CaptionError::NotANumber { command, argument, from, to, given } => {
            format!("The {argument} of \"{command}\" is a number from {from} to {to}, not \"{}\".", short(given))
        }
        CaptionError::NoChoice { command, arguments, given } => {
            let choices = command::choices(arguments);
            format!("\"{command}\" can be followed by {choices}, not by \"{}\".", short(given))
        }
        CaptionError::NoSuchThing { command, near, given } => {
            format!("I can't find \"{}\" in a photo. Did you mean \"{command} {near}\"?", short(given))
        }
        CaptionError::Twice { command, argument, first, second } => {
            let (first, second) = (short(first), short(second));
            format!("\"{command}\" takes one {argument}, and you gave two: \"{first}\" and \"{second}\".")
        }
        CaptionError::TakesNothing { command, given } => {
            format!("\"{command}\" is written by itself; I do not understand \"{}\" beside it.", short(given))
        }
        CaptionError::Contradiction { direction, orders, given } => {
            format!("\"concat {direction}\" goes {orders}, not {given}.")
        }
    }
}

/// A caption that came without a photo.
#[must_use]
pub fn caption_without_photo(caption: &str) -> String {
    format!("Send me a photo with \"{}\" as its caption, and I will.", short(caption))
}

/// A text that is not a command.
#[must_use]
pub fn unknown_text(text: &str) -> String {
    format!("You wrote: \"{}\". Send me a photo and I find the objects in it; /help says more.", short(text))
}

/// A user's text, cut so that it can be quoted.
fn short(text: &str) -> String {
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
        let mut prediction = Prediction::queued(uuid::Uuid::nil(), 1, 2, "k".into(), fleet::Timestamp::from_secs(0));
        prediction.status = Status::Done;
        assert_eq!(answer(&prediction), "I see nothing I know in this photo.");
        let bus = Label { class: "bus".into(), cx: 0.5, cy: 0.5, width: 1.0, height: 1.0, confidence: 0.9 };
        prediction.labels = vec![bus];
        assert_eq!(answer(&prediction), "I see 1 bus.");
        prediction.wish.deed = Deed::Blur { block: None };
        assert_eq!(answer(&prediction), "I blurred 1 bus.");
        prediction.labels.clear();
        prediction.wish.classes = vec!["person".into(), "dog".into()];
        assert_eq!(answer(&prediction), "I see no person or dog in this photo, so nothing is blurred.");
        prediction.status = Status::Failed;
        // As an older version recorded it.
        prediction.failure = Some("this is not an image.".into());
        assert_eq!(answer(&prediction), "Sorry, I could not process your photo: this is not an image.");
        for (words, expected) in [
            ("the detector failed on this photo; it was reported", "the detector failed on this photo"),
            ("it kept failing; it was reported, please try again later", "it kept failing; please try again later"),
        ] {
            prediction.failure = Some(words.into());
            assert_eq!(answer(&prediction), format!("Sorry, I could not process your photo: {expected}."));
        }
        let prediction = prediction.failed(FailureReason::PhotoGone);
        assert_eq!(
            answer(&prediction),
            "Sorry, I could not process your photo: your photo is no longer stored; please send it again."
        );
    }

    #[test]
    fn why_a_filter_made_nothing() {
        for (error, expected) in [
            (
                photo::PhotoError::Unreadable("at byte 7".into()).into(),
                "the image can't be read: it is damaged, cut off, or of a rare kind",
            ),
            (FailureReason::TooLargeToDownload.into(), "it is larger than the 20 MiB that Telegram lets me download"),
            (
                ConcatError::TooFew.into(),
                "concat joins at least 2 photos; send them together as one album, with the caption on any of them",
            ),
            (ConcatError::TooMany(11).into(), "concat joins at most 10 photos, not 11"),
            (FilterError::Panicked, "something in this photo breaks the filter"),
        ] {
            assert_eq!(filter_failed(&error), format!("Sorry, I could not process your photo: {expected}."));
        }
    }

    #[test]
    fn help_fits_into_a_message() {
        let help = help(false);
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
