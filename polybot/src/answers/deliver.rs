//! A finished prediction to its user, once: lease, send, mark; or defer, or give up.

use std::time::Duration;

use fleet::images::GetError;
use fleet::job::NOBODY;
use fleet::{ImageStore, Room};
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use uuid::Uuid;

use super::answer::Answer;
use super::outbox::{Found, Outbox, Pending};
use super::outcome::{DeliverError, Delivered};
use crate::Telegram;
use crate::memory::{ALBUM, Memory};
use crate::telegram::{Picture, Sent};

/// The largest annotated photo that is sent, in bytes; of a larger one the words are.
const MAX_PHOTO: u64 = 25 << 20;

/// The longest that an answer which is sent waits to be marked, for the removal of the message that says to wait. If its instance
/// dies meanwhile, it is sent again.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(1);

/// Sends answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) outbox: Outbox,
    pub(crate) telegram: Telegram,
    pub(crate) images: ImageStore,
    /// What pictures take while they are sent.
    pub(crate) memory: Memory,
    /// The tasks that remove "being processed" messages; finished before the service ends.
    pub(crate) working: TaskTracker,
}

impl Answers {
    /// Tell the user, unless that was done or is being done. A crash between telling and marking can repeat the message,
    /// never lose it.
    ///
    /// # Errors
    /// [`DeliverError`]; nothing is lost, the sweep retries for as long as the retry policy says.
    #[tracing::instrument(name = "delivery", skip_all, fields(%prediction_id, chat_id = Empty))]
    pub(crate) async fn deliver(&self, prediction_id: Uuid) -> Result<Delivered, DeliverError> {
        let mut pending = match self.outbox.find(prediction_id).await? {
            Found::Due(pending) => pending,
            Found::Nothing(delivered) => return Ok(delivered),
        };
        let chat_id = pending.answer.place().chat_id;
        tracing::Span::current().record("chat_id", chat_id);
        if chat_id == NOBODY {
            self.outbox.delivered(&mut pending).await?;
            return Ok(Delivered::ToNobody);
        }
        let Some(lease) = self.outbox.lease(&mut pending).await? else { return Ok(Delivered::InProgress) };
        let send = self.outbox.clock.timeout(self.outbox.working_time(), self.send(&pending));
        let outcome = match send.await.unwrap_or(Err(DeliverError::TooSlow)) {
            Ok(sent) => {
                if let Err(error) = self.outbox.move_to(&pending, sent.chat_id).await {
                    tracing::warn!(answer = pending.name(), %error, "the chat's new id was not recorded");
                }
                Delivered::Now
            }
            Err(DeliverError::Telegram(error)) if error.is_unreachable() => {
                tracing::warn!(answer = pending.name(), %error, "nobody is there who could be told");
                Delivered::Unreachable
            }
            Err(error) => {
                let wait = error.retry_after();
                if let Err(error) = self.outbox.defer(&pending, lease, wait, &error).await {
                    tracing::warn!(answer = pending.name(), %error, "the lease was not given back; it ends by itself");
                }
                // What was deferred because its chat has to wait did not fail.
                return if wait.is_some() { Ok(Delivered::Later) } else { Err(error) };
            }
        };
        // Before it is marked: after that nobody would look for it. And not before it is sent: what is deferred has to wait on.
        if let Some(message_id) = pending.status_message_id {
            self.remove(&pending, message_id).await;
        }
        // One was sent since the record was read.
        while let Some(message_id) = self.outbox.delivered(&mut pending).await? {
            self.remove(&pending, message_id).await;
        }
        metrics::counter!("polybot_delivered_total").increment(pending.answer.parts.len() as u64);
        let photos = pending.answer.parts.len();
        fleet::log!(DELIVERED, %prediction_id, chat_id, album = pending.album(), photos, ?outcome, "delivered");
        Ok(outcome)
    }

    /// Send it, when there is room for its pictures.
    async fn send(&self, pending: &Pending) -> Result<Sent, DeliverError> {
        let (answer, place) = (&pending.answer, pending.answer.place());
        // A chat that can't be written to for an hour should cost no picture.
        self.telegram.ready(place.chat_id).await?;
        let (words, buttons) = (answer.words(), answer.buttons());
        let (pictures, _room) = self.pictures(answer).await?;
        Ok(self.telegram.send_pictures(&place, &pictures, &words, buttons, &words).await?)
    }

    /// The pictures from the bucket, when there is memory for all of them: answers that hold some of it and wait for more would wait
    /// for each other. Without those that can't be had: the words are worth telling all the same.
    async fn pictures(&self, answer: &Answer) -> Result<(Vec<Picture>, Option<Room>), DeliverError> {
        let shown = answer.pictures();
        if shown.is_empty() {
            return Ok((Vec::new(), None));
        }
        let place = answer.place();
        let fetch = async {
            let (mut opened, mut left) = (Vec::with_capacity(shown.len()), ALBUM);
            for picture in shown {
                match self.images.open(picture.key, left.min(MAX_PHOTO)).await {
                    Ok(file) => {
                        left -= file.bytes();
                        opened.push((file, picture.spoiler));
                    }
                    Err(GetError::Aws(error)) => return Err(error.into()),
                    Err(error) => {
                        fleet::log!(PICTURE_MISSING, %error, key = picture.key, chat_id = place.chat_id, "an annotated photo can't be sent");
                    }
                }
            }
            let room = self.memory.for_pictures(ALBUM - left).await;
            let mut pictures = Vec::with_capacity(opened.len());
            for (file, spoiler) in opened {
                pictures.push(Picture { jpeg: file.read().await?, spoiler });
            }
            Ok((pictures, Some(room)))
        };
        let (fetched, ()) = tokio::join!(fetch, self.telegram.show_uploading(&place));
        fetched
    }

    /// Remove a message that says to wait. The answer is sent and not marked meanwhile, so not for long.
    async fn remove(&self, pending: &Pending, message_id: i32) {
        let chat_id = pending.answer.place().chat_id;
        let patience = REMOVAL_PATIENCE.min(self.outbox.lease / 20);
        self.telegram.remove_soon(chat_id, message_id, patience, &self.working).await;
    }
}
