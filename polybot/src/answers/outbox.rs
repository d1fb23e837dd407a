//! The states of an answer: waiting, leased, deferred, told, given up; over the records of its predictions and its album.
//!
//! Whoever tells the user holds a lease, on the record of a photo or on the item of its album. That is the one difference between the
//! two, and it ends in this file.

use std::time::Duration;

use fleet::predictions::Written;
use fleet::table::prediction::Deferral;
use fleet::{AwsError, Clock, Prediction, PredictionStore, Status, Timestamp};
use uuid::Uuid;

use super::answer::Answer;
use super::{DeliverError, Delivered, RetryPolicy, insist};
use crate::album_store::{Album, AlbumId, AlbumStore};

/// Where the states are.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    /// The records.
    pub(crate) predictions: PredictionStore,
    /// The albums, each answered as one.
    pub(crate) albums: AlbumStore,
    /// How long an answer is tried that can't be sent.
    pub(crate) retry_policy: RetryPolicy,
    /// How long one instance may take to tell before another may.
    pub(crate) lease: Duration,
    pub(crate) clock: Clock,
}

/// What there is to do about a prediction.
pub(crate) enum Found {
    /// Its answer is to be sent.
    Due(Pending),
    /// Nothing, for this reason.
    Nothing(Delivered),
}

/// An answer that nobody was told yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) answer: Answer,
    /// The album that it is of.
    album: Option<AlbumId>,
    /// The message that says to wait.
    pub(crate) status_message_id: Option<i32>,
    /// When telling failed first, if it did.
    first_failed_at: Option<Timestamp>,
    /// Telling is not tried again before.
    next_attempt_at: Option<Timestamp>,
}

/// The right to tell the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    until: Timestamp,
}

impl Pending {
    /// The album that it is of, for log lines.
    pub(crate) fn album(&self) -> Option<&str> {
        self.album.as_ref().map(AlbumId::as_str)
    }

    /// For log lines.
    pub(crate) fn name(&self) -> String {
        match (&self.album, self.answer.parts.first()) {
            (Some(album), _) => album.as_str().to_owned(),
            (None, Some(photo)) => photo.prediction_id.to_string(),
            (None, None) => String::new(),
        }
    }

    fn photo(prediction: Prediction) -> Self {
        Self {
            status_message_id: prediction.status_message_id,
            first_failed_at: prediction.first_failed_at,
            next_attempt_at: prediction.next_attempt_at,
            answer: Answer { parts: vec![prediction], is_album: false },
            album: None,
        }
    }

    /// What the item that is leased says now, which may be more than when it was found.
    fn refresh(&mut self, album: &Album) {
        self.status_message_id = album.status_message_id;
        self.first_failed_at = album.first_failed_at;
        self.next_attempt_at = album.next_attempt_at;
    }
}

impl Outbox {
    /// The answer that this prediction is part of.
    ///
    /// # Errors
    /// [`DeliverError::Unknown`], [`DeliverError::NotFinished`], or what AWS says.
    pub(crate) async fn find(&self, prediction_id: Uuid) -> Result<Found, DeliverError> {
        let prediction = self.predictions.get(prediction_id).await?.ok_or(DeliverError::Unknown(prediction_id))?;
        if prediction.delivered_at.is_some() {
            return Ok(Found::Nothing(Delivered::Before));
        }
        if prediction.status == Status::Queued {
            return Err(DeliverError::NotFinished(prediction_id));
        }
        let Some(id) = prediction.album.as_deref().and_then(AlbumId::from_record) else {
            return Ok(self.due(Pending::photo(prediction)));
        };
        let Some(album) = self.albums.get(&id).await? else {
            // Its sender has it forgotten, and the album is the first to go.
            return Ok(Found::Nothing(Delivered::WithItsAlbum));
        };
        if album.delivered {
            // Told, but perhaps not marked on each part.
            let (Written::Now | Written::NotAsExpected) = self.mark_part(&prediction).await?;
            return Ok(Found::Nothing(Delivered::Before));
        }
        let mut parts = Vec::with_capacity(album.parts.len());
        for &part in &album.parts {
            match self.predictions.get(part).await? {
                Some(part) if part.status != Status::Queued => parts.push(part),
                // Queued, or about to be.
                _ => return Ok(Found::Nothing(Delivered::WithItsAlbum)),
            }
        }
        if parts.is_empty() {
            return Ok(Found::Nothing(Delivered::WithItsAlbum));
        }
        let answer = Answer { parts, is_album: true };
        let mut pending =
            Pending { answer, album: Some(id), status_message_id: None, first_failed_at: None, next_attempt_at: None };
        pending.refresh(&album);
        Ok(self.due(pending))
    }

    fn due(&self, pending: Pending) -> Found {
        let is_deferred = pending.next_attempt_at.is_some_and(|next| next > self.clock.now());
        if is_deferred { Found::Nothing(Delivered::Later) } else { Found::Due(pending) }
    }

    /// Take the right to tell the user. `None` if somebody else holds it, or has told.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn lease(&self, pending: &mut Pending) -> Result<Option<Lease>, AwsError> {
        let now = self.clock.now();
        let until = now + self.lease;
        let is_leased = match (&pending.album, pending.answer.parts.as_slice()) {
            (Some(album), _) => match self.albums.lease(album, now, until).await? {
                Some(album) => {
                    pending.refresh(&album);
                    true
                }
                None => false,
            },
            (None, [photo]) => self.predictions.lease(photo, now, until).await? == Written::Now,
            (None, _) => false,
        };
        Ok(is_leased.then_some(Lease { until }))
    }

    /// How long whoever holds a lease may work.
    pub(crate) fn working_time(&self) -> Duration {
        super::working_time(self.lease)
    }

    /// The user was told, or nobody is there to be told, and no message is left that says to wait. Insisted on: while it is not
    /// written, the user may be told again. Not done if such a message was sent meanwhile: returns it, to be removed first.
    ///
    /// # Errors
    /// [`AwsError`] of the last try.
    pub(crate) async fn delivered(&self, pending: &mut Pending) -> Result<Option<i32>, AwsError> {
        if let Some(album) = &pending.album {
            let failed = |error: &AwsError| tracing::warn!(album = album.as_str(), %error, "not marked yet");
            insist(&self.clock, || self.albums.delivered(album, self.clock.now()), failed).await?;
        }
        for part in &mut pending.answer.parts {
            if self.mark_part(part).await? == Written::Now || pending.album.is_some() {
                continue;
            }
            let Some(now) = self.predictions.get(part.prediction_id).await? else { continue };
            if now.delivered_at.is_none() && now.status_message_id != part.status_message_id {
                *part = now;
                pending.status_message_id = part.status_message_id;
                return Ok(part.status_message_id);
            }
        }
        Ok(None)
    }

    async fn mark_part(&self, part: &Prediction) -> Result<Written, AwsError> {
        insist(
            &self.clock,
            || self.predictions.mark_delivered(part, self.clock.now()),
            |error| tracing::warn!(prediction_id = %part.prediction_id, %error, "not marked yet"),
        )
        .await
    }

    /// Telling the user failed for a reason that may pass: try again later, longer each time or when `wait` is over; or give it up.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the lease ends by itself, and telling is tried again then.
    pub(crate) async fn defer(
        &self,
        pending: &Pending,
        lease: Lease,
        wait: Option<Duration>,
        error: &DeliverError,
    ) -> Result<(), AwsError> {
        let now = self.clock.now();
        let first_failed_at = pending.first_failed_at.unwrap_or(now);
        let Some(next_attempt_at) = self.retry_policy.next_attempt_after(first_failed_at, now, wait) else {
            return self.give_up(pending, lease, error).await;
        };
        let index_time = self.retry_policy.index_time(next_attempt_at);
        let deferral = Deferral { held_until: lease.until, first_failed_at, next_attempt_at, index_time };
        match &pending.album {
            Some(album) => {
                // The album decides; its parts are only moved so that the sweep does not find them all the time.
                self.albums.defer(album, deferral).await?;
                for part in &pending.answer.parts {
                    let (Written::Now | Written::NotAsExpected) =
                        self.predictions.set_index_time(part, index_time).await?;
                }
            }
            None => {
                for photo in &pending.answer.parts {
                    let (Written::Now | Written::NotAsExpected) = self.predictions.defer(photo, deferral).await?;
                }
            }
        }
        Ok(())
    }

    async fn give_up(&self, pending: &Pending, lease: Lease, error: &DeliverError) -> Result<(), AwsError> {
        // The parts first: dying in between leaves an album that is due, for those of them that are left.
        for part in &pending.answer.parts {
            if self.predictions.give_up(part).await? == Written::Now {
                metrics::counter!("polybot_undeliverable_total").increment(1);
                fleet::log!(
                    ANSWER_GIVEN_UP,
                    prediction_id = %part.prediction_id,
                    chat_id = part.chat_id,
                    %error,
                    "an answer could not be sent for too long; it can be redriven"
                );
            }
        }
        match &pending.album {
            Some(album) => self.albums.give_up(album, lease.until).await,
            None => Ok(()),
        }
    }

    /// The group has become a supergroup: what else is sent for this answer goes there.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn move_to(&self, pending: &Pending, chat_id: i64) -> Result<(), AwsError> {
        for part in &pending.answer.parts {
            if part.chat_id != chat_id {
                let (Written::Now | Written::NotAsExpected) =
                    self.predictions.move_to(part.prediction_id, chat_id).await?;
            }
        }
        Ok(())
    }
}
