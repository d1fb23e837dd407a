//! A photo onto the road: stored, recorded, queued, and its sender told.

use std::time::Duration;

use fleet::predictions::Written;
use fleet::{AwsError, Clock, FailureReason, ImageStore, JobQueue, Prediction, PredictionStore, Timestamp, images};
use image::ImageFormat;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::command::Wanted;
use crate::incoming::File;
use crate::place::Place;
use crate::{Telegram, TelegramError, content, reply};

/// The extensions under which photos are stored: those of the formats that are read.
pub(crate) const EXTENSIONS: [&str; 6] = ["jpg", "png", "webp", "gif", "bmp", UNKNOWN];
/// For what may be a photo all the same; a worker will say.
const UNKNOWN: &str = "img";

/// What the way onto the queue needs.
#[derive(Clone, Debug)]
pub(crate) struct Detection {
    pub(crate) telegram: Telegram,
    pub(crate) images: ImageStore,
    pub(crate) predictions: PredictionStore,
    pub(crate) queue: JobQueue,
    pub(crate) clock: Clock,
    /// Those who tell users to wait; finished before the service ends.
    pub(crate) working: TaskTracker,
}

/// One photo to detect.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The same at every try.
    pub(crate) prediction_id: Uuid,
    /// Where it was sent.
    pub(crate) place: Place,
    /// Telegram's file.
    pub(crate) file: File,
    /// Who sent it.
    pub(crate) asker: Option<i64>,
    /// The picture of the answer is covered, too.
    pub(crate) spoiler: bool,
    /// What is wanted of what is found.
    pub(crate) wanted: Wanted,
    /// The album it is part of.
    pub(crate) album: Option<String>,
}

/// It was not done; trying again may help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    /// It took almost as long as an instance may hold it.
    #[error("it took too long")]
    TooSlow,
    /// Telegram failed.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
    /// AWS failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The album of a photo is closed, and opens again if it is not for the bot.
    #[error("its album is being passed over at this moment")]
    AlbumBusy,
}

impl HandleError {
    /// The call of Telegram's that failed, if it was one.
    #[must_use]
    pub(crate) fn telegram(&self) -> Option<&TelegramError> {
        if let Self::Telegram(error) = self { Some(error) } else { None }
    }

    /// Nobody is there who could be told.
    #[must_use]
    pub(crate) fn is_unreachable(&self) -> bool {
        self.telegram().is_some_and(TelegramError::is_unreachable)
    }

    /// Since when Telegram does not give a file, if that is why it failed `now`: then since `before`, if it was so already. What
    /// failed before for another reason does not count.
    #[must_use]
    pub(crate) fn gone_since(&self, before: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        self.telegram().filter(|error| error.is_gone()).map(|_| before.unwrap_or(now))
    }

    /// What Telegram, or the chat's queue, says of when to try again.
    #[must_use]
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.telegram().and_then(TelegramError::retry_after)
    }

    /// Whether another try a moment later may do better.
    #[must_use]
    pub(crate) fn may_pass_soon(&self) -> bool {
        match self {
            Self::TooSlow => false,
            Self::Telegram(error) => error.may_pass() && error.retry_after().is_none(),
            Self::Aws(_) | Self::AlbumBusy => true,
        }
    }
}

/// Why a photo is not stored.
enum NotStored {
    /// It can't be.
    Refused(FailureReason),
    /// Another try may help.
    Failed(HandleError),
}

impl From<TelegramError> for NotStored {
    fn from(error: TelegramError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<AwsError> for NotStored {
    fn from(error: AwsError) -> Self {
        Self::Failed(error.into())
    }
}

impl Detection {
    /// Take a photo that is answered by itself. When it returns, the job is durable, or its sender knows why there is
    /// none.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn accept(&self, request: &Request) -> Result<(), HandleError> {
        match self.store(request).await {
            Ok(key) => {
                if self.enqueue(request, key).await? == Written::Now {
                    self.tell_to_wait(request);
                }
                Ok(())
            }
            Err(NotStored::Refused(reason)) => {
                self.telegram.send_text(&request.place, &reply::refused(&reason)).await?;
                Ok(())
            }
            Err(NotStored::Failed(error)) => Err(error),
        }
    }

    /// Take a photo of an album, which is answered as one.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn accept_part(&self, request: &Request) -> Result<(), HandleError> {
        match self.store(request).await {
            Ok(key) => {
                let (Written::Now | Written::NotAsExpected) = self.enqueue(request, key).await?;
                Ok(())
            }
            Err(NotStored::Refused(reason)) => self.refuse_part(request, reason).await,
            Err(NotStored::Failed(error)) => Err(error),
        }
    }

    /// A photo of an album that Telegram does not give: a part that has failed, so that the others are answered.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn refuse_part(&self, request: &Request, reason: FailureReason) -> Result<(), HandleError> {
        let &Request { prediction_id, place: Place { chat_id, message_id, thread }, .. } = request;
        let record = Prediction {
            album: request.album.clone(),
            message_thread_id: thread,
            asker: request.asker,
            ..Prediction::queued(prediction_id, chat_id, message_id, String::new(), self.clock.now())
        };
        let (Written::Now | Written::NotAsExpected) = self.predictions.insert(&record.failed(reason)).await?;
        Ok(())
    }

    /// From Telegram into the bucket; answers the key.
    async fn store(&self, request: &Request) -> Result<String, NotStored> {
        let photo = match self.telegram.download(&request.file.id).await {
            Ok(photo) => photo,
            Err(error) if error.is_too_large() => return Err(NotStored::Refused(FailureReason::TooLargeToDownload)),
            Err(error) => return Err(error.into()),
        };
        // What was sent as a photo is one; a file may be anything.
        if request.file.is_document
            && let Some(what) = content::not_an_image(&photo.bytes)
        {
            return Err(NotStored::Refused(FailureReason::OtherThanAnImage { what: what.into() }));
        }
        let format = image::guess_format(&photo.bytes).ok();
        let extension = format.and_then(|format| format.extensions_str().first());
        let extension = extension.filter(|extension| EXTENSIONS.contains(extension)).unwrap_or(&UNKNOWN);
        let content_type = format.as_ref().map_or("application/octet-stream", ImageFormat::to_mime_type);
        let key = images::original_key(request.prediction_id, extension);
        self.images.put(&key, photo.bytes, content_type).await?;
        Ok(key)
    }

    /// Recorded, then queued: a worker that is faster than the record would find none. Answers whether it was recorded now.
    async fn enqueue(&self, request: &Request, image_key: String) -> Result<Written, HandleError> {
        let &Request { prediction_id, place: Place { chat_id, message_id, thread }, wanted, spoiler, asker, .. } =
            request;
        let record = Prediction {
            confidences: wanted.confidences,
            asker,
            wish: wanted.wish(),
            spoiler,
            album: request.album.clone(),
            message_thread_id: thread,
            ..Prediction::queued(prediction_id, chat_id, message_id, image_key, self.clock.now())
        };
        // If there is one, an earlier try wrote it; it stands. Or its asker had all forgotten, while the photo was on its way.
        let written = self.predictions.insert(&record).await?;
        if written == Written::NotAsExpected
            && self.predictions.get(prediction_id).await?.is_none_or(|record| record.is_forgotten())
        {
            self.images.delete(&record.original_img_path).await?;
            return Ok(written);
        }
        self.queue.send(&record.job(self.clock.date())).await?;
        metrics::counter!("polybot_jobs_total").increment(1);
        fleet::log!(JOB_QUEUED, %prediction_id, chat_id, message_id, "job queued");
        Ok(written)
    }

    /// The user reads it while the photo is under way. It is no part of the promise: nothing waits for it, and where it would
    /// come late it does not come.
    fn tell_to_wait(&self, request: &Request) {
        let (detection, place, prediction_id) = (self.clone(), request.place, request.prediction_id);
        self.working.spawn(async move {
            let told = match detection.telegram.send_status(&place, reply::BEING_PROCESSED).await {
                Ok(told) => told,
                Err(error) => {
                    tracing::info!(%prediction_id, %error, "the user was not told to wait");
                    return;
                }
            };
            // Whoever answers removes it; unless that was before it could know.
            let noted = detection.predictions.note_status_message(prediction_id, told.message_id).await;
            if !matches!(noted, Ok(Written::Now)) {
                detection.telegram.remove(told.chat_id, told.message_id).await;
            }
        });
    }
}
