//! A finished prediction to its user, once; and one look for those that nobody called back.

use fleet::images::GetError;
use fleet::job::NOBODY;
use fleet::prediction::now;
use fleet::predictions::Written;
use fleet::{AwsError, ImageStore, Prediction, PredictionStore, Status};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::album_store::{Album, AlbumId, AlbumStore};
use crate::patience::Patience;
use crate::{Telegram, TelegramError, buttons, lease, reply};

/// The most that one look of the sweep delivers.
const SWEEP_BATCH: i32 = 1000;
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
    /// The albums, each answered as one.
    pub albums: AlbumStore,
    /// How long one delivery holds the record, in seconds: longer than Telegram may take for a photo.
    pub lease: i64,
    /// How long an answer is tried that Telegram does not take for a reason that may pass.
    pub patience: Patience,
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
    /// Telling the user failed a while ago and has to wait; the sweep tries again.
    Later,
    /// Its album is answered when the other photos of it are finished.
    WithItsAlbum,
    /// Nobody waits for it, as for a load generator's jobs; recorded as delivered.
    ToNobody,
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
    /// It took almost as long as the lease.
    #[error("fetching and sending the answer took too long")]
    TooSlow,
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
    /// [`DeliverError`]; nothing is lost, the sweep tries again for as long as [`Patience`] says.
    pub async fn deliver(&self, prediction_id: Uuid) -> Result<Delivered, DeliverError> {
        let prediction = self.predictions.get(prediction_id).await?.ok_or(DeliverError::Unknown(prediction_id))?;
        if prediction.delivered_at.is_some() {
            return Ok(Delivered::Before);
        }
        if prediction.status == Status::Queued {
            return Err(DeliverError::NotFinished(prediction_id));
        }
        if let Some(album) = prediction.album.as_deref().and_then(AlbumId::from_record) {
            return self.deliver_album(&album, &prediction).await;
        }
        if prediction.chat_id == NOBODY {
            self.mark(&prediction).await?;
            return Ok(Delivered::ToNobody);
        }
        if prediction.tell_after.is_some_and(|after| after > now()) {
            return Ok(Delivered::Later);
        }
        let leased_until = now() + self.lease;
        if self.predictions.lease(&prediction, now(), leased_until).await? == Written::NotAsExpected {
            return Ok(Delivered::InProgress);
        }
        let outcome = match self.within_lease(self.tell(&prediction)).await {
            Ok(()) => Delivered::Now,
            Err(DeliverError::Telegram(error)) if error.is_final() => {
                tracing::warn!(%prediction_id, %error, "Telegram refuses the answer for good");
                Delivered::Refused
            }
            Err(error) => {
                if let Err(error) = self.put_off(&prediction, leased_until, &error).await {
                    tracing::warn!(%prediction_id, %error, "the lease was not given back; it ends by itself");
                }
                return Err(error);
            }
        };
        self.mark(&prediction).await?;
        metrics::counter!("polybot_delivered_total").increment(1);
        tracing::info!(%prediction_id, chat_id = prediction.chat_id, ?outcome, "delivered");
        if let Some(status_message_id) = prediction.status_message_id
            && let Err(error) = self.telegram.delete_message(prediction.chat_id, status_message_id).await
        {
            tracing::warn!(%prediction_id, %error, "the message that says to wait was left behind");
        }
        Ok(outcome)
    }

    /// Stop before the lease ends: then somebody else may tell.
    async fn within_lease(&self, tell: impl Future<Output = Result<(), DeliverError>>) -> Result<(), DeliverError> {
        tokio::time::timeout(lease::working_time(self.lease), tell).await.unwrap_or(Err(DeliverError::TooSlow))
    }

    async fn tell(&self, prediction: &Prediction) -> Result<(), DeliverError> {
        let (chat_id, message_id) = (prediction.chat_id, prediction.message_id);
        let answer = reply::answer(prediction);
        if let Some(key) = prediction.predicted_img_path.as_deref().filter(|_| prediction.status == Status::Done) {
            let (photo, ()) = tokio::join!(self.images.get(key, MAX_PHOTO), self.telegram.show_uploading(chat_id));
            match photo {
                Ok(photo) => {
                    let buttons = buttons::under_result();
                    match self.telegram.send_photo(chat_id, message_id, photo, &answer, buttons).await {
                        Ok(()) => return Ok(()),
                        // The words may be taken where the picture is not.
                        Err(error) if error.is_final() => tracing::warn!(%error, "Telegram refuses the picture"),
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(GetError::Aws(error)) => return Err(error.into()),
                // The photo has expired; the summary is worth telling all the same.
                Err(error) => tracing::error!(%error, "the annotated photo can't be sent"),
            }
        }
        self.telegram.send_text(chat_id, message_id, &answer).await?;
        Ok(())
    }

    /// Tell the user of an album, if all its photos are finished.
    async fn deliver_album(&self, id: &AlbumId, asked: &Prediction) -> Result<Delivered, DeliverError> {
        let album = self.albums.get(id).await?.unwrap_or_default();
        if album.delivered {
            // Told, but perhaps not marked on each part.
            self.mark(asked).await?;
            return Ok(Delivered::Before);
        }
        let mut parts = Vec::with_capacity(album.parts.len());
        for &part in &album.parts {
            match self.predictions.get(part).await? {
                Some(part) if part.status != Status::Queued => parts.push(part),
                // Queued, or about to be.
                _ => return Ok(Delivered::WithItsAlbum),
            }
        }
        if album.tell_after.is_some_and(|after| after > now()) {
            return Ok(Delivered::Later);
        }
        let leased_until = now() + self.lease;
        let Some(album) = self.albums.lease(id, now(), leased_until).await? else {
            return Ok(Delivered::InProgress);
        };
        let outcome = match self.within_lease(self.tell_album(album.chat_id, &parts)).await {
            Ok(()) => Delivered::Now,
            Err(DeliverError::Telegram(error)) if error.is_final() => {
                tracing::warn!(album = id.as_str(), %error, "Telegram refuses the answer for good");
                Delivered::Refused
            }
            Err(error) => {
                if let Err(error) = self.put_album_off(id, &album, &parts, leased_until, &error).await {
                    tracing::warn!(album = id.as_str(), %error, "the lease was not given back; it ends by itself");
                }
                return Err(error);
            }
        };
        self.albums.delivered(id, now()).await?;
        self.mark_all(&parts).await?;
        metrics::counter!("polybot_delivered_total").increment(parts.len() as u64);
        tracing::info!(album = id.as_str(), photos = parts.len(), ?outcome, "album delivered");
        if let Some(status_message_id) = album.status_message_id
            && let Err(error) = self.telegram.delete_message(album.chat_id, status_message_id).await
        {
            tracing::warn!(album = id.as_str(), %error, "the message that says to wait was left behind");
        }
        Ok(outcome)
    }

    /// Telling the user failed for a reason that may pass: leave it for later, longer each time, or give it up.
    async fn put_off(&self, prediction: &Prediction, leased_until: i64, error: &DeliverError) -> Result<(), AwsError> {
        let now = now();
        let since = prediction.untold_since.unwrap_or(now);
        match self.patience.next_try(since, now) {
            Some(after) => {
                let place = self.patience.place(after);
                let written = self.predictions.put_off(prediction, leased_until, since, after, place).await?;
                let (Written::Now | Written::NotAsExpected) = written;
            }
            None => self.give_up(prediction, error).await?,
        }
        Ok(())
    }

    /// The same for an album, of which each part is in the sweep's index.
    async fn put_album_off(
        &self,
        id: &AlbumId,
        album: &Album,
        parts: &[Prediction],
        leased_until: i64,
        error: &DeliverError,
    ) -> Result<(), AwsError> {
        let now = now();
        let since = album.untold_since.unwrap_or(now);
        match self.patience.next_try(since, now) {
            Some(after) => {
                // The album decides; its parts are only moved so that the sweep does not find them all the time.
                self.albums.put_off(id, leased_until, since, after).await?;
                for part in parts {
                    let written = self.predictions.set_place(part, self.patience.place(after)).await?;
                    let (Written::Now | Written::NotAsExpected) = written;
                }
            }
            None => {
                // The parts first: dying in between leaves an album that is due, for those of them that are left.
                for part in parts {
                    self.give_up(part, error).await?;
                }
                self.albums.give_up(id, leased_until).await?;
            }
        }
        Ok(())
    }

    async fn give_up(&self, prediction: &Prediction, error: &DeliverError) -> Result<(), AwsError> {
        if self.predictions.give_up(prediction).await? == Written::Now {
            metrics::counter!("polybot_undeliverable_total").increment(1);
            tracing::error!(
                prediction_id = %prediction.prediction_id,
                chat_id = prediction.chat_id,
                %error,
                "an answer could not be sent for too long; it can be redriven"
            );
        }
        Ok(())
    }

    /// Mark what was told: while it is not marked, the user may be told again.
    async fn mark(&self, prediction: &Prediction) -> Result<(), AwsError> {
        let (Written::Now | Written::NotAsExpected) = lease::insist(
            || self.predictions.mark_delivered(prediction, now()),
            |error| tracing::warn!(prediction_id = %prediction.prediction_id, %error, "not marked yet"),
        )
        .await?;
        Ok(())
    }

    async fn mark_all(&self, parts: &[Prediction]) -> Result<(), AwsError> {
        for part in parts {
            self.mark(part).await?;
        }
        Ok(())
    }

    async fn tell_album(&self, chat_id: i64, parts: &[Prediction]) -> Result<(), DeliverError> {
        let Some(first) = parts.first() else { return Ok(()) };
        let mut photos = Vec::with_capacity(parts.len());
        for part in parts.iter().filter(|part| part.status == Status::Done) {
            match self.images.get(part.predicted_img_path.as_deref().unwrap_or_default(), MAX_PHOTO).await {
                Ok(photo) => photos.push(photo),
                Err(GetError::Aws(error)) => return Err(error.into()),
                Err(error) => tracing::error!(%error, "an annotated photo can't be sent"),
            }
        }
        let answer = reply::album_answer(parts);
        let sent = match photos.len() {
            0 => Ok(false),
            1 => {
                let photo = photos.remove(0);
                self.telegram.send_photo(chat_id, first.message_id, photo, &answer, Vec::new()).await.map(|()| true)
            }
            _ => self.telegram.send_album(chat_id, first.message_id, photos, &answer).await.map(|()| true),
        };
        match sent {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // The words may be taken where one of the pictures is not.
            Err(error) if error.is_final() => tracing::warn!(%error, "Telegram refuses the pictures"),
            Err(error) => return Err(error.into()),
        }
        self.telegram.send_text(chat_id, first.message_id, &answer).await?;
        Ok(())
    }

    /// One look for what was finished an interval ago or earlier and nobody called back for, and for what failed before and is
    /// due again.
    pub(crate) async fn sweep(&self, shutdown: &CancellationToken) {
        let until = self.patience.place(now());
        for status in [Status::Done, Status::Failed] {
            let found = self.predictions.undelivered(status, until, SWEEP_BATCH).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "the sweep can't look for undelivered predictions");
                    continue;
                }
            };
            for prediction_id in found {
                if shutdown.is_cancelled() {
                    return;
                }
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
