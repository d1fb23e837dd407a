//! Telegram's Bot API, in this system's words and within its limits.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use teloxide::adaptors::Throttle;
use teloxide::adaptors::throttle::Limits;
use teloxide::net::Download;
use teloxide::payloads::{
    AnswerCallbackQuerySetters, EditMessageReplyMarkupSetters, GetUpdatesSetters, SendDocumentSetters,
    SendMediaGroupSetters, SendMessageSetters, SendPhotoSetters, SetWebhookSetters,
};
use teloxide::requests::{Requester, RequesterExt};
use teloxide::types::{
    AllowedUpdate, BotCommand, CallbackQueryId, ChatAction, ChatId, FileId, InlineKeyboardButton, InlineKeyboardMarkup,
    InputFile, InputMedia, InputMediaPhoto, MessageId, ReplyParameters, Update,
};
use teloxide::{ApiError, Bot, DownloadError, RequestError};

/// What a bot may download, in bytes.
pub(crate) const MAX_DOWNLOAD: usize = 20_000_000;
/// The largest file that Telegram takes as a photo, in bytes; a larger one is sent as a document.
const MAX_PHOTO: usize = 10_000_000;
/// The longest text of a message, in UTF-16 code units, as Telegram counts.
const MAX_TEXT: usize = 4096;
/// The longest caption, in UTF-16 code units.
const MAX_CAPTION: usize = 1024;
/// How long one request for updates waits for them.
const POLL: u32 = 25;
/// What polybot wants to hear of.
const UPDATES: [AllowedUpdate; 3] =
    [AllowedUpdate::Message, AllowedUpdate::EditedMessage, AllowedUpdate::CallbackQuery];
/// Updates that Telegram may bring at once.
const MAX_CONNECTIONS: u8 = 40;

/// A call of the Bot API that failed.
#[derive(Debug, thiserror::Error)]
#[error("{tried} failed: {reason}")]
pub struct TelegramError {
    /// What was tried.
    tried: String,
    /// Why it failed, without the token.
    reason: String,
    /// What it means for what comes next.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Another try may work.
    Passing,
    /// Telegram understood and refuses; another try will not work.
    Refused,
    /// The file is larger than a bot may download.
    TooLarge,
    /// Telegram does not give the file.
    Gone,
}

impl TelegramError {
    /// Whether another try can't work either, as when the user blocked the bot.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind != Kind::Passing
    }

    /// Whether Telegram does not give a file, now or ever.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.kind == Kind::Gone
    }

    /// Whether the file is larger than a bot may download.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    fn request(tried: impl Into<String>, error: &RequestError) -> Self {
        let kind = match error {
            RequestError::Api(ApiError::Unknown(text)) if text.contains("file is too big") => Kind::TooLarge,
            // Answers of the server's own trouble ("Bad Gateway") come as unknown texts, too.
            RequestError::Api(ApiError::Unknown(text)) if !is_refusal(text) => Kind::Passing,
            // A token that was just changed may be right again soon.
            RequestError::Api(ApiError::InvalidToken) => Kind::Passing,
            RequestError::Api(_) | RequestError::MigrateToChatId(_) => Kind::Refused,
            RequestError::RetryAfter(_)
            | RequestError::Network(_)
            | RequestError::InvalidJson { .. }
            | RequestError::Io(_) => Kind::Passing,
        };
        Self { tried: tried.into(), reason: fleet::in_words(error), kind }
    }
}

/// Whether these are Telegram's words for what the client did wrong.
fn is_refusal(text: &str) -> bool {
    ["Bad Request", "Forbidden", "Request Entity Too Large"].iter().any(|beginning| text.starts_with(beginning))
}

/// Whether Telegram did what it was asked for, though the rest of its answer can't be read: asking again would repeat it.
fn was_done(error: &RequestError) -> bool {
    matches!(error, RequestError::InvalidJson { raw, .. } if raw.trim_start().starts_with(r#"{"ok":true"#))
}

/// Rows of buttons; each has what it says and what it brings back when it is pressed (at most 64 bytes).
pub type Buttons = Vec<Vec<(String, String)>>;

/// What Telegram knows of the webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where updates go.
    pub url: Url,
    /// What Telegram shows there.
    pub secret: String,
    /// A self-signed certificate (PEM), if the address has one.
    pub certificate: Option<Vec<u8>>,
}

/// The bot.
#[derive(Clone, Debug)]
pub struct Telegram {
    /// For what is not limited: files, actions, updates.
    bot: Bot,
    /// For messages: at most 30 a second and one a second in each chat; waits out a 429.
    throttled: Throttle<Bot>,
}

impl Telegram {
    /// The bot of this token, at this address of the Bot API. In a tokio runtime.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(token: &str, api_url: Url) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            // More than a poll takes, and enough for a 10 MB photo.
            .timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .build()?;
        let bot = Bot::with_client(token, client).set_api_url(api_url);
        Ok(Self { throttled: bot.clone().throttle(Limits::default()), bot })
    }

    /// The bot's own name in Telegram, without `@`.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn name(&self) -> Result<String, TelegramError> {
        let me = self.bot.get_me().await.map_err(|error| TelegramError::request("asking who I am", &error))?;
        Ok(me.username().to_owned())
    }

    /// Send a text, as a reply to `reply_to` if that still exists. Answers the new message's id.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn send_text(&self, chat_id: i64, reply_to: i32, text: &str) -> Result<i32, TelegramError> {
        let sending = self.throttled.send_message(ChatId(chat_id), cut(text, MAX_TEXT));
        let sent = sending.reply_parameters(reply_parameters(reply_to)).await;
        let message =
            sent.map_err(|error| TelegramError::request(format!("sending a text to chat {chat_id}"), &error))?;
        Ok(message.id.0)
    }

    /// Send a JPEG with a caption and buttons, as a reply to `reply_to` if that still exists; as a document if it is
    /// larger than a photo may be, or of a shape that Telegram refuses as a photo.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn send_photo(
        &self,
        chat_id: i64,
        reply_to: i32,
        jpeg: Bytes,
        caption: &str,
        buttons: Buttons,
    ) -> Result<(), TelegramError> {
        if jpeg.len() > MAX_PHOTO {
            return self.send_document(chat_id, reply_to, jpeg, "photo.jpg", caption).await;
        }
        let file = InputFile::memory(jpeg.clone()).file_name("photo.jpg");
        let sending = self.throttled.send_photo(ChatId(chat_id), file).caption(cut(caption, MAX_CAPTION));
        let sending = sending.reply_parameters(reply_parameters(reply_to));
        let sent = if buttons.is_empty() { sending.await } else { sending.reply_markup(keyboard(buttons)).await };
        match sent {
            Ok(_) => Ok(()),
            Err(error) if was_done(&error) => Ok(()),
            Err(RequestError::Api(ApiError::Unknown(text))) if text.contains("PHOTO_INVALID_DIMENSIONS") => {
                self.send_document(chat_id, reply_to, jpeg, "photo.jpg", caption).await
            }
            Err(error) => Err(TelegramError::request(format!("sending a photo to chat {chat_id}"), &error)),
        }
    }

    /// Send a file as it is, as a reply to `reply_to` if that still exists.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn send_document(
        &self,
        chat_id: i64,
        reply_to: i32,
        file: Bytes,
        file_name: &str,
        caption: &str,
    ) -> Result<(), TelegramError> {
        let file = InputFile::memory(file).file_name(file_name.to_owned());
        let sending = self.throttled.send_document(ChatId(chat_id), file).caption(cut(caption, MAX_CAPTION));
        match sending.reply_parameters(reply_parameters(reply_to)).await {
            Ok(_) => Ok(()),
            Err(error) if was_done(&error) => Ok(()),
            Err(error) => Err(TelegramError::request(format!("sending a document to chat {chat_id}"), &error)),
        }
    }

    /// Send 2 to 10 JPEGs as one album with one caption, as a reply to `reply_to` if that still exists.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn send_album(
        &self,
        chat_id: i64,
        reply_to: i32,
        jpegs: Vec<Bytes>,
        caption: &str,
    ) -> Result<(), TelegramError> {
        // Telegram shows a caption under the album if exactly one of its photos has one.
        let mut caption = Some(cut(caption, MAX_CAPTION));
        let media = jpegs.into_iter().map(|jpeg| {
            let photo = InputMediaPhoto::new(InputFile::memory(jpeg).file_name("photo.jpg"));
            InputMedia::Photo(match caption.take() {
                Some(caption) => photo.caption(caption),
                None => photo,
            })
        });
        let sending = self.throttled.send_media_group(ChatId(chat_id), media.collect::<Vec<_>>());
        match sending.reply_parameters(reply_parameters(reply_to)).await {
            Ok(_) => Ok(()),
            Err(error) if was_done(&error) => Ok(()),
            Err(error) => Err(TelegramError::request(format!("sending an album to chat {chat_id}"), &error)),
        }
    }

    /// Show in the chat that a photo is being made. Nothing depends on it.
    pub async fn show_uploading(&self, chat_id: i64) {
        if let Err(error) = self.bot.send_chat_action(ChatId(chat_id), ChatAction::UploadPhoto).await {
            tracing::debug!(%error, chat_id, "an action was not shown");
        }
    }

    /// Change the buttons under a message of the bot.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn set_buttons(&self, chat_id: i64, message_id: i32, buttons: Buttons) -> Result<(), TelegramError> {
        let editing = self.throttled.edit_message_reply_markup(ChatId(chat_id), MessageId(message_id));
        match editing.reply_markup(keyboard(buttons)).await {
            Ok(_) | Err(RequestError::Api(ApiError::MessageNotModified)) => Ok(()),
            Err(error) => Err(TelegramError::request(format!("changing buttons in chat {chat_id}"), &error)),
        }
    }

    /// Say that a button's press was heard; `text`, if not empty, is shown to who pressed it.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn answer_press(&self, press: &CallbackQueryId, text: &str) -> Result<(), TelegramError> {
        let answering = self.bot.answer_callback_query(press.clone());
        let answered = if text.is_empty() { answering.await } else { answering.text(text).show_alert(true).await };
        answered.map_err(|error| TelegramError::request("answering the press of a button", &error))?;
        Ok(())
    }

    /// Delete a message of the bot.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn delete_message(&self, chat_id: i64, message_id: i32) -> Result<(), TelegramError> {
        let deleted = self.bot.delete_message(ChatId(chat_id), MessageId(message_id)).await;
        deleted.map_err(|error| TelegramError::request(format!("deleting a message in chat {chat_id}"), &error))?;
        Ok(())
    }

    /// Download a file of at most 20 MB.
    ///
    /// # Errors
    /// [`TelegramError`]; [`is_too_large`](TelegramError::is_too_large) if it is larger.
    pub async fn download(&self, file_id: &FileId) -> Result<Bytes, TelegramError> {
        let tried = "downloading a photo";
        let file = self.bot.get_file(file_id.clone()).await.map_err(|error| {
            let error = TelegramError::request(tried, &error);
            if error.kind == Kind::Refused { TelegramError { kind: Kind::Gone, ..error } } else { error }
        })?;
        if file.size as usize > MAX_DOWNLOAD {
            let reason = format!("it has {} bytes", file.size);
            return Err(TelegramError { tried: tried.into(), reason, kind: Kind::TooLarge });
        }
        let mut bytes = Vec::with_capacity(file.size as usize);
        match self.bot.download_file(&file.path, &mut bytes).await {
            Ok(()) => Ok(bytes.into()),
            Err(error @ (DownloadError::Network(_) | DownloadError::Io(_))) => {
                Err(TelegramError { tried: tried.into(), reason: fleet::in_words(&error), kind: Kind::Passing })
            }
        }
    }

    /// Have Telegram deliver updates there, unless it does already: instances that start together do no harm.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn ensure_webhook(&self, webhook: Webhook) -> Result<(), TelegramError> {
        let info = self.bot.get_webhook_info().await;
        let info = info.map_err(|error| TelegramError::request("asking for the webhook", &error))?;
        // What can't be asked is the secret; it follows from the token, so it differs only for another bot.
        let as_wanted = info.url.as_ref() == Some(&webhook.url)
            && info.has_custom_certificate == webhook.certificate.is_some()
            && info.max_connections == Some(u32::from(MAX_CONNECTIONS))
            && info.allowed_updates.as_ref().is_some_and(|allowed| {
                allowed.len() == UPDATES.len() && UPDATES.iter().all(|update| allowed.contains(update))
            });
        if as_wanted {
            return Ok(());
        }
        let setting = self.bot.set_webhook(webhook.url).secret_token(webhook.secret).allowed_updates(UPDATES);
        let setting = setting.max_connections(MAX_CONNECTIONS);
        let set = match webhook.certificate {
            Some(pem) => setting.certificate(InputFile::memory(pem).file_name("certificate.pem")).await,
            None => setting.await,
        };
        set.map_err(|error| TelegramError::request("setting the webhook", &error))?;
        Ok(())
    }

    /// Have Telegram keep updates until they are asked for.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn delete_webhook(&self) -> Result<(), TelegramError> {
        let deleted = self.bot.delete_webhook().await;
        deleted.map_err(|error| TelegramError::request("deleting the webhook", &error))?;
        Ok(())
    }

    /// Set the menu that Telegram's apps show.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn set_menu(&self, menu: Vec<(String, String)>) -> Result<(), TelegramError> {
        let commands = menu.into_iter().map(|(command, description)| BotCommand::new(command, description));
        let set = self.bot.set_my_commands(commands.collect::<Vec<_>>()).await;
        set.map_err(|error| TelegramError::request("setting the menu", &error))?;
        Ok(())
    }

    /// Updates from `offset` on; waits for the first. Asking confirms all before `offset`.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn updates(&self, offset: i32) -> Result<Vec<Update>, TelegramError> {
        let asked = self.bot.get_updates().offset(offset).timeout(POLL).allowed_updates(UPDATES);
        asked.await.map_err(|error| TelegramError::request("asking for updates", &error))
    }
}

fn reply_parameters(message_id: i32) -> ReplyParameters {
    ReplyParameters::new(MessageId(message_id)).allow_sending_without_reply()
}

fn keyboard(buttons: Buttons) -> InlineKeyboardMarkup {
    let row =
        |row: Vec<(String, String)>| row.into_iter().map(|(text, data)| InlineKeyboardButton::callback(text, data));
    InlineKeyboardMarkup::new(buttons.into_iter().map(row))
}

/// The text, cut between characters to at most `limit` UTF-16 code units; an ellipsis shows where.
fn cut(text: &str, limit: usize) -> String {
    if text.encode_utf16().count() <= limit {
        return text.to_owned();
    }
    let mut left = limit - 1;
    let fits = |character: &char| {
        let fits = character.len_utf16() <= left;
        left = left.saturating_sub(character.len_utf16());
        fits
    };
    let mut start: String = text.chars().take_while(fits).collect();
    start.push('…');
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short", 1024), "short");
        assert_eq!(cut("abcdef", 4), "abc…");
        // A face is two code units: it goes whole or not at all.
        assert_eq!(cut("ab😀def", 4), "ab…");
        assert_eq!(cut("ab😀def", 5), "ab😀…");
        let long = "😀".repeat(3000);
        let short = cut(&long, MAX_TEXT);
        assert!(short.encode_utf16().count() <= MAX_TEXT && short.ends_with('…'));
    }
}
