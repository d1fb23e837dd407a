//! A photo onto the road: stored, recorded, queued, and its sender told.

use fleet::prediction::now;
use fleet::predictions::Written;
use fleet::{AwsError, ImageStore, Job, JobQueue, Prediction, PredictionStore, Status, images};
use image::ImageFormat;
use teloxide::types::FileId;
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

/// One photo to detect.
#[derive(Clone, Debug)]
pub struct Request {
    /// The same at every try.
    pub prediction_id: Uuid,
    /// Where it was sent.
    pub chat_id: i64,
    /// The message with the photo.
    pub message_id: i32,
    /// Telegram's file.
    pub file_id: FileId,
    /// The answer says how sure the detector is.
    pub confidences: bool,
    /// The album it is part of.
    pub album: Option<String>,
}

/// It was not done; trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It took almost as long as an instance may hold it.
    #[error("it took too long")]
    TooSlow,
    /// Telegram failed.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
    /// AWS failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Detection {
    /// Take a photo that is answered by itself. When it returns, the job is durable, or its sender knows why there is
    /// none.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn accept(&self, request: &Request) -> Result<(), HandleError> {
        let (chat_id, message_id) = (request.chat_id, request.message_id);
        // The user reads it while the photo is under way. It is no part of the promise, so its failure is none either.
        let (stored, told) = tokio::join!(
            self.store(request.prediction_id, &request.file_id),
            self.telegram.send_text(chat_id, message_id, reply::BEING_PROCESSED)
        );
        let status_message_id = told.inspect_err(|error| tracing::warn!(%error, "the user was not told to wait")).ok();
        let outcome = match stored {
            Ok(key) => self.enqueue(request, key, status_message_id).await,
            Err(error) => Err(error),
        };
        if let (Err(_), Some(status_message_id)) = (&outcome, status_message_id) {
            self.withdraw(chat_id, status_message_id).await;
        }
        match outcome {
            Err(HandleError::Telegram(error)) if error.is_too_large() => {
                self.telegram.send_text(chat_id, message_id, reply::TOO_LARGE).await?;
                Ok(())
            }
            Err(HandleError::Telegram(error)) if error.is_gone() => {
                tracing::warn!(%error, "a photo was not given");
                self.telegram.send_text(chat_id, message_id, &reply::failed(reply::GONE_REASON)).await?;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Take a photo of an album, which is answered as one.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn accept_part(&self, request: &Request) -> Result<(), HandleError> {
        let key = self.store(request.prediction_id, &request.file_id).await?;
        self.enqueue(request, key, None).await
    }

    /// A photo of an album that Telegram does not give: a part that has failed, so that the others are answered.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn refuse_part(&self, request: &Request, failure: &str) -> Result<(), HandleError> {
        let &Request { prediction_id, chat_id, message_id, .. } = request;
        let record = Prediction {
            status: Status::Failed,
            failure: Some(failure.to_owned()),
            album: request.album.clone(),
            ..Prediction::queued(prediction_id, chat_id, message_id, String::new(), now())
        };
        let (Written::Now | Written::NotAsExpected) = self.predictions.insert(&record).await?;
        Ok(())
    }

    /// From Telegram into the bucket; answers the key.
    async fn store(&self, prediction_id: Uuid, file_id: &FileId) -> Result<String, HandleError> {
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
        request: &Request,
        image_key: String,
        status_message_id: Option<i32>,
    ) -> Result<(), HandleError> {
        let &Request { prediction_id, chat_id, message_id, confidences, .. } = request;
        let record = Prediction {
            status_message_id,
            confidences,
            album: request.album.clone(),
            ..Prediction::queued(prediction_id, chat_id, message_id, image_key, now())
        };
        // If there is one, an earlier try wrote it; it stands, and so does the message that says to wait which it names.
        if self.predictions.insert(&record).await? == Written::NotAsExpected
            && let Some(status_message_id) = status_message_id
        {
            self.withdraw(chat_id, status_message_id).await;
        }
        self.queue.send(&Job::of(&record)).await?;
        metrics::counter!("polybot_jobs_total").increment(1);
        tracing::info!(%prediction_id, chat_id, message_id, "job queued");
        Ok(())
    }

    /// Remove a message that says to wait.
    pub(crate) async fn withdraw(&self, chat_id: i64, status_message_id: i32) {
        if let Err(error) = self.telegram.delete_message(chat_id, status_message_id).await {
            tracing::warn!(%error, "a message that says to wait was left behind");
        }
    }
}
