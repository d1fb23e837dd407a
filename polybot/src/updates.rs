//! A Telegram update to what is done about it.

use teloxide::types::{Message, Update, UpdateKind};

use crate::command::{self, Command, Text};
use crate::detection::DetectionError;
use crate::{Detection, reply};

/// Handles updates, one at a time or many at once.
#[derive(Clone, Debug)]
pub struct Updates {
    /// For photos.
    pub detection: Detection,
}

impl Updates {
    /// Do what the update asks for. When it returns, Telegram may forget the update.
    ///
    /// # Errors
    /// [`DetectionError`] if it has to be delivered again.
    pub async fn handle(&self, update: Update) -> Result<(), DetectionError> {
        match update.kind {
            UpdateKind::Message(message) => self.message(&message).await,
            _ => Ok(()),
        }
    }

    async fn message(&self, message: &Message) -> Result<(), DetectionError> {
        let (chat_id, message_id) = (message.chat.id.0, message.id.0);
        // Telegram lists the sizes from the smallest to the largest.
        let answer = if let Some(largest) = message.photo().and_then(<[_]>::last) {
            match command::caption(message.caption()) {
                Ok(Command::Detect { .. }) => {
                    return self.detection.accept(chat_id, message_id, &largest.file.id).await;
                }
                Ok(command @ (Command::Filter(_) | Command::Concat(_))) => format!("I can not do \"{command}\" yet."),
                Err(error) => error.to_string(),
            }
        } else if let Some(text) = message.text() {
            match command::text(text) {
                Text::Help => reply::help(),
                Text::Other(text) => reply::unknown_text(&text),
            }
        } else {
            // People join, pin and rename things: no reason to speak. What a person sent gets a hint.
            if !message.chat.is_private() || message.from.is_none() {
                return Ok(());
            }
            reply::NO_PHOTO.into()
        };
        match self.detection.telegram.send_text(chat_id, message_id, &answer).await {
            Err(error) if error.is_final() => {
                tracing::warn!(%error, chat_id, "an answer was refused by Telegram");
                Ok(())
            }
            outcome => Ok(outcome.map(|_| ())?),
        }
    }
}
