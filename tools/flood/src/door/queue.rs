//! Straight to SQS.

use std::time::Duration;

use fleet::job::{self, NOBODY};
use fleet::{Job, images};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::books::Books;
use crate::records::{AnsweredWhen, Records};
use crate::{FleetStores, FloodError, Photo};

/// The most jobs that SQS takes in one call.
pub(crate) const BATCH: usize = 10;

/// Straight to SQS: the photos are stored once, then jobs that name them are put on the queue. A job is answered when its
/// record says `done`.
#[derive(Clone, Debug)]
pub struct QueueDoor {
    /// Where.
    pub fleet: FleetStores,
    /// A chat to tell every result; none, and nobody in Telegram hears of it.
    pub chat_id: Option<i64>,
}

impl QueueDoor {
    pub(crate) async fn open(self, photos: Vec<Photo>) -> Result<Open, FloodError> {
        let mut image_keys = Vec::with_capacity(photos.len());
        for photo in photos {
            let key = images::shared_key(Uuid::now_v7(), photo.extension);
            self.fleet.images.put(&key, photo.bytes, photo.content_type).await?;
            image_keys.push(key);
        }
        let records = Records::new(self.fleet.predictions.clone(), AnsweredWhen::Done);
        Ok(Open { door: self, image_keys, records })
    }
}

/// The photos are stored.
#[derive(Debug)]
pub(crate) struct Open {
    door: QueueDoor,
    image_keys: Vec<String>,
    records: Records,
}

impl Open {
    pub(crate) fn fleet(&self) -> &FleetStores {
        &self.door.fleet
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// Jobs for these moments, in the books and waited for.
    pub(crate) fn begin(&self, books: &Books, due: &[Duration]) -> Vec<Job> {
        let submitted_at = OffsetDateTime::now_utc();
        let job = |due: &Duration| {
            let number = books.sent(*due);
            let prediction_id = Uuid::now_v7();
            self.records.expect(number, prediction_id, books.now());
            let image_key = self.image_keys[number as usize % self.image_keys.len()].clone();
            let chat_id = self.door.chat_id.unwrap_or(NOBODY);
            Job { version: job::VERSION, prediction_id, chat_id, message_id: 0, image_key, submitted_at }
        };
        due.iter().map(job).collect()
    }

    /// Put them on the queue.
    pub(crate) async fn send(&self, books: &Books, jobs: Vec<Job>) {
        let queue = &self.door.fleet.queue;
        let outcome = match &jobs[..] {
            [job] => queue.send(job).await.map(|()| Vec::new()),
            jobs => queue.send_batch(jobs).await,
        };
        let not_taken = match outcome {
            Ok(not_taken) => not_taken,
            // Some may be on the queue all the same; that is nothing to count on.
            Err(error) => jobs.iter().map(|job| (job.prediction_id, in_general(&error.to_string(), job))).collect(),
        };
        for (prediction_id, reason) in not_taken {
            if let Some(job) = self.records.forget(prediction_id) {
                books.failed(job, &format!("not sent: {reason}"));
            }
        }
    }
}

/// Without the job's own name, so that the same reason is counted as the same.
fn in_general(reason: &str, job: &Job) -> String {
    reason.replace(&job.prediction_id.to_string(), "(one)")
}
