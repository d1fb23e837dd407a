//! What a person asks to what is done about it.

use std::sync::{Arc, OnceLock};

use fleet::{Clock, FailureReason};
use uuid::Uuid;

use crate::albums::Albums;
use crate::buttons::{self, Press};
use crate::command::{self, Command, Text, Wanted};
use crate::detection::{HandleError, Request};
use crate::filter_runner::FilterRunner;
use crate::forgetting::{Asking, Forgetting};
use crate::incoming::{Asked, Attached, File, Incoming, Pressed};
use crate::ledger::Ledger;
use crate::me::Me;
use crate::reply::Kept;
use crate::telegram::MAX_DOWNLOAD;
use crate::{Detection, Telegram, reply};

/// Does what updates ask for, one at a time or many at once.
#[derive(Clone, Debug)]
pub(crate) struct Updates {
    /// What messages asked before.
    pub(crate) ledger: Ledger,
    /// For `predict`.
    pub(crate) detection: Detection,
    /// For filters.
    pub(crate) filter_runner: FilterRunner,
    /// For photos of an album.
    pub(crate) albums: Albums,
    /// For `/forget`.
    pub(crate) forgetting: Forgetting,
    pub(crate) clock: Clock,
    /// For `/privacy`.
    pub(crate) kept: Kept,
    /// Who the bot is, once Telegram has said it.
    pub(crate) me: Arc<OnceLock<Me>>,
}

impl Updates {
    /// Do it; `work_id` is the same at every try.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn handle(&self, asked: &Asked, work_id: Uuid) -> Result<(), HandleError> {
        match asked {
            Asked::Message(incoming) => self.message(incoming, work_id).await,
            Asked::Edited(incoming) => self.edited(incoming, work_id).await,
            Asked::Press(pressed) => self.pressed(pressed, work_id).await,
        }
    }

    /// Say that it could not be done, where somebody waits for it.
    ///
    /// # Errors
    /// [`HandleError`] if that has to be tried again.
    pub(crate) async fn apologise(&self, asked: &Asked, reason: &FailureReason) -> Result<(), HandleError> {
        let incoming = match asked {
            Asked::Message(incoming) | Asked::Edited(incoming) => incoming,
            Asked::Press(Pressed { photo: Some(photo), .. }) => photo,
            Asked::Press(_) => return Ok(()),
        };
        match &incoming.attached {
            Some(Attached::Photo(_)) if incoming.is_addressed || matches!(asked, Asked::Press(_)) => {
                self.answer(incoming, &reply::refused(reason)).await
            }
            None if incoming.is_addressed && asks_to_forget(incoming) => {
                self.answer(incoming, reply::NOT_FORGOTTEN).await
            }
            _ => Ok(()),
        }
    }

    /// Handle a message; `work_id` is the same at every try.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn message(&self, incoming: &Incoming, work_id: Uuid) -> Result<(), HandleError> {
        if let Some(Attached::Photo(_)) = incoming.attached {
            self.ledger.asks(incoming, work_id, self.clock.now()).await?;
        }
        let late;
        let incoming = match (&incoming.media_group, &incoming.attached) {
            (Some(media_group), Some(attached)) => match self.albums.add(incoming, media_group, attached).await? {
                Some(part) => {
                    late = part;
                    &late
                }
                None => return Ok(()),
            },
            _ => incoming,
        };
        if !incoming.is_addressed {
            return Ok(());
        }
        match &incoming.attached {
            Some(Attached::Photo(file)) => self.photo(incoming, file, work_id).await,
            Some(Attached::Other(what)) => self.answer(incoming, &reply::not_an_image(what)).await,
            None => match incoming.words.as_deref().map(command::text) {
                Some(Text::Help) => {
                    self.answer(incoming, &reply::help(self.me.get().is_none_or(|me| me.reads_groups))).await
                }
                Some(Text::Privacy) => self.answer(incoming, &reply::privacy(&self.kept)).await,
                Some(Text::Forget) => {
                    // In a group each forgets what they sent there.
                    let group = Some(incoming.chat_id).filter(|_| incoming.is_group);
                    let asking = Asking { work_id, message: (incoming.chat_id, incoming.message_id) };
                    // Else it would be looked through in vain, again each time that the chat has to wait.
                    self.telegram().ready(incoming.chat_id).await?;
                    self.forgetting.forget(incoming.sender, group, &asking).await?;
                    self.answer(incoming, &reply::forgotten(incoming.is_group)).await
                }
                Some(Text::Other(text)) => {
                    let hint = command::caption(Some(&text))
                        .map(|command| reply::caption_without_photo(&command.to_string()))
                        .unwrap_or_else(|_| reply::unknown_text(&text));
                    self.answer(incoming, &hint).await
                }
                None => Ok(()),
            },
        }
    }

    /// A photo whose caption was corrected is done again; nobody waits for an answer to a corrected text. Telegram calls it
    /// edited, too, if somebody only reacts to it.
    async fn edited(&self, incoming: &Incoming, work_id: Uuid) -> Result<(), HandleError> {
        let Some(Attached::Photo(file)) = &incoming.attached else { return Ok(()) };
        if !self.ledger.asks(incoming, work_id, self.clock.now()).await? || !incoming.is_addressed {
            return Ok(());
        }
        if incoming.media_group.is_some() {
            return self.answer(incoming, reply::ALBUM_IS_CLOSED).await;
        }
        self.photo(incoming, file, work_id).await
    }

    async fn photo(&self, incoming: &Incoming, file: &File, work_id: Uuid) -> Result<(), HandleError> {
        match command::caption(incoming.words.as_deref()) {
            Err(error) => self.answer(incoming, &reply::caption_error(&error)).await,
            Ok(Command::Concat(_)) if incoming.media_group.is_some() => {
                self.answer(incoming, reply::TOO_LATE_TO_BE_JOINED).await
            }
            Ok(Command::Concat(_)) => self.answer(incoming, reply::CONCAT_NEEDS_AN_ALBUM).await,
            Ok(_) if file.bytes.is_some_and(|bytes| bytes > MAX_DOWNLOAD) => {
                self.answer(incoming, reply::TOO_LARGE).await
            }
            Ok(Command::Filter(filter)) => self.filter_runner.filter(incoming, file, filter).await,
            Ok(Command::Detect(wanted)) => self.detect(incoming, file, wanted, work_id).await,
        }
    }

    async fn detect(&self, incoming: &Incoming, file: &File, wanted: Wanted, work_id: Uuid) -> Result<(), HandleError> {
        let request = Request {
            prediction_id: work_id,
            place: incoming.place(),
            file: file.clone(),
            spoiler: incoming.spoiler,
            asker: Some(incoming.sender),
            wanted,
            album: None,
        };
        self.detection.accept(&request).await
    }

    /// A button under a result: it is about the photo that the result replies to.
    async fn pressed(&self, press: &Pressed, work_id: Uuid) -> Result<(), HandleError> {
        let photo = press.photo.as_ref().and_then(|photo| match &photo.attached {
            Some(Attached::Photo(file)) => Some((photo, file)),
            _ => None,
        });
        let (Some((chat_id, message_id)), Some((photo, file))) = (press.message, photo) else {
            return self.alert(press, reply::ORIGINAL_IS_GONE).await;
        };
        let Some(asked) = buttons::press(&press.data) else {
            return self.alert(press, reply::OLD_BUTTON).await;
        };
        // At once: Telegram's apps show a spinning wheel until then. A press that is too old can't be answered, and the
        // work is worth doing all the same.
        if let Err(error) = self.telegram().answer_press(&press.id, "").await {
            tracing::debug!(%error, "a press was not answered");
        }
        match asked {
            Press::Menu => Ok(self.telegram().set_buttons(chat_id, message_id, &buttons::menu()).await?),
            Press::Filter(filter) => self.filter_runner.filter(photo, file, filter).await,
            Press::Detect(wanted) => self.detect(photo, file, wanted, work_id).await,
            Press::Original => {
                self.telegram().ready(photo.chat_id).await?;
                let original = self.telegram().download(&file.id).await?;
                let format = image::guess_format(&original.bytes).ok();
                let extension = format.and_then(|format| format.extensions_str().first()).unwrap_or(&"jpg");
                let name = format!("original.{extension}");
                let words = reply::PICTURE_REFUSED;
                self.telegram().send_document(&photo.place(), &original.bytes, &name, words).await?;
                Ok(())
            }
        }
    }

    /// Say it to who pressed a button. Nobody waits long for that, so it is not tried again.
    async fn alert(&self, press: &Pressed, sentence: &str) -> Result<(), HandleError> {
        if let Err(error) = self.telegram().answer_press(&press.id, sentence).await {
            tracing::debug!(%error, "a press was not answered");
        }
        Ok(())
    }

    async fn answer(&self, incoming: &Incoming, sentence: &str) -> Result<(), HandleError> {
        self.telegram().send_text(&incoming.place(), sentence).await?;
        Ok(())
    }

    fn telegram(&self) -> &Telegram {
        &self.detection.telegram
    }
}

fn asks_to_forget(incoming: &Incoming) -> bool {
    matches!(incoming.words.as_deref().map(command::text), Some(Text::Forget))
}
