//! Why there is no result: what happened, as a value. polybot makes of it what a person in Telegram reads.

use serde::{Deserialize, Serialize};

/// Why a prediction failed.
///
/// Its [`Display`](std::fmt::Display) is for operators, and for programs of an older version: these read nothing but such words
/// from the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FailureReason {
    /// The photo is not in the bucket.
    #[error("the photo is no longer stored; please send it again")]
    PhotoGone,
    /// The file begins like no known image format.
    #[error("this is not an image in a format I can read (JPEG, PNG, WebP, GIF or BMP)")]
    NotAnImage,
    /// The file is known to be something else.
    #[error("it is {what}, not a JPEG, PNG, WebP, GIF or BMP image")]
    OtherThanAnImage {
        /// What it is, with its article: "a HEIC image".
        what: String,
    },
    /// The file is too large.
    #[error("the file has {bytes} bytes; at most {limit} are accepted")]
    TooManyBytes {
        /// The file's size.
        bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The image is too large.
    #[error("the image is {width} x {height} pixels; at most {limit} pixels are accepted")]
    TooManyPixels {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// The limit in force.
        limit: u64,
    },
    /// Decoding it takes more memory than there is.
    #[error("the image needs more memory than there is for one; please send a smaller one")]
    TooMuchMemory,
    /// The format is known, the content can't be decoded.
    #[error("the image can't be read: it is damaged, cut off, or of a rare kind")]
    Damaged,
    /// The detector returned an error.
    #[error("the detector failed on this photo")]
    DetectorFailed,
    /// The detector panicked.
    #[error("something in this photo breaks the detector")]
    DetectorPanicked,
    /// The annotated photo could not be encoded.
    #[error("the annotated photo can't be written")]
    ResultNotEncoded,
    /// The job was queued by another version of polybot.
    #[error("this photo was queued by another version of the service; please send it again")]
    JobVersion,
    /// It was tried as often as the queue allows.
    #[error("something kept failing; please try again later")]
    RetriesExhausted,
    /// Telegram does not give the file.
    #[error("Telegram does not give the file; please send it again")]
    NotGivenByTelegram,
    /// The file is larger than Telegram lets a bot download.
    #[error("it is larger than Telegram lets a bot download")]
    TooLargeToDownload,
    /// An older version recorded words, and nothing else.
    #[error("{words}")]
    InWords {
        /// A clause, as part of a sentence to the user.
        words: String,
    },
    /// A newer version knows a reason that this one does not.
    #[serde(other)]
    #[error("something went wrong; please try again")]
    Unknown,
}

impl FailureReason {
    /// Of a record: the value, if the words are its own; else the words. A program of an older version that redrives a prediction
    /// leaves the value, and writes other words when it fails anew.
    pub(crate) fn of_record(reason: Option<&Self>, words: Option<&str>) -> Option<Self> {
        match (reason, words) {
            (Some(reason), Some(words)) if reason.to_string() == words => Some(reason.clone()),
            (_, Some(words)) => Some(Self::InWords { words: words.to_owned() }),
            (reason, None) => reason.cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::table::attribute::Value;

    #[test]
    fn every_reason_is_read_as_it_was_written() {
        let words = || "in words".to_owned();
        let reasons = [
            FailureReason::PhotoGone,
            FailureReason::NotAnImage,
            FailureReason::OtherThanAnImage { what: words() },
            FailureReason::TooManyBytes { bytes: u64::MAX, limit: 20 << 20 },
            FailureReason::TooManyPixels { width: 60_000, height: 60_000, limit: 50_000_000 },
            FailureReason::TooMuchMemory,
            FailureReason::Damaged,
            FailureReason::DetectorFailed,
            FailureReason::DetectorPanicked,
            FailureReason::ResultNotEncoded,
            FailureReason::JobVersion,
            FailureReason::RetriesExhausted,
            FailureReason::NotGivenByTelegram,
            FailureReason::TooLargeToDownload,
            FailureReason::InWords { words: words() },
        ];
        for reason in reasons {
            let written = reason.clone().into_attribute();
            assert!(matches!(written, AttributeValue::M(_)), "{written:?}");
            assert_eq!(FailureReason::from_attribute(&written), Some(reason.clone()));
            let json = serde_json::to_string(&reason).expect("JSON");
            assert_eq!(serde_json::from_str::<FailureReason>(&json).expect("read"), reason, "{json}");
        }
    }

    #[test]
    fn old_records_have_words_and_newer_ones_reasons_that_are_not_known_here() {
        let words = FailureReason::InWords { words: "why".into() };
        assert_eq!(FailureReason::of_record(None, Some("why")), Some(words.clone()));
        let newer: FailureReason = serde_json::from_str(r#"{"kind":"moon_phase","phase":3}"#).expect("read");
        assert_eq!(newer, FailureReason::Unknown);
        assert_eq!(FailureReason::of_record(Some(&newer), Some("why")), Some(words));
        assert_eq!(FailureReason::of_record(Some(&newer), None), Some(FailureReason::Unknown));
        let known = FailureReason::PhotoGone;
        assert_eq!(FailureReason::of_record(Some(&known), Some(&known.to_string())), Some(known.clone()));
        assert_eq!(FailureReason::of_record(Some(&known), None), Some(known));
    }

    #[test]
    fn words_of_an_older_version_are_newer_than_a_value_that_it_left() {
        let left = FailureReason::RetriesExhausted;
        let newer = FailureReason::of_record(Some(&left), Some("your photo is no longer stored"));
        assert_eq!(newer, Some(FailureReason::InWords { words: "your photo is no longer stored".into() }));
    }

    #[test]
    fn nothing_is_said_of_what_did_not_fail() {
        assert_eq!(FailureReason::of_record(None, None), None);
    }
}
