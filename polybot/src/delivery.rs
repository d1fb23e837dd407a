//! A finished prediction to its user, once; and one look for those that nobody called back.

use std::time::Duration;

use bytes::Bytes;
use fleet::images::GetError;
use fleet::job::NOBODY;
use fleet::predictions::Written;
use fleet::{AwsError, Clock, Deed, ImageStore, Prediction, PredictionStore, Room, Status};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use uuid::Uuid;

use crate::album_store::{Album, AlbumId, AlbumStore};
use crate::memory::Memory;
use crate::patience::Patience;
use crate::telegram::{Picture, Place, Sent};
use crate::{Telegram, TelegramError, buttons, lease, reply};

/// The most that one look of the sweep delivers.
const SWEEP_BATCH: i32 = 1000;
/// The largest annotated photo that is sent, in bytes; of a larger one the words are.
const MAX_PHOTO: u64 = 25 << 20;
/// The largest album: what is beyond is told in words.
const MAX_ALBUM: u64 = 45 << 20;
/// So many answers are sent side by side by one look of the sweep: a chat that has to wait holds its own.
const SIDE_BY_SIDE: usize = 32;

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
    /// What time it is.
    pub clock: Clock,
    /// How long one delivery holds the record, in seconds: longer than Telegram may take for a photo.
    pub lease: i64,
    /// Those who remove messages that say to wait; finished before the service ends.
    pub working: TaskTracker,
    /// What pictures take while they are sent.
    pub memory: Memory,
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
    /// Nobody is there to be told, as when the user blocked the bot; recorded as delivered.
    Unreachable,
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
    #[tracing::instrument(name = "delivery", skip_all, fields(%prediction_id, chat_id = Empty))]
    pub async fn deliver(&self, prediction_id: Uuid) -> Result<Delivered, DeliverError> {
        let prediction = self.predictions.get(prediction_id).await?.ok_or(DeliverError::Unknown(prediction_id))?;
        tracing::Span::current().record("chat_id", prediction.chat_id);
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
        if prediction.tell_after.is_some_and(|after| after > self.clock.now()) {
            return Ok(Delivered::Later);
        }
        let leased_until = self.clock.now() + self.lease;
        if self.predictions.lease(&prediction, self.clock.now(), leased_until).await? == Written::NotAsExpected {
            return Ok(Delivered::InProgress);
        }
        let outcome = match self.within_lease(self.tell(&prediction)).await {
            Ok(sent) => {
                self.keep_up_with(&prediction, sent).await;
                Delivered::Now
            }
            Err(DeliverError::Telegram(error)) if error.is_unreachable() => {
                tracing::warn!(%prediction_id, %error, "nobody is there who could be told");
                Delivered::Unreachable
            }
            Err(error) => {
                if let Err(error) = self.put_off(&prediction, leased_until, &error).await {
                    tracing::warn!(%prediction_id, %error, "the lease was not given back; it ends by itself");
                }
                return later_or(error);
            }
        };
        self.mark(&prediction).await?;
        metrics::counter!("polybot_delivered_total").increment(1);
        fleet::log!(DELIVERED, %prediction_id, chat_id = prediction.chat_id, ?outcome, "delivered");
        // It may have been sent since the record was read. After the mark nobody adds one.
        let status_message_id = match prediction.status_message_id {
            Some(id) => Some(id),
            None => match self.predictions.get(prediction_id).await {
                Ok(marked) => marked.and_then(|prediction| prediction.status_message_id),
                Err(error) => {
                    tracing::warn!(%prediction_id, %error, "a message that says to wait may be left behind");
                    None
                }
            },
        };
        if let Some(status_message_id) = status_message_id {
            self.remove(prediction.chat_id, status_message_id);
        }
        Ok(outcome)
    }

    /// Stop before the lease ends: then somebody else may tell.
    async fn within_lease<T>(&self, tell: impl Future<Output = Result<T, DeliverError>>) -> Result<T, DeliverError> {
        self.clock.timeout(lease::working_time(self.lease), tell).await.unwrap_or(Err(DeliverError::TooSlow))
    }

    async fn tell(&self, prediction: &Prediction) -> Result<Sent, DeliverError> {
        let place = place_of(prediction);
        let answer = reply::answer(prediction);
        // A chat that can't be written to for an hour should cost no picture.
        self.telegram.ready(place.chat_id).await?;
        if let Some(key) = picture_of(prediction) {
            let (photo, ()) = tokio::join!(self.picture(key, MAX_PHOTO), self.telegram.show_uploading(&place));
            if let Some((jpeg, _room)) = photo? {
                let picture = Picture { jpeg, spoiler: prediction.spoiler };
                let buttons = buttons::under_result();
                return Ok(self.telegram.send_picture(&place, &picture, &answer, buttons, &answer).await?);
            }
        }
        Ok(self.telegram.send_text(&place, &answer).await?)
    }

    /// A picture from the bucket, when there is memory for it. Nothing, if it can't be had: the words are worth telling all the
    /// same.
    async fn picture(&self, key: &str, limit: u64) -> Result<Option<(Bytes, Room)>, DeliverError> {
        let opened = match self.images.open(key, limit).await {
            Ok(opened) => opened,
            Err(GetError::Aws(error)) => return Err(error.into()),
            Err(error) => {
                fleet::log!(PICTURE_MISSING, %error, "the annotated photo can't be sent");
                return Ok(None);
            }
        };
        let room = self.memory.for_file(opened.bytes()).await;
        Ok(Some((opened.read().await?, room)))
    }

    /// The group may have become a supergroup: what else is sent for this record goes there.
    async fn keep_up_with(&self, prediction: &Prediction, sent: Sent) {
        if sent.chat_id != prediction.chat_id
            && let Err(error) = self.predictions.move_to(prediction.prediction_id, sent.chat_id).await
        {
            tracing::warn!(prediction_id = %prediction.prediction_id, %error, "the chat's new id was not recorded");
        }
    }

    /// Remove the message that says to wait. Nothing waits for it.
    fn remove(&self, chat_id: i64, message_id: i32) {
        let telegram = self.telegram.clone();
        self.working.spawn(async move { telegram.remove(chat_id, message_id).await });
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
        if album.tell_after.is_some_and(|after| after > self.clock.now()) {
            return Ok(Delivered::Later);
        }
        let leased_until = self.clock.now() + self.lease;
        let Some(album) = self.albums.lease(id, self.clock.now(), leased_until).await? else {
            return Ok(Delivered::InProgress);
        };
        let outcome = match self.within_lease(self.tell_album(&parts)).await {
            Ok(sent) => {
                for part in &parts {
                    self.keep_up_with(part, sent).await;
                }
                Delivered::Now
            }
            Err(DeliverError::Telegram(error)) if error.is_unreachable() => {
                tracing::warn!(album = id.as_str(), %error, "nobody is there who could be told");
                Delivered::Unreachable
            }
            Err(error) => {
                if let Err(error) = self.put_album_off(id, &album, &parts, leased_until, &error).await {
                    tracing::warn!(album = id.as_str(), %error, "the lease was not given back; it ends by itself");
                }
                return later_or(error);
            }
        };
        self.albums.delivered(id, self.clock.now()).await?;
        self.mark_all(&parts).await?;
        metrics::counter!("polybot_delivered_total").increment(parts.len() as u64);
        fleet::log!(ALBUM_DELIVERED, album = id.as_str(), photos = parts.len(), ?outcome, "album delivered");
        if let Some(status_message_id) = album.status_message_id {
            self.remove(album.chat_id, status_message_id);
        }
        Ok(outcome)
    }

    /// Telling the user failed for a reason that may pass: leave it for later, longer each time, or give it up.
    async fn put_off(&self, prediction: &Prediction, leased_until: i64, error: &DeliverError) -> Result<(), AwsError> {
        let now = self.clock.now();
        let since = prediction.untold_since.unwrap_or(now);
        match self.patience.next_try_after(since, now, wait_of(error)) {
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
        let now = self.clock.now();
        let since = album.untold_since.unwrap_or(now);
        match self.patience.next_try_after(since, now, wait_of(error)) {
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
            fleet::log!(
                ANSWER_GIVEN_UP,
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
            &self.clock,
            || self.predictions.mark_delivered(prediction, self.clock.now()),
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

    async fn tell_album(&self, parts: &[Prediction]) -> Result<Sent, DeliverError> {
        let Some(first) = parts.first() else { return Ok(Sent { chat_id: NOBODY, message_id: 0 }) };
        let place = place_of(first);
        self.telegram.ready(place.chat_id).await?;
        let (mut pictures, mut left) = (Vec::with_capacity(parts.len()), MAX_ALBUM);
        // Room for all at once: albums that hold some of it and wait for more would wait for each other.
        let _room = self.memory.for_file(MAX_ALBUM).await;
        for part in parts {
            let Some(key) = picture_of(part) else { continue };
            match self.images.open(key, left.min(MAX_PHOTO)).await {
                Ok(opened) => {
                    left -= opened.bytes();
                    pictures.push(Picture { jpeg: opened.read().await?, spoiler: part.spoiler });
                }
                Err(GetError::Aws(error)) => return Err(error.into()),
                Err(error) => fleet::log!(PICTURE_MISSING, %error, "an annotated photo can't be sent"),
            }
        }
        let answer = reply::album_answer(parts);
        Ok(self.telegram.send_pictures(&place, &pictures, &answer, &answer).await?)
    }

    /// One look for what was finished an interval ago or earlier and nobody called back for, and for what failed before and is
    /// due again.
    pub(crate) async fn sweep(&self, shutdown: &CancellationToken) {
        let until = self.patience.place(self.clock.now());
        for status in [Status::Done, Status::Failed] {
            let found = self.predictions.undelivered(status, until, SWEEP_BATCH).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "the sweep can't look for undelivered predictions");
                    continue;
                }
            };
            let mut running = JoinSet::new();
            for prediction_id in found {
                if shutdown.is_cancelled() {
                    break;
                }
                if running.len() >= SIDE_BY_SIDE {
                    running.join_next().await;
                }
                let delivery = self.clone();
                running.spawn(async move { delivery.sweep_one(prediction_id).await });
            }
            while running.join_next().await.is_some() {}
        }
    }

    async fn sweep_one(&self, prediction_id: Uuid) {
        match self.deliver(prediction_id).await {
            Ok(Delivered::Now) => {
                metrics::counter!("polybot_swept_total").increment(1);
                tracing::info!(%prediction_id, "the sweep delivered what was not called back");
            }
            Ok(_) => {}
            Err(error) => fleet::log!(DELIVERY_FAILED, %prediction_id, %error, "the sweep could not deliver"),
        }
    }
}

/// The picture that goes with an answer, if one does: not where only the number is asked for, nor where there was nothing to
/// blur or cut out.
fn picture_of(prediction: &Prediction) -> Option<&str> {
    let is_worth_it = match prediction.wish.deed {
        Deed::Mark => true,
        Deed::Count => false,
        Deed::Blur { .. } | Deed::Crop => !prediction.labels.is_empty(),
    };
    prediction.predicted_img_path.as_deref().filter(|_| prediction.status == Status::Done && is_worth_it)
}

/// Where a prediction is answered.
fn place_of(prediction: &Prediction) -> Place {
    let &Prediction { chat_id, message_id, message_thread_id, .. } = prediction;
    Place { chat_id, message_id, thread: message_thread_id }
}

/// What Telegram, or the chat's queue, says of when to try again.
fn wait_of(error: &DeliverError) -> Option<Duration> {
    if let DeliverError::Telegram(error) = error { error.retry_after() } else { None }
}

/// What was put off because its chat has to wait did not fail.
fn later_or(error: DeliverError) -> Result<Delivered, DeliverError> {
    if wait_of(&error).is_some() { Ok(Delivered::Later) } else { Err(error) }
}
