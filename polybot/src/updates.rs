//! A Telegram update to what is done about it, once.

use fleet::prediction::now;
use teloxide::types::{CallbackQuery, FileId, MaybeInaccessibleMessage, Message, Update, UpdateKind};
use uuid::Uuid;

use crate::album_store::Added;
use crate::albums::Albums;
use crate::buttons::{self, Press};
use crate::command::{self, Command, Text};
use crate::darkroom::Darkroom;
use crate::detection::{HandleError, Request};
use crate::incoming::{Attached, Incoming};
use crate::ledger::{Begun, Ledger};
use crate::telegram::MAX_DOWNLOAD;
use crate::{Detection, Telegram, reply};

/// Handles updates, one at a time or many at once.
#[derive(Clone, Debug)]
pub struct Updates {
    /// Which were handled.
    pub ledger: Ledger,
    /// For `predict`.
    pub detection: Detection,
    /// For filters.
    pub darkroom: Darkroom,
    /// For photos of an album.
    pub albums: Albums,
    /// The bot's own name, without `@`.
    pub bot: String,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was handled, now or before.
    Done,
    /// Another instance is at it; ask again later whether it is done.
    Busy,
}

impl Updates {
    /// Do what the update asks for, unless that was done. After [`Handled::Done`] Telegram may forget it.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be delivered again.
    pub async fn handle(&self, update: Update) -> Result<Handled, HandleError> {
        let update_id = update.id.0;
        let work_id = match self.ledger.begin(update_id, now()).await? {
            Begun::Handle(work_id) => work_id,
            Begun::Done => return Ok(Handled::Done),
            Begun::Busy => return Ok(Handled::Busy),
        };
        let work = async {
            match update.kind {
                UpdateKind::Message(message) => self.message(&message, work_id).await,
                UpdateKind::EditedMessage(message) => self.edited(&message, work_id).await,
                UpdateKind::CallbackQuery(press) => self.pressed(&press, work_id).await,
                _ => Ok(()),
            }
        };
        // Stop before the lease ends: then another instance may try.
        let outcome = tokio::time::timeout(self.ledger.time(), work).await.unwrap_or(Err(HandleError::TooSlow));
        let outcome = match outcome {
            // Blocked bots and deleted chats: no other try can reach them.
            Err(HandleError::Telegram(error)) if error.is_final() => {
                tracing::warn!(%error, update_id, "an answer was refused by Telegram");
                Ok(())
            }
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {
                self.ledger.end(update_id).await?;
                Ok(Handled::Done)
            }
            Err(error) => {
                if let Err(error) = self.ledger.give_back(update_id).await {
                    tracing::warn!(%error, update_id, "the next try has to wait");
                }
                Err(error)
            }
        }
    }

    /// Handle a message; `work_id` is the same at every try.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn message(&self, message: &Message, work_id: Uuid) -> Result<(), HandleError> {
        let Some(incoming) = Incoming::read(message, &self.bot) else { return Ok(()) };
        let words = incoming.words.as_deref();
        match &incoming.attached {
            Some(Attached::Photo(file_id, _)) if incoming.media_group.is_some() => {
                let media_group = incoming.media_group.as_deref().unwrap_or_default();
                match self.albums.add(&incoming, media_group, file_id).await? {
                    Added::InTime => Ok(()),
                    Added::TooLate if incoming.is_addressed => self.photo(&incoming, file_id, 0, work_id).await,
                    Added::TooLate => Ok(()),
                }
            }
            _ if !incoming.is_addressed => Ok(()),
            Some(Attached::Photo(file_id, bytes)) => self.photo(&incoming, file_id, *bytes, work_id).await,
            Some(Attached::Other(what)) => self.answer(&incoming, &reply::not_an_image(what)).await,
            None => match words.map(command::text) {
                Some(Text::Help) => self.answer(&incoming, &reply::help()).await,
                Some(Text::Other(text)) => {
                    let hint = command::caption(Some(&text))
                        .map(|command| reply::caption_without_photo(&command.to_string()))
                        .unwrap_or_else(|_| reply::unknown_text(&text));
                    self.answer(&incoming, &hint).await
                }
                // People join, pin and rename things; no reason to speak.
                None if incoming.is_group => Ok(()),
                None => self.answer(&incoming, reply::NO_PHOTO).await,
            },
        }
    }

    /// A photo whose caption was corrected is done again; nobody waits for an answer to a corrected text.
    async fn edited(&self, message: &Message, work_id: Uuid) -> Result<(), HandleError> {
        let Some(incoming) = Incoming::read(message, &self.bot) else { return Ok(()) };
        match &incoming.attached {
            Some(Attached::Photo(file_id, bytes)) if incoming.is_addressed && incoming.media_group.is_none() => {
                self.photo(&incoming, file_id, *bytes, work_id).await
            }
            _ => Ok(()),
        }
    }

    async fn photo(
        &self,
        incoming: &Incoming,
        file_id: &FileId,
        bytes: usize,
        work_id: Uuid,
    ) -> Result<(), HandleError> {
        let (chat_id, message_id) = (incoming.chat_id, incoming.message_id);
        match command::caption(incoming.words.as_deref()) {
            Err(error) => self.answer(incoming, &error.to_string()).await,
            Ok(Command::Concat(_)) => self.answer(incoming, reply::CONCAT_NEEDS_AN_ALBUM).await,
            Ok(_) if bytes > MAX_DOWNLOAD => self.answer(incoming, reply::TOO_LARGE).await,
            Ok(Command::Filter(filter)) => self.darkroom.filter(chat_id, message_id, file_id, filter).await,
            Ok(Command::Detect { confidences }) => {
                let file_id = file_id.clone();
                let request =
                    Request { prediction_id: work_id, chat_id, message_id, file_id, confidences, album: None };
                self.detection.accept(&request).await
            }
        }
    }

    /// A button under a result: it is about the photo that the result replies to.
    async fn pressed(&self, press: &CallbackQuery, work_id: Uuid) -> Result<(), HandleError> {
        let message = match &press.message {
            Some(MaybeInaccessibleMessage::Regular(message)) => Some(message),
            _ => None,
        };
        let original = message.and_then(|message| message.reply_to_message());
        let photo = original.and_then(|original| Incoming::read(original, &self.bot));
        let (Some(message), Some(photo)) = (message, photo) else {
            return Ok(self.telegram().answer_press(&press.id, reply::ORIGINAL_IS_GONE).await?);
        };
        let Some(Attached::Photo(file_id, _)) = &photo.attached else {
            return Ok(self.telegram().answer_press(&press.id, reply::ORIGINAL_IS_GONE).await?);
        };
        let Some(asked) = press.data.as_deref().and_then(buttons::press) else {
            return Ok(self.telegram().answer_press(&press.id, reply::OLD_BUTTON).await?);
        };
        // At once: Telegram's apps show a spinning wheel until then. A press that is too old can't be answered, and the
        // work is worth doing all the same.
        if let Err(error) = self.telegram().answer_press(&press.id, "").await {
            tracing::debug!(%error, "a press was not answered");
        }
        let (chat_id, message_id) = (photo.chat_id, photo.message_id);
        match asked {
            Press::Menu => Ok(self.telegram().set_buttons(chat_id, message.id.0, buttons::menu()).await?),
            Press::Filter(filter) => self.darkroom.filter(chat_id, message_id, file_id, filter).await,
            Press::Detect => {
                let file_id = file_id.clone();
                let request =
                    Request { prediction_id: work_id, chat_id, message_id, file_id, confidences: false, album: None };
                self.detection.accept(&request).await
            }
            Press::Original => {
                let bytes = self.telegram().download(file_id).await?;
                let format = image::guess_format(&bytes).ok();
                let extension = format.and_then(|format| format.extensions_str().first()).unwrap_or(&"jpg");
                let name = format!("original.{extension}");
                Ok(self.telegram().send_document(chat_id, message_id, bytes, &name, "").await?)
            }
        }
    }

    async fn answer(&self, incoming: &Incoming, sentence: &str) -> Result<(), HandleError> {
        self.telegram().send_text(incoming.chat_id, incoming.message_id, sentence).await?;
        Ok(())
    }

    fn telegram(&self) -> &Telegram {
        &self.detection.telegram
    }
}
