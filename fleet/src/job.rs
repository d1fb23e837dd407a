//! What polybot puts on the queue.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::images;

/// The version of the Job that this code writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// The `chat_id` of a job that nobody in Telegram waits for, as load generators send; no chat of Telegram's has it. Its
/// result is recorded and told to nobody.
pub const NOBODY: i64 = 0;

/// One photo to detect. The SQS message's body, as JSON; `version` comes first so that a person and an old worker see
/// at once what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// [`VERSION`] of its writer.
    pub version: u32,
    /// UUIDv7: sorts by time, names the record and the images.
    pub prediction_id: Uuid,
    /// The Telegram chat to answer in, or [`NOBODY`].
    pub chat_id: i64,
    /// The Telegram message to answer to.
    pub message_id: i32,
    /// The S3 key of the photo.
    pub image_key: String,
    /// When polybot accepted it.
    #[serde(with = "time::serde::rfc3339")]
    pub submitted_at: OffsetDateTime,
}

/// A queue message that this code can't read as a Job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("the message is not a job: {0}")]
    Malformed(serde_json::Error),
    /// Written by a newer (or far older) polybot.
    #[error("the job has version {found}; this program reads version {VERSION}. Update the worker")]
    Version {
        /// The version it has.
        found: u32,
    },
    /// The key is neither one that polybot makes for this prediction nor a shared one.
    #[error("the job's image key {key:?} does not belong to prediction {prediction_id}")]
    ForeignKey {
        /// The key it has.
        key: String,
        /// The prediction it names.
        prediction_id: Uuid,
    },
}

impl Job {
    /// As JSON, for the queue.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a Job has only fields that JSON can hold")
    }

    /// From the queue.
    ///
    /// # Errors
    /// [`JobError`] if it is not a job, has another version, or names an image that is not its own.
    pub fn from_json(json: &str) -> Result<Self, JobError> {
        // The version first: a job of another version may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(json).map_err(JobError::Malformed)?;
        if version != VERSION {
            return Err(JobError::Version { found: version });
        }
        let job: Self = serde_json::from_str(json).map_err(JobError::Malformed)?;
        if !images::is_original_of(&job.image_key, job.prediction_id) && !images::is_shared(&job.image_key) {
            return Err(JobError::ForeignKey { key: job.image_key, prediction_id: job.prediction_id });
        }
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let prediction_id = Uuid::now_v7();
        Job {
            version: VERSION,
            prediction_id,
            chat_id: -100,
            message_id: 7,
            image_key: images::original_key(prediction_id, "jpg"),
            submitted_at: OffsetDateTime::from_unix_timestamp(1_790_000_000).expect("time"),
        }
    }

    #[test]
    fn json_round_trip_with_the_version_first() {
        let job = job();
        let json = job.to_json();
        assert!(json.starts_with(r#"{"version":1,"prediction_id":"#), "{json}");
        assert!(json.contains(r#""submitted_at":"2026-09-21T"#), "{json}");
        assert_eq!(Job::from_json(&json).expect("valid"), job);
    }

    #[test]
    fn another_version_is_named_even_if_its_fields_differ() {
        let error = Job::from_json(r#"{"version":2,"photo":"x"}"#).expect_err("version");
        assert!(matches!(error, JobError::Version { found: 2 }));
    }

    #[test]
    fn many_jobs_may_name_a_shared_photo() {
        let shared = Job { image_key: images::shared_key(Uuid::now_v7(), "jpg"), chat_id: NOBODY, ..job() };
        assert_eq!(Job::from_json(&shared.to_json()).expect("valid"), shared);
    }

    #[test]
    fn a_key_of_another_prediction_is_refused() {
        let keys = ["images/original/other.jpg", "../secret", "images/predicted/x.jpg"];
        for key in keys {
            let json = Job { image_key: key.into(), ..job() }.to_json();
            assert!(matches!(Job::from_json(&json), Err(JobError::ForeignKey { .. })), "{key}");
        }
    }

    #[test]
    fn what_is_no_job_is_malformed() {
        for text in ["", "hello", "{}", "[1]", r#"{"version":"1"}"#, r#"{"version":1}"#] {
            assert!(matches!(Job::from_json(text), Err(JobError::Malformed(_))), "{text}");
        }
    }
}
