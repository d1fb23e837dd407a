//! Telegram's Bot API, in this system's words.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use teloxide::net::Download;
use teloxide::payloads::{GetUpdatesSetters, SendMessageSetters, SendPhotoSetters, SetWebhookSetters};
use teloxide::requests::Requester;
use teloxide::types::{AllowedUpdate, ChatId, FileId, InputFile, MessageId, ReplyParameters, Update};
use teloxide::{ApiError, Bot, DownloadError, RequestError};

/// What a bot may download, in bytes.
const MAX_DOWNLOAD: usize = 20_000_000;
/// How long one request for updates waits for them.
const POLL: u32 = 25;
/// What polybot wants to hear of.
const UPDATES: [AllowedUpdate; 1] = [AllowedUpdate::Message];

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
}

impl TelegramError {
    /// Whether another try can't work either, as when the user blocked the bot.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind != Kind::Passing
    }

    /// Whether the file is larger than a bot may download.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    fn request(tried: impl Into<String>, error: &RequestError) -> Self {
        let kind = match error {
            RequestError::Api(ApiError::Unknown(text)) if text.contains("file is too big") => Kind::TooLarge,
            // Answers of the server's own trouble come as unknown texts, too.
            RequestError::Api(ApiError::Unknown(text)) if text.contains("Internal Server Error") => Kind::Passing,
            // A token that was just changed may be right again soon.
            RequestError::Api(ApiError::InvalidToken) => Kind::Passing,
            RequestError::Api(_) | RequestError::MigrateToChatId(_) => Kind::Refused,
            RequestError::RetryAfter(_)
            | RequestError::Network(_)
            | RequestError::InvalidJson { .. }
            | RequestError::Io(_) => Kind::Passing,
        };
        Self { tried: tried.into(), reason: in_words(error), kind }
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// The bot.
#[derive(Clone, Debug)]
pub struct Telegram {
    bot: Bot,
}

impl Telegram {
    /// The bot of this token, at this address of the Bot API.
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
        Ok(Self { bot: Bot::with_client(token, client).set_api_url(api_url) })
    }

    /// Send a text, as a reply to `reply_to` if that still exists. Answers the new message's id.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn send_text(&self, chat_id: i64, reply_to: i32, text: &str) -> Result<i32, TelegramError> {
        let sent = self.bot.send_message(ChatId(chat_id), text).reply_parameters(reply_parameters(reply_to)).await;
        let message =
            sent.map_err(|error| TelegramError::request(format!("sending a text to chat {chat_id}"), &error))?;
        Ok(message.id.0)
    }

    /// Send a JPEG with a caption, as a reply to `reply_to` if that still exists.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn send_photo(
        &self,
        chat_id: i64,
        reply_to: i32,
        jpeg: Bytes,
        caption: &str,
    ) -> Result<(), TelegramError> {
        let file = InputFile::memory(jpeg).file_name("predicted.jpg");
        let sending = self.bot.send_photo(ChatId(chat_id), file).caption(caption);
        let sent = sending.reply_parameters(reply_parameters(reply_to)).await;
        sent.map_err(|error| TelegramError::request(format!("sending a photo to chat {chat_id}"), &error))?;
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
        let file = self.bot.get_file(file_id.clone()).await.map_err(|error| TelegramError::request(tried, &error))?;
        if file.size as usize > MAX_DOWNLOAD {
            let reason = format!("it has {} bytes", file.size);
            return Err(TelegramError { tried: tried.into(), reason, kind: Kind::TooLarge });
        }
        let mut bytes = Vec::with_capacity(file.size as usize);
        match self.bot.download_file(&file.path, &mut bytes).await {
            Ok(()) => Ok(bytes.into()),
            Err(error @ (DownloadError::Network(_) | DownloadError::Io(_))) => {
                Err(TelegramError { tried: tried.into(), reason: in_words(&error), kind: Kind::Passing })
            }
        }
    }

    /// Have Telegram deliver updates to this address, showing this secret.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub async fn set_webhook(&self, url: Url, secret: &str) -> Result<(), TelegramError> {
        let set = self.bot.set_webhook(url).secret_token(secret.to_owned()).allowed_updates(UPDATES);
        set.await.map_err(|error| TelegramError::request("setting the webhook", &error))?;
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
