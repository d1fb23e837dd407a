//! Albums: photos of one media group, gathered across instances, acted on once, answered as one.
//!
//! Telegram delivers each photo of an album as an update of its own, and a load balancer may bring each to another
//! instance. So the album lies in DynamoDB ([`AlbumStore`]). There is no sign that it is complete but silence: whoever put the
//! last photo in closes it when nothing came for a while, and exactly one can. If that instance dies, the sweep takes over.

use std::time::Duration;

use fleet::AwsError;
use fleet::prediction::now;
use teloxide::types::FileId;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::album_store::{Added, Album, AlbumId, AlbumStore};
use crate::command::{self, Command};
use crate::darkroom::Darkroom;
use crate::detection::{Detection, HandleError, Request};
use crate::filters::Filter;
use crate::incoming::{Incoming, names};
use crate::{lease, reply};

/// What is silent for this long, in seconds, was left behind by an instance that died.
const ABANDONED: i64 = 20;
/// The most albums that one look of the sweep takes over.
const BATCH: i32 = 50;

/// Gathers albums and acts on them.
#[derive(Clone, Debug)]
pub struct Albums {
    /// Where they are gathered.
    pub store: AlbumStore,
    /// For `predict`.
    pub detection: Detection,
    /// For `concat` and the filters.
    pub darkroom: Darkroom,
    /// The bot's own name, for captions in groups.
    pub bot: String,
    /// An album is complete when nothing came for this long.
    pub quiet: Duration,
    /// How long acting on an album may take, in seconds, before another instance may try.
    pub lease: i64,
    /// Those that wait for silence; finished before the service ends.
    pub waiting: TaskTracker,
    /// At shutdown nobody waits any longer: another instance takes over.
    pub shutdown: CancellationToken,
}

impl Albums {
    /// Put a photo into its album. When it returns, it is durable there, and somebody will act on the album.
    ///
    /// # Errors
    /// [`AwsError`] if it has to be tried again.
    pub async fn add(&self, photo: &Incoming, media_group: &str, file_id: &FileId) -> Result<Added, AwsError> {
        let album = AlbumId::new(photo.chat_id, media_group);
        let arrival = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let entry = (photo.message_id, file_id.0.as_str());
        let added = self.store.add(&album, photo.chat_id, entry, photo.words.as_deref(), arrival).await?;
        if added == Added::InTime {
            let albums = self.clone();
            self.waiting.spawn(async move { albums.when_quiet(album, arrival).await });
        }
        Ok(added)
    }

    async fn when_quiet(&self, album: AlbumId, arrival: i64) {
        tokio::select! {
            () = tokio::time::sleep(self.quiet) => {}
            () = self.shutdown.cancelled() => return,
        }
        match self.store.close(&album, arrival, now() + self.lease).await {
            Ok(Some(closed)) => self.act(&album, &closed).await,
            // Another photo came, and who put that in waits for silence now.
            Ok(None) => {}
            Err(error) => tracing::warn!(album = album.as_str(), %error, "not closed; the sweep will"),
        }
    }

    /// Act on albums that were left behind.
    pub async fn sweep(&self) {
        let waiting = match self.store.waiting(now() - ABANDONED, BATCH).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(%error, "the sweep can't look for waiting albums");
                return;
            }
        };
        for album in waiting {
            if self.shutdown.is_cancelled() {
                return;
            }
            match self.store.take_over(&album, now(), now() + self.lease).await {
                Ok(Some(taken)) => {
                    tracing::info!(album = album.as_str(), "the sweep takes over an album");
                    self.act(&album, &taken).await;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(album = album.as_str(), %error, "an album was not taken over"),
            }
        }
    }

    async fn act(&self, id: &AlbumId, album: &Album) {
        let outcome = self.act_in_time(id, album).await;
        match outcome {
            Ok(()) => tracing::info!(album = id.as_str(), photos = album.photos.len(), "album acted on"),
            Err(HandleError::Telegram(error)) if error.is_final() => {
                if error.is_too_large()
                    && let Some(&(first, _)) = album.photos.first()
                    && let Err(error) = self.tell(album.chat_id, first, reply::TOO_LARGE).await
                {
                    tracing::warn!(album = id.as_str(), %error, "the user was not told");
                }
                tracing::warn!(album = id.as_str(), %error, "Telegram refuses the album's answer for good");
                if let Err(error) = self.store.delivered(id, now()).await {
                    tracing::warn!(album = id.as_str(), %error, "not marked as delivered");
                }
            }
            Err(error) => tracing::warn!(album = id.as_str(), %error, "the album failed; the sweep tries again"),
        }
    }

    async fn act_on(&self, id: &AlbumId, album: &Album) -> Result<(), HandleError> {
        let Some(&(first, _)) = album.photos.first() else { return Ok(()) };
        let caption = album.caption.as_deref();
        // Groups and channels have negative ids. What is not for the bot is passed over in silence.
        if album.chat_id < 0 && !caption.is_some_and(|caption| names(caption, &self.bot)) {
            return Ok(self.store.delivered(id, now()).await?);
        }
        let told = match command::caption(caption) {
            Ok(Command::Detect { confidences }) => return self.detect(id, album, confidences).await,
            Ok(Command::Concat(order)) => {
                self.detection.telegram.show_uploading(album.chat_id).await;
                self.darkroom.join(&files(album), order).await?.map(|jpeg| vec![jpeg])
            }
            Ok(Command::Filter(filter)) => self.filter(album, filter).await?,
            Err(error) => {
                self.tell(album.chat_id, first, &error.to_string()).await?;
                return Ok(self.store.delivered(id, now()).await?);
            }
        };
        let telegram = &self.detection.telegram;
        match told {
            Ok(mut jpegs) if jpegs.len() == 1 => {
                telegram.send_photo(album.chat_id, first, jpegs.remove(0), "", Vec::new()).await?;
            }
            Ok(jpegs) => telegram.send_album(album.chat_id, first, jpegs, "").await?,
            Err(sentence) => self.tell(album.chat_id, first, &reply::failed(&sentence)).await?,
        }
        Ok(self.store.delivered(id, now()).await?)
    }

    async fn filter(&self, album: &Album, filter: Filter) -> Result<Result<Vec<bytes::Bytes>, String>, HandleError> {
        self.detection.telegram.show_uploading(album.chat_id).await;
        let mut jpegs = Vec::with_capacity(album.photos.len());
        for file in files(album) {
            match self.darkroom.develop(&file, filter).await? {
                Ok(jpeg) => jpegs.push(jpeg),
                Err(sentence) => return Ok(Err(sentence)),
            }
        }
        Ok(Ok(jpegs))
    }

    /// Queue each photo. The answer comes when the last of them is finished.
    async fn detect(&self, id: &AlbumId, album: &Album, confidences: bool) -> Result<(), HandleError> {
        let fresh: Vec<Uuid> = album.photos.iter().map(|_| Uuid::now_v7()).collect();
        let parts = self.store.name_parts(id, &fresh).await?;
        let first = album.photos.first().map_or(0, |&(message_id, _)| message_id);
        let telegram = &self.detection.telegram;
        let told = telegram.send_text(album.chat_id, first, reply::ALBUM_BEING_PROCESSED).await;
        let status_message_id = told.inspect_err(|error| tracing::warn!(%error, "the user was not told to wait")).ok();
        for (&prediction_id, (message_id, file_id)) in parts.iter().zip(&album.photos) {
            let request = Request {
                prediction_id,
                chat_id: album.chat_id,
                message_id: *message_id,
                file_id: FileId(file_id.clone()),
                confidences,
                album: Some(id.as_str().to_owned()),
            };
            let accepted = match self.detection.accept_part(&request).await {
                Err(HandleError::Telegram(error)) if error.is_too_large() => {
                    self.detection.refuse_part(&request, reply::TOO_LARGE_REASON).await
                }
                Err(HandleError::Telegram(error)) if error.is_gone() => {
                    self.detection.refuse_part(&request, reply::GONE_REASON).await
                }
                accepted => accepted,
            };
            if let Err(error) = accepted {
                if let Some(status_message_id) = status_message_id {
                    self.detection.withdraw(album.chat_id, status_message_id).await;
                }
                return Err(error);
            }
        }
        Ok(self.store.acted(id, status_message_id).await?)
    }

    /// Act, unless it takes almost as long as the lease: then another instance may.
    async fn act_in_time(&self, id: &AlbumId, album: &Album) -> Result<(), HandleError> {
        let time = lease::working_time(self.lease);
        tokio::time::timeout(time, self.act_on(id, album)).await.unwrap_or(Err(HandleError::TooSlow))
    }

    async fn tell(&self, chat_id: i64, message_id: i32, sentence: &str) -> Result<(), HandleError> {
        self.detection.telegram.send_text(chat_id, message_id, sentence).await?;
        Ok(())
    }
}

fn files(album: &Album) -> Vec<FileId> {
    album.photos.iter().map(|(_, file)| FileId(file.clone())).collect()
}
