//! What is known of one photo: queued, done or failed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::job::{NOBODY, VERSION};
use crate::{FailureReason, Job, Timestamp, Wish};

/// How long a record is kept: 30 days.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a tombstone is left: longer than SQS keeps a job.
pub const TOMBSTONE_RETENTION: Duration = Duration::from_secs(15 * 24 * 3600);

/// How far a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The photo is stored, the job on the queue or about to be.
    Queued,
    /// The labels are known.
    Done,
    /// It can't be done; `failure` says why.
    Failed,
}

impl Status {
    /// As records have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// One object found; centre and size as fractions of the image, as in YOLO label files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The class's name.
    pub class: String,
    /// The centre, as a fraction of the image's width.
    pub cx: f32,
    /// The centre, as a fraction of the image's height.
    pub cy: f32,
    /// As a fraction of the image's width.
    pub width: f32,
    /// As a fraction of the image's height.
    pub height: f32,
    /// `0..=1`.
    pub confidence: f32,
}

/// The record of one photo, in DynamoDB and as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// UUIDv7; the table's partition key.
    pub prediction_id: Uuid,
    /// How far it is.
    pub status: Status,
    /// The Telegram chat to answer in.
    pub chat_id: i64,
    /// The Telegram message to answer to.
    pub message_id: i32,
    /// The S3 key of the photo.
    pub original_img_path: String,
    /// The S3 key of the annotated photo, once done.
    #[serde(default)]
    pub predicted_img_path: Option<String>,
    /// What was found, the most confident first.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// When it was queued, then when it was finished. While telling the user keeps failing it moves on,
    /// as the index of what is untold is sorted by it.
    pub time: Timestamp,
    /// The model that found it.
    #[serde(default)]
    pub model: Option<String>,
    /// Why it failed, in words. For operators and programs of an older version; others read [`Prediction::failure_reason`].
    #[serde(default)]
    pub failure: Option<String>,
    /// Why it failed, unless an older version recorded it.
    #[serde(default, rename = "failure_reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// When the user was told.
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
    /// When DynamoDB may drop the record.
    pub expires_at: Timestamp,
    /// The Telegram message that says "being processed", to remove when the answer comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message_id: Option<i32>,
    /// The album that the photo is part of; the album is answered as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<String>,
    /// The forum topic that the message is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_thread_id: Option<i32>,
    /// The photo was covered until it is tapped; so is the picture of the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spoiler: bool,
    /// The user who sent the photo, so that they can have it forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asker: Option<i64>,
    /// What is wanted of what is found.
    #[serde(default, skip_serializing_if = "Wish::is_usual")]
    pub wish: Wish,
    /// The user wants to know how sure the detector is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confidences: bool,
    /// A dead letter: it failed so often that its message was taken from the queue. An operator can redrive it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dead_letter: bool,
    /// How often its message was lost and sent anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub requeued: u32,
    /// When telling the user failed first, if it did.
    #[serde(default, rename = "untold_since", skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<Timestamp>,
    /// The earliest retry of telling the user, after that failure.
    #[serde(default, rename = "tell_after", skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

/// What a finished job found.
#[derive(Clone, Debug)]
pub struct DetectionResult {
    /// The S3 key of the annotated photo.
    pub predicted_img_path: String,
    /// What was found.
    pub labels: Vec<Label>,
    /// The model that found it.
    pub model: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Prediction {
    /// A new record, queued `now`.
    #[must_use]
    pub fn queued(
        prediction_id: Uuid,
        chat_id: i64,
        message_id: i32,
        original_img_path: String,
        now: Timestamp,
    ) -> Self {
        Self {
            prediction_id,
            status: Status::Queued,
            chat_id,
            message_id,
            original_img_path,
            predicted_img_path: None,
            labels: Vec::new(),
            time: now,
            model: None,
            failure: None,
            reason: None,
            delivered_at: None,
            expires_at: now + RETENTION,
            status_message_id: None,
            album: None,
            message_thread_id: None,
            spoiler: false,
            asker: None,
            wish: Wish::default(),
            confidences: false,
            dead_letter: false,
            requeued: 0,
            first_failed_at: None,
            next_attempt_at: None,
        }
    }

    /// Its job, submitted at this time.
    #[must_use]
    pub fn job(&self, submitted_at: OffsetDateTime) -> Job {
        Job {
            version: VERSION,
            prediction_id: self.prediction_id,
            chat_id: self.chat_id,
            message_id: self.message_id,
            image_key: self.original_img_path.clone(),
            submitted_at,
        }
    }

    /// The same record, failed for this reason.
    #[must_use]
    pub fn failed(self, reason: FailureReason) -> Self {
        Self { status: Status::Failed, failure: Some(reason.to_string()), reason: Some(reason), ..self }
    }

    /// Why it failed, if it did and the reason was recorded.
    #[must_use]
    pub fn failure_reason(&self) -> Option<FailureReason> {
        FailureReason::of_record(self.reason.as_ref(), self.failure.as_deref())
    }

    /// Whether it is a tombstone: its asker had it forgotten. Nothing is to be done for it, and nothing of it is to be kept.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.chat_id == NOBODY && self.status == Status::Failed && self.original_img_path.is_empty()
    }
}
