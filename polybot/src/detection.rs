//! A photo onto the road: stored, recorded, queued, and its sender told.

use fleet::prediction::now;
use fleet::{AwsError, ImageStore, Job, JobQueue, Prediction, PredictionStore, images, job};
use image::ImageFormat;
use teloxide::types::FileId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Telegram, TelegramError, reply};

/// What the way onto the queue needs.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The bot.
    pub telegram: Telegram,
    /// The photos.
    pub images: ImageStore,
    /// The records.
    pub predictions: PredictionStore,
    /// The jobs.
    pub queue: JobQueue,
}

/// The photo is not on the queue; trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum DetectionError {
    /// Telegram failed.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
    /// AWS failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Detection {
    /// Take a photo. When it returns, the job is durable, or its sender knows why there is none.
    ///
    /// # Errors
    /// [`DetectionError`] if it has to be tried again.
    pub async fn accept(&self, chat_id: i64, message_id: i32, file_id: &FileId) -> Result<(), DetectionError> {
        let prediction_id = Uuid::now_v7();
        // The user reads it while the photo is under way. It is no part of the promise, so its failure is none either.
        let (stored, told) = tokio::join!(
            self.store(prediction_id, file_id),
            self.telegram.send_text(chat_id, message_id, reply::BEING_PROCESSED)
        );
        let status_message_id = told.inspect_err(|error| tracing::warn!(%error, "the user was not told to wait")).ok();
        let outcome = match stored {
            Ok(key) => self.enqueue(prediction_id, chat_id, message_id, key, status_message_id).await,
            Err(error) => Err(error),
        };
        if let (Err(_), Some(status_message_id)) = (&outcome, status_message_id) {
            self.withdraw(chat_id, status_message_id).await;
        }
        match outcome {
            Err(DetectionError::Telegram(error)) if error.is_too_large() => {
                self.telegram.send_text(chat_id, message_id, reply::TOO_LARGE).await?;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// From Telegram into the bucket; answers the key.
    async fn store(&self, prediction_id: Uuid, file_id: &FileId) -> Result<String, DetectionError> {
        let photo = self.telegram.download(file_id).await?;
        let format = image::guess_format(&photo).ok();
        let extension = format.and_then(|format| format.extensions_str().first()).unwrap_or(&"img");
        let content_type = format.as_ref().map_or("application/octet-stream", ImageFormat::to_mime_type);
        let key = images::original_key(prediction_id, extension);
        self.images.put(&key, photo, content_type).await?;
        Ok(key)
    }

    /// Recorded, then queued: a worker that is faster than the record would find none.
    async fn enqueue(
        &self,
        prediction_id: Uuid,
        chat_id: i64,
        message_id: i32,
        image_key: String,
        status_message_id: Option<i32>,
    ) -> Result<(), DetectionError> {
        let record = Prediction {
            status_message_id,
            ..Prediction::queued(prediction_id, chat_id, message_id, image_key.clone(), now())
        };
        // The id is new, so it was written, now or in an attempt whose answer was lost.
        let _ = self.predictions.insert(&record).await?;
        let submitted_at = OffsetDateTime::now_utc();
        let job = Job { version: job::VERSION, prediction_id, chat_id, message_id, image_key, submitted_at };
        self.queue.send(&job).await?;
        metrics::counter!("polybot_jobs_total").increment(1);
        tracing::info!(%prediction_id, chat_id, message_id, "job queued");
        Ok(())
    }

    async fn withdraw(&self, chat_id: i64, status_message_id: i32) {
        if let Err(error) = self.telegram.delete_message(chat_id, status_message_id).await {
            tracing::warn!(%error, "a message that says to wait was left behind");
        }
    }
}
