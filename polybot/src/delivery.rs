//! A finished prediction to its user, once; and the sweep for those that nobody called back.

use std::time::Duration;

use fleet::images::GetError;
use fleet::prediction::now;
use fleet::predictions::Written;
use fleet::{AwsError, ImageStore, Prediction, PredictionStore, Status};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Telegram, TelegramError, reply};

/// How long one delivery holds the record, in seconds: longer than Telegram may take for a photo.
const LEASE: i64 = 90;
/// How often the sweep looks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);
/// What finished this recently, in seconds, is left to its worker's call.
const SWEEP_AGE: i64 = 15;
/// The most that one look of the sweep delivers.
const SWEEP_BATCH: i32 = 100;
/// The largest annotated photo, in bytes.
const MAX_PHOTO: u64 = 50_000_000;

/// What delivers.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The bot.
    pub telegram: Telegram,
    /// The photos.
    pub images: ImageStore,
    /// The records.
    pub predictions: PredictionStore,
}

/// What became of a call to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The user was told now.
    Now,
    /// The user had been told before.
    Before,
    /// Another call is telling the user right now.
    InProgress,
    /// Telegram will never take it, as when the user blocked the bot; recorded as delivered.
    Refused,
}

/// Why the user was not told.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// There is no such prediction.
    #[error("there is no prediction {0}")]
    Unknown(Uuid),
    /// It is not finished.
    #[error("the prediction {0} is not finished yet")]
    NotFinished(Uuid),
    /// Telegram failed; the sweep tries again.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
    /// AWS failed; the sweep tries again.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Delivery {
    /// Tell the user, unless that was done or is being done. A crash between telling and marking can repeat the message,
    /// never lose it.
    ///
    /// # Errors
    /// [`DeliverError`]; nothing is lost, the sweep tries again.
    pub async fn deliver(&self, prediction_id: Uuid) -> Result<Delivered, DeliverError> {
        let prediction = self.predictions.get(prediction_id).await?.ok_or(DeliverError::Unknown(prediction_id))?;
        if prediction.delivered_at.is_some() {
            return Ok(Delivered::Before);
        }
        if prediction.status == Status::Queued {
            return Err(DeliverError::NotFinished(prediction_id));
        }
        let leased_until = now() + LEASE;
        if self.predictions.lease(prediction_id, now(), leased_until).await? == Written::NotAsExpected {
            return Ok(Delivered::InProgress);
        }
        let outcome = match self.tell(&prediction).await {
            Ok(()) => Delivered::Now,
            Err(DeliverError::Telegram(error)) if error.is_final() => {
                tracing::warn!(%prediction_id, %error, "Telegram refuses the answer for good");
                Delivered::Refused
            }
            Err(error) => {
                if let Err(error) = self.predictions.release(prediction_id, leased_until).await {
                    tracing::warn!(%prediction_id, %error, "the lease was not given back; it ends by itself");
                }
                return Err(error);
            }
        };
        let _ = self.predictions.mark_delivered(prediction_id, now()).await?;
        metrics::counter!("polybot_delivered_total").increment(1);
        tracing::info!(%prediction_id, chat_id = prediction.chat_id, ?outcome, "delivered");
        if let Some(status_message_id) = prediction.status_message_id
            && let Err(error) = self.telegram.delete_message(prediction.chat_id, status_message_id).await
        {
            tracing::warn!(%prediction_id, %error, "the message that says to wait was left behind");
        }
        Ok(outcome)
    }

    async fn tell(&self, prediction: &Prediction) -> Result<(), DeliverError> {
        let (chat_id, message_id) = (prediction.chat_id, prediction.message_id);
        let answer = reply::answer(prediction);
        if let Some(key) = prediction.predicted_img_path.as_deref().filter(|_| prediction.status == Status::Done) {
            match self.images.get(key, MAX_PHOTO).await {
                Ok(photo) => {
                    self.telegram.send_photo(chat_id, message_id, photo, &answer).await?;
                    return Ok(());
                }
                Err(GetError::Aws(error)) => return Err(error.into()),
                // The photo has expired; the summary is worth telling all the same.
                Err(error) => tracing::error!(%error, "the annotated photo can't be sent"),
            }
        }
        self.telegram.send_text(chat_id, message_id, &answer).await?;
        Ok(())
    }

    /// Deliver what is finished and nobody called back for, until `shutdown`.
    pub async fn sweep(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.sweep_once().await,
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn sweep_once(&self) {
        for status in [Status::Done, Status::Failed] {
            let found = self.predictions.undelivered(status, now() - SWEEP_AGE, SWEEP_BATCH).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "the sweep can't look for undelivered predictions");
                    continue;
                }
            };
            for prediction_id in found {
                match self.deliver(prediction_id).await {
                    Ok(Delivered::Now) => {
                        metrics::counter!("polybot_swept_total").increment(1);
                        tracing::info!(%prediction_id, "the sweep delivered what was not called back");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%prediction_id, %error, "the sweep could not deliver"),
                }
            }
        }
    }
}
