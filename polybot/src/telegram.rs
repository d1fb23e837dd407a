//! Telegram's Bot API, in this system's words and within its limits.
//!
//! What is sent goes through [`Sending`], one chat after its own pace. Where Telegram's answer matters it is read as JSON and only
//! as far as it is needed, so that a field of a Bot API to come breaks nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use fleet::{Clock, Room, Timestamp};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use teloxide::payloads::{
    AnswerCallbackQuerySetters, EditMessageReplyMarkupSetters, SendChatActionSetters, SendDocumentSetters,
    SendMediaGroupSetters, SendMessageSetters, SendPhotoSetters, SetWebhookSetters,
};
use teloxide::requests::Requester;
use teloxide::types::{
    AllowedUpdate, BotCommand, CallbackQueryId, ChatAction, ChatId, FileId, InlineKeyboardButton, InlineKeyboardMarkup,
    InputFile, InputMedia, InputMediaDocument, InputMediaPhoto, Message, MessageId, ReplyParameters, ThreadId,
};
use teloxide::{ApiError, Bot, RequestError};
use tokio_util::task::TaskTracker;

use crate::me::Me;
use crate::memory::Memory;
use crate::place::Place;
use crate::sending::{NotSent, Sending};

/// What a bot may download, in bytes.
pub(crate) const MAX_DOWNLOAD: u64 = 20 << 20;
/// The largest file that Telegram takes as a photo, in bytes; a larger one is sent as a document.
const MAX_PHOTO: usize = 10 << 20;
/// The longest text of a message, in UTF-16 code units, as Telegram counts.
const MAX_TEXT: usize = 4096;
/// So many messages one text may become; with an album of ten they stay within the twenty that a group takes in a minute.
const MOST_TEXTS: usize = 5;
/// The longest caption, in UTF-16 code units.
const MAX_CAPTION: usize = 1024;
/// How long one request for updates waits for them, in seconds.
const POLL: u64 = 25;
/// What polybot wants to hear of.
const UPDATES: [AllowedUpdate; 3] =
    [AllowedUpdate::Message, AllowedUpdate::EditedMessage, AllowedUpdate::CallbackQuery];
/// The same, as Telegram names them.
const UPDATE_NAMES: [&str; 3] = ["message", "edited_message", "callback_query"];
/// Updates that Telegram may bring at once.
const MAX_CONNECTIONS: u8 = 40;
/// A message that says to wait is worth this much waiting, and no more.
const STATUS_PATIENCE: Duration = Duration::from_millis(1500);
/// The removal of a message is tried again four times, after 0.5 s, 1 s, 2 s and 4 s.
const REMOVAL_BACKOFF: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(500)).with_max_times(4);
/// How long a 429 may make it wait instead, each time.
const REMOVAL_WAIT: Duration = Duration::from_secs(60);

/// A call of the Bot API that failed.
#[derive(Debug, thiserror::Error)]
#[error("{tried} failed: {reason}")]
pub(crate) struct TelegramError {
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
    /// Another try may work after this.
    Later(Duration),
    /// Telegram does not know the token. It may have been changed a moment ago.
    Unauthorized,
    /// Telegram understood and does not take this; it may take something else.
    Refused,
    /// Nobody is there any more who could be told anything.
    Unreachable,
    /// The file is larger than a bot may download.
    TooLarge,
    /// Telegram does not give the file.
    Gone,
}

impl TelegramError {
    /// Whether nobody can be told anything, as when the user blocked the bot. Nothing else may end without a word.
    #[must_use]
    pub(crate) fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// Whether Telegram does not give a file. It may give it a little later, or never.
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        self.kind == Kind::Gone
    }

    /// Whether the file is larger than a bot may download.
    #[must_use]
    pub(crate) fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// How long to wait before another try, where Telegram or the chat's queue says so.
    #[must_use]
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Kind::Later(wait) = self.kind { Some(wait) } else { None }
    }

    /// Whether it may pass by itself: no answer, an answer of the server's own trouble, or too many requests.
    #[must_use]
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::Passing | Kind::Later(_) | Kind::Unauthorized)
    }

    /// Whether Telegram does not know the bot's token.
    #[must_use]
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.kind == Kind::Unauthorized
    }

    fn is_refused(&self) -> bool {
        self.kind == Kind::Refused
    }

    fn request(tried: impl Into<String>, error: &RequestError) -> Self {
        let kind = match error {
            RequestError::Api(error) => kind_of(&words_of(error)),
            RequestError::MigrateToChatId(_) => Kind::Refused,
            RequestError::RetryAfter(wait) => Kind::Later(wait.duration()),
            RequestError::InvalidJson { raw, .. } => refusal(raw).unwrap_or(Kind::Passing),
            RequestError::Network(_) | RequestError::Io(_) => Kind::Passing,
        };
        Self { tried: tried.into(), reason: fleet::in_words(error), kind }
    }

    fn new(tried: impl Into<String>, reason: impl Into<String>, kind: Kind) -> Self {
        Self { tried: tried.into(), reason: reason.into(), kind }
    }

    fn network(tried: impl Into<String>, error: reqwest::Error) -> Self {
        // The address has the token in it.
        Self::new(tried, fleet::in_words(&error.without_url()), Kind::Passing)
    }
}

/// What Telegram's description of a failure means.
fn kind_of(description: &str) -> Kind {
    const UNREACHABLE: [&str; 10] = [
        "blocked by the user",
        "was kicked",
        "chat not found",
        "user is deactivated",
        "is not a member of",
        "group chat was deleted",
        "group is deactivated",
        "can't initiate conversation",
        "can't send messages to bots",
        "PEER_ID_INVALID",
    ];
    let is_refusal =
        || ["Bad Request", "Forbidden", "Request Entity Too Large"].iter().any(|words| description.starts_with(words));
    if UNREACHABLE.iter().any(|words| description.contains(words)) {
        Kind::Unreachable
    } else if description.contains("file is too big") {
        Kind::TooLarge
    } else if is_refusal() {
        Kind::Refused
    } else if matches!(description, "Unauthorized" | "Not Found" | "Invalid bot token") {
        Kind::Unauthorized
    } else {
        // The server's own trouble ("Bad Gateway").
        Kind::Passing
    }
}

fn words_of(error: &ApiError) -> String {
    match error {
        ApiError::Unknown(text) => text.clone(),
        known => known.to_string(),
    }
}

/// What an answer means that the library can't read and that is no success.
fn refusal(raw: &str) -> Option<Kind> {
    let answer: Value = serde_json::from_str(raw).ok()?;
    if let Some(seconds) = answer["parameters"]["retry_after"].as_u64() {
        return Some(Kind::Later(Duration::from_secs(seconds)));
    }
    answer["description"].as_str().map(kind_of)
}

/// The id of the message that was sent, from an answer that the library can't read. Asking again would send it again.
fn sent_all_the_same(error: &RequestError) -> Option<i32> {
    let RequestError::InvalidJson { raw, .. } = error else { return None };
    let answer: Value = serde_json::from_str(raw).ok()?;
    let result = answer["ok"].as_bool().filter(|ok| *ok).map(|_| &answer["result"])?;
    let message = if result.is_array() { &result[0] } else { result };
    Some(message["message_id"].as_i64().and_then(|id| i32::try_from(id).ok()).unwrap_or_default())
}

/// Rows of buttons; each has what it says and what it brings back when it is pressed (at most 64 bytes).
pub(crate) type Buttons = Vec<Vec<(String, String)>>;

/// A picture to send.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The file, as JPEG.
    pub(crate) jpeg: Bytes,
    /// Covered until it is tapped, as the photo that it is made of.
    pub(crate) spoiler: bool,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Where: another chat than was asked for, if the group has become a supergroup.
    pub(crate) chat_id: i64,
    /// The message, or an album's first.
    pub(crate) message_id: i32,
}

/// A file as Telegram gives it, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    /// Kept as long as the bytes are.
    pub(crate) _room: Room,
}

/// What Telegram is to know of the webhook.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// Where updates go.
    pub(crate) url: Url,
    /// What Telegram shows there.
    pub(crate) secret: SecretString,
    /// A self-signed certificate (PEM), if the address has one.
    pub(crate) certificate: Option<Vec<u8>>,
}

/// What Telegram says of the webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebhookHealth {
    /// Updates that were not taken yet.
    pub(crate) pending: u64,
    /// When an update was not taken last.
    pub(crate) failed_at: Option<Timestamp>,
    /// Why it was not.
    pub(crate) failure: Option<String>,
}

impl WebhookHealth {
    /// Whether setting the webhook anew may mend it: Telegram is refused, or does not trust the certificate.
    #[must_use]
    pub(crate) fn wants_setting(&self) -> bool {
        let failure = self.failure.as_deref().unwrap_or_default().to_lowercase();
        ["401", "403", "unauthorized", "forbidden", "certificate", "ssl"].iter().any(|words| failure.contains(words))
    }
}

/// The bot.
#[derive(Clone, Debug)]
pub(crate) struct Telegram {
    bot: Bot,
    client: reqwest::Client,
    api_url: Url,
    /// What a Bot API server on this machine stores, where its paths may be read.
    local_files: Option<PathBuf>,
    /// For messages.
    sending: Sending,
    /// Groups that became supergroups since this program runs.
    moved: Arc<Mutex<HashMap<i64, i64>>>,
    memory: Memory,
    clock: Clock,
}

/// Where one call goes: what [`Place`] says, as far as Telegram takes it.
#[derive(Clone, Copy)]
struct Target {
    chat: ChatId,
    reply: Option<i32>,
    thread: Option<ThreadId>,
}

impl Target {
    fn reply(self) -> ReplyParameters {
        // Without a message to reply to, Telegram ignores it.
        ReplyParameters::new(MessageId(self.reply.unwrap_or_default())).allow_sending_without_reply()
    }
}

/// A request with its target's reply and topic.
macro_rules! aimed {
    ($request:expr, $target:expr) => {{
        let request = if $target.reply.is_some() { $request.reply_parameters($target.reply()) } else { $request };
        match $target.thread {
            Some(thread) => request.message_thread_id(thread),
            None => request,
        }
    }};
}

impl Telegram {
    /// The bot of this token, at this address of the Bot API. What is sent waits no longer than `patience` for its turn, by this
    /// clock. In a tokio runtime.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(
        token: &SecretString,
        api_url: Url,
        patience: Duration,
        memory: Memory,
        clock: Clock,
    ) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            // More than a poll takes, and enough for a 10 MB photo.
            .timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .build()?;
        let bot = Bot::with_client(token.expose_secret(), client.clone()).set_api_url(api_url.clone());
        let sending = Sending::new(patience, clock.clone());
        Ok(Self { bot, client, api_url, local_files: None, sending, moved: Arc::default(), memory, clock })
    }

    /// Read files from this folder where a Bot API server answers with paths of its own disk (`--local`).
    #[must_use]
    pub(crate) fn with_local_files(self, folder: Option<PathBuf>) -> Self {
        Self { local_files: folder, ..self }
    }

    /// Who the bot is.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn me(&self) -> Result<Me, TelegramError> {
        let me = self.call("getMe", &json!({}), "asking who I am").await?;
        Ok(Me {
            id: me["id"].as_i64().unwrap_or_default(),
            name: me["username"].as_str().unwrap_or_default().to_owned(),
            reads_groups: me["can_read_all_group_messages"].as_bool().unwrap_or_default(),
        })
    }

    /// Wait until something can be sent to this chat, before it is made with much work.
    ///
    /// # Errors
    /// [`TelegramError`] with [`retry_after`](TelegramError::retry_after), if that takes too long.
    pub(crate) async fn ready(&self, chat_id: i64) -> Result<(), TelegramError> {
        let chat_id = self.where_now(chat_id);
        self.sending.ready(chat_id).await.map_err(|wait| later(format!("sending to chat {chat_id}"), wait))
    }

    /// Send a text.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn send_text(&self, place: &Place, text: &str) -> Result<Sent, TelegramError> {
        self.text(&self.sending, place, text).await
    }

    /// Send a text that is worth nothing if it comes late.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn send_status(&self, place: &Place, text: &str) -> Result<Sent, TelegramError> {
        self.text(&self.sending.with_patience(STATUS_PATIENCE), place, text).await
    }

    /// Send it, in several messages if it is longer than one may be. Returns the first.
    async fn text(&self, sending: &Sending, place: &Place, text: &str) -> Result<Sent, TelegramError> {
        let mut first = None;
        for piece in messages(text) {
            let sent = self.send(sending, place, 1, "a text", |target| {
                let request = self.bot.send_message(target.chat, piece.clone());
                async move { aimed!(request, target).await.map(|message| message.id.0) }
            });
            first.get_or_insert(sent.await?);
        }
        first.ok_or_else(|| TelegramError::new("sending a text", "it is empty", Kind::Refused))
    }

    /// Send a picture with a caption and buttons: as a photo; as a document if it is larger than a photo may be or Telegram does
    /// not take it as one; and where it takes no pictures at all, the `words` alone. A caption that is longer than Telegram takes
    /// follows as a text.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn send_picture(
        &self,
        place: &Place,
        picture: &Picture,
        caption: &str,
        buttons: Buttons,
        words: &str,
    ) -> Result<Sent, TelegramError> {
        self.send_pictures(place, std::slice::from_ref(picture), caption, buttons, words).await
    }

    /// The same with up to 10 pictures: as an album of photos, else of documents, else the `words` alone. Only one by itself has
    /// buttons.
    ///
    /// # Errors
    /// [`TelegramError`]. Pictures that are sent, and whose caption then can't be, are sent again by another try.
    pub(crate) async fn send_pictures(
        &self,
        place: &Place,
        pictures: &[Picture],
        caption: &str,
        buttons: Buttons,
        words: &str,
    ) -> Result<Sent, TelegramError> {
        let follows = length(caption) > MAX_CAPTION;
        let under = if follows { "" } else { caption };
        let sent = match pictures {
            [] => None,
            [picture] => self.one_picture(place, picture, under, &buttons).await?,
            pictures => self.album(place, pictures, under).await?,
        };
        let Some(sent) = sent else { return self.send_text(place, words).await };
        if follows {
            self.send_text(place, caption).await?;
        }
        Ok(sent)
    }

    /// As a photo, else as a document; nothing, where Telegram takes neither.
    async fn one_picture(
        &self,
        place: &Place,
        picture: &Picture,
        caption: &str,
        buttons: &Buttons,
    ) -> Result<Option<Sent>, TelegramError> {
        let &Place { chat_id, message_id, .. } = place;
        if picture.jpeg.len() <= MAX_PHOTO {
            match self.send_photo(place, picture, caption, buttons).await {
                Err(error) if error.is_refused() => {
                    fleet::log!(PHOTO_REFUSED, chat_id, message_id, %error, "Telegram refuses the picture as a photo")
                }
                outcome => return outcome.map(Some),
            }
        }
        match self.send_file(place, &picture.jpeg, "photo.jpg", caption, buttons).await {
            Err(error) if error.is_refused() => {
                tracing::warn!(chat_id, message_id, %error, "Telegram refuses the picture");
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    /// Photos, else documents; nothing, where Telegram takes neither.
    async fn album(&self, place: &Place, pictures: &[Picture], caption: &str) -> Result<Option<Sent>, TelegramError> {
        let &Place { chat_id, message_id, .. } = place;
        if pictures.iter().all(|picture| picture.jpeg.len() <= MAX_PHOTO) {
            match self.send_album(place, pictures, caption, photo_of).await {
                Err(error) if error.is_refused() => {
                    tracing::warn!(chat_id, message_id, %error, "Telegram refuses the album of photos")
                }
                outcome => return outcome.map(Some),
            }
        }
        match self.send_album(place, pictures, caption, document_of).await {
            Err(error) if error.is_refused() => {
                tracing::warn!(chat_id, message_id, %error, "Telegram refuses the album");
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }

    /// Send a file as it is; where Telegram does not take it, the `words`.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn send_document(
        &self,
        place: &Place,
        file: &Bytes,
        file_name: &str,
        words: &str,
    ) -> Result<Sent, TelegramError> {
        let &Place { chat_id, message_id, .. } = place;
        match self.send_file(place, file, file_name, "", &Vec::new()).await {
            Err(error) if error.is_refused() => {
                tracing::warn!(chat_id, message_id, %error, "Telegram refuses the file")
            }
            outcome => return outcome,
        }
        self.send_text(place, words).await
    }

    async fn send_photo(
        &self,
        place: &Place,
        picture: &Picture,
        caption: &str,
        buttons: &Buttons,
    ) -> Result<Sent, TelegramError> {
        self.send(&self.sending, place, 1, "a photo", |target| {
            let file = InputFile::memory(picture.jpeg.clone()).file_name("photo.jpg");
            let request = self.bot.send_photo(target.chat, file).caption(caption).has_spoiler(picture.spoiler);
            let request = if buttons.is_empty() { request } else { request.reply_markup(keyboard(buttons)) };
            async move { aimed!(request, target).await.map(|message| message.id.0) }
        })
        .await
    }

    async fn send_file(
        &self,
        place: &Place,
        file: &Bytes,
        file_name: &str,
        caption: &str,
        buttons: &Buttons,
    ) -> Result<Sent, TelegramError> {
        self.send(&self.sending, place, 1, "a document", |target| {
            let file = InputFile::memory(file.clone()).file_name(file_name.to_owned());
            let request = self.bot.send_document(target.chat, file).caption(caption);
            let request = if buttons.is_empty() { request } else { request.reply_markup(keyboard(buttons)) };
            async move { aimed!(request, target).await.map(|message| message.id.0) }
        })
        .await
    }

    async fn send_album(
        &self,
        place: &Place,
        pictures: &[Picture],
        caption: &str,
        media_of: fn(&Picture, Option<String>) -> InputMedia,
    ) -> Result<Sent, TelegramError> {
        self.send(&self.sending, place, pictures.len(), "an album", |target| {
            // Telegram shows a caption under the album if exactly one of its photos has one.
            let mut caption = Some(caption.to_owned());
            let media: Vec<_> = pictures.iter().map(|picture| media_of(picture, caption.take())).collect();
            let request = self.bot.send_media_group(target.chat, media);
            async move { aimed!(request, target).await.map(|sent: Vec<Message>| sent.first().map_or(0, |it| it.id.0)) }
        })
        .await
    }

    /// Send, in the chat's turn; once more to the supergroup that the group has become, or outside of a topic that is gone.
    async fn send<F: Future<Output = Result<i32, RequestError>>>(
        &self,
        sending: &Sending,
        place: &Place,
        messages: usize,
        what: &str,
        call: impl Fn(Target) -> F,
    ) -> Result<Sent, TelegramError> {
        let chat_id = self.where_now(place.chat_id);
        // Messages of the group have no numbers in the supergroup.
        let reply = Some(place.message_id).filter(|id| *id != 0 && chat_id == place.chat_id);
        let thread = place.thread.map(|thread| ThreadId(MessageId(thread)));
        let mut target = Target { chat: ChatId(chat_id), reply, thread };
        let mut again = true;
        loop {
            let error = match sending.send(target.chat.0, messages, || call(target)).await {
                Ok(message_id) => return Ok(Sent { chat_id: target.chat.0, message_id }),
                Err(NotSent::Later(wait)) => {
                    return Err(later(format!("sending {what} to chat {}", target.chat.0), wait));
                }
                Err(NotSent::Failed(error)) => error,
            };
            if let Some(message_id) = sent_all_the_same(&error) {
                metrics::counter!("polybot_answers_not_understood_total").increment(1);
                return Ok(Sent { chat_id: target.chat.0, message_id });
            }
            match &error {
                RequestError::MigrateToChatId(chat) if again => {
                    self.moved_to(target.chat.0, chat.0);
                    target = Target { chat: *chat, reply: None, thread: None };
                }
                RequestError::Api(error) if again && target.thread.is_some() && is_about_topic(&words_of(error)) => {
                    target.thread = None;
                }
                _ => {
                    return Err(TelegramError::request(format!("sending {what} to chat {}", target.chat.0), &error));
                }
            }
            again = false;
        }
    }

    /// The group has become that supergroup.
    pub(crate) fn moved_to(&self, group: i64, supergroup: i64) {
        tracing::info!(group, supergroup, "a group has become a supergroup");
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).insert(group, supergroup);
    }

    fn where_now(&self, chat_id: i64) -> i64 {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.get(&chat_id).copied().unwrap_or(chat_id)
    }

    /// Show in the chat that a photo is being made. Nothing depends on it.
    pub(crate) async fn show_uploading(&self, place: &Place) {
        let chat_id = self.where_now(place.chat_id);
        let action = self.bot.send_chat_action(ChatId(chat_id), ChatAction::UploadPhoto);
        let shown = match place.thread {
            Some(thread) => action.message_thread_id(ThreadId(MessageId(thread))).await,
            None => action.await,
        };
        if let Err(error) = shown {
            tracing::debug!(%error, chat_id, "an action was not shown");
        }
    }

    /// Change the buttons under a message of the bot.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn set_buttons(
        &self,
        chat_id: i64,
        message_id: i32,
        buttons: &Buttons,
    ) -> Result<(), TelegramError> {
        let editing = self.bot.edit_message_reply_markup(ChatId(self.where_now(chat_id)), MessageId(message_id));
        match editing.reply_markup(keyboard(buttons)).await {
            Ok(_) | Err(RequestError::Api(ApiError::MessageNotModified)) => Ok(()),
            Err(error) if sent_all_the_same(&error).is_some() => Ok(()),
            Err(error) => Err(TelegramError::request(format!("changing buttons in chat {chat_id}"), &error)),
        }
    }

    /// Say that a button's press was heard; `text`, if not empty, is shown to who pressed it.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn answer_press(&self, press: &str, text: &str) -> Result<(), TelegramError> {
        let answering = self.bot.answer_callback_query(CallbackQueryId(press.to_owned()));
        let answered = if text.is_empty() { answering.await } else { answering.text(text).show_alert(true).await };
        answered.map_err(|error| TelegramError::request("answering the press of a button", &error))?;
        Ok(())
    }

    /// Remove a message of the bot; what takes longer than `patience` goes on beside, as one of those who are `working`.
    pub(crate) async fn remove_soon(&self, chat_id: i64, message_id: i32, patience: Duration, working: &TaskTracker) {
        if self.clock.timeout(patience, self.remove(chat_id, message_id)).await.is_err() {
            let telegram = self.clone();
            working.spawn(async move { telegram.remove(chat_id, message_id).await });
        }
    }

    /// Remove a message of the bot, also if Telegram has no time for it at once. Nothing depends on it.
    pub(crate) async fn remove(&self, chat_id: i64, message_id: i32) {
        let chat_id = self.where_now(chat_id);
        let delete = || self.delete(chat_id, message_id);
        let wait_for = |error: &TelegramError, pause: Option<Duration>| match error.retry_after() {
            // Not more often for that.
            Some(wait) => pause.and(Some(wait).filter(|wait| *wait <= REMOVAL_WAIT)),
            None => pause,
        };
        let deleted =
            delete.retry(REMOVAL_BACKOFF).sleep(self.clock.clone()).when(TelegramError::may_pass).adjust(wait_for);
        if let Err(error) = deleted.await {
            tracing::warn!(chat_id, message_id, %error, "a status message was left behind");
        }
    }

    async fn delete(&self, chat_id: i64, message_id: i32) -> Result<(), TelegramError> {
        match self.bot.delete_message(ChatId(chat_id), MessageId(message_id)).await {
            Ok(_) | Err(RequestError::Api(ApiError::MessageToDeleteNotFound)) => Ok(()),
            Err(error) => Err(TelegramError::request(format!("deleting a message in chat {chat_id}"), &error)),
        }
    }

    /// Download a file of at most [`MAX_DOWNLOAD`] bytes, when there is memory for it.
    ///
    /// # Errors
    /// [`TelegramError`]; [`is_too_large`](TelegramError::is_too_large) if it is larger,
    /// [`is_gone`](TelegramError::is_gone) if Telegram does not give it.
    pub(crate) async fn download(&self, file_id: &FileId) -> Result<Fetched, TelegramError> {
        let (path, size) = self.locate(file_id).await?;
        let room = self.memory.for_file(size.unwrap_or(MAX_DOWNLOAD)).await;
        Ok(Fetched { bytes: self.read(&path).await?, _room: room })
    }

    /// The same, into room for [`MAX_DOWNLOAD`] bytes that its caller has.
    ///
    /// # Errors
    /// As [`Self::download`]'s.
    pub(crate) async fn download_into(&self, file_id: &FileId, _room: &Room) -> Result<Bytes, TelegramError> {
        let (path, _) = self.locate(file_id).await?;
        self.read(&path).await
    }

    /// Where Telegram has a file, and how many bytes it has, if Telegram says so.
    async fn locate(&self, file_id: &FileId) -> Result<(String, Option<u64>), TelegramError> {
        let tried = "downloading a photo";
        let file =
            self.call("getFile", &json!({ "file_id": file_id.0 }), tried).await.map_err(|error| match error.kind {
                Kind::Refused | Kind::Unreachable => TelegramError { kind: Kind::Gone, ..error },
                _ => error,
            })?;
        let size = file["file_size"].as_u64();
        if let Some(bytes) = size.filter(|bytes| *bytes > MAX_DOWNLOAD) {
            return Err(TelegramError::new(tried, format!("it has {bytes} bytes"), Kind::TooLarge));
        }
        match file["file_path"].as_str().filter(|path| !path.is_empty()) {
            Some(path) => Ok((path.to_owned(), size)),
            None => Err(TelegramError::new(tried, "getFile names no path", Kind::Gone)),
        }
    }

    async fn read(&self, path: &str) -> Result<Bytes, TelegramError> {
        if Path::new(path).is_absolute() { self.read_local(Path::new(path)).await } else { self.fetch(path).await }
    }

    async fn fetch(&self, path: &str) -> Result<Bytes, TelegramError> {
        let tried = "downloading a photo";
        let mut url = self.api_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("file").push(&format!("bot{}", self.bot.token())).extend(path.split('/'));
        }
        let network = |error| TelegramError::network(tried, error);
        let mut response = self.client.get(url).send().await.map_err(network)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(later(tried, retry_after(&response))),
            status if status.is_client_error() => {
                return Err(TelegramError::new(tried, format!("the file server answers {status}"), Kind::Gone));
            }
            status => {
                return Err(TelegramError::new(tried, format!("the file server answers {status}"), Kind::Passing));
            }
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            if (bytes.len() + chunk.len()) as u64 > MAX_DOWNLOAD {
                return Err(TelegramError::new(tried, "it has more bytes than Telegram said", Kind::TooLarge));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }

    /// A file that a Bot API server on this machine has stored.
    async fn read_local(&self, path: &Path) -> Result<Bytes, TelegramError> {
        let tried = "reading a photo that the Bot API server has stored";
        let gone = |reason: String| TelegramError::new(tried, reason, Kind::Gone);
        let Some(folder) = &self.local_files else {
            return Err(gone(format!(
                "it answers with the path {} of its own disk; TELEGRAM_API_LOCAL_FILES can name the folder",
                path.display()
            )));
        };
        let read = async {
            // What a server elsewhere says must not open files of this machine.
            let (folder, path) = (tokio::fs::canonicalize(folder).await?, tokio::fs::canonicalize(path).await?);
            if !path.starts_with(&folder) {
                return Ok(Err(gone(format!("{} is not in {}", path.display(), folder.display()))));
            }
            let bytes = tokio::fs::metadata(&path).await?.len();
            if bytes > MAX_DOWNLOAD {
                return Ok(Err(TelegramError::new(tried, format!("it has {bytes} bytes"), Kind::TooLarge)));
            }
            std::io::Result::Ok(Ok(Bytes::from(tokio::fs::read(&path).await?)))
        };
        read.await.unwrap_or_else(|error| Err(gone(format!("{}: {error}", path.display()))))
    }

    /// Have Telegram deliver updates there.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn set_webhook(&self, webhook: &Webhook) -> Result<(), TelegramError> {
        let setting = self.bot.set_webhook(webhook.url.clone()).secret_token(webhook.secret.expose_secret().to_owned());
        let setting = setting.allowed_updates(UPDATES).max_connections(MAX_CONNECTIONS);
        let set = match webhook.certificate.clone() {
            Some(pem) => setting.certificate(InputFile::memory(pem).file_name("certificate.pem")).await,
            None => setting.await,
        };
        set.map_err(|error| {
            let error = TelegramError::request("setting the webhook", &error);
            // A name that was just registered, or is not known everywhere yet.
            let is_unknown_name = error.reason.contains("resolve host");
            if is_unknown_name { TelegramError { kind: Kind::Passing, ..error } } else { error }
        })?;
        Ok(())
    }

    /// How the webhook does, as Telegram sees it.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn webhook_health(&self) -> Result<WebhookHealth, TelegramError> {
        let info = self.call("getWebhookInfo", &json!({}), "asking for the webhook").await?;
        Ok(WebhookHealth {
            pending: info["pending_update_count"].as_u64().unwrap_or_default(),
            failed_at: info["last_error_date"].as_i64().map(Timestamp::from_secs),
            failure: info["last_error_message"].as_str().map(str::to_owned),
        })
    }

    /// Have Telegram keep updates until they are asked for.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn delete_webhook(&self) -> Result<(), TelegramError> {
        self.call("deleteWebhook", &json!({}), "deleting the webhook").await?;
        Ok(())
    }

    /// Set the menu that Telegram's apps show.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn set_menu(&self, menu: Vec<(String, String)>) -> Result<(), TelegramError> {
        let commands = menu.into_iter().map(|(command, description)| BotCommand::new(command, description));
        let set = self.bot.set_my_commands(commands.collect::<Vec<_>>()).await;
        set.map_err(|error| TelegramError::request("setting the menu", &error))?;
        Ok(())
    }

    /// Updates from `offset` on, as Telegram writes them; waits for the first. Asking confirms all before `offset`.
    ///
    /// # Errors
    /// [`TelegramError`].
    pub(crate) async fn updates(&self, offset: i64) -> Result<Vec<Value>, TelegramError> {
        let asked = json!({ "offset": offset, "timeout": POLL, "allowed_updates": UPDATE_NAMES });
        let updates = self.call("getUpdates", &asked, "asking for updates").await?;
        Ok(if let Value::Array(updates) = updates { updates } else { Vec::new() })
    }

    /// Call a method whose answer is read as far as it is needed.
    async fn call(&self, method: &str, params: &Value, tried: &str) -> Result<Value, TelegramError> {
        let mut url = self.api_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&format!("bot{}", self.bot.token())).push(method);
        }
        let network = |error| TelegramError::network(tried, error);
        let response = self.client.post(url).json(params).send().await.map_err(network)?;
        let status = response.status();
        let text = response.text().await.map_err(network)?;
        let Ok(mut answer) = serde_json::from_str::<Value>(&text) else {
            return Err(TelegramError::new(tried, format!("Telegram answers {status} and no JSON"), Kind::Passing));
        };
        if answer["ok"].as_bool() == Some(true) {
            return Ok(answer["result"].take());
        }
        let description = answer["description"].as_str().unwrap_or("no description").to_owned();
        Err(TelegramError::new(tried, description, refusal(&text).unwrap_or(Kind::Passing)))
    }
}

fn later(tried: impl Into<String>, wait: Duration) -> TelegramError {
    TelegramError::new(tried, format!("it has to wait for {} s", wait.as_secs()), Kind::Later(wait))
}

fn retry_after(response: &reqwest::Response) -> Duration {
    let header = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Duration::from_secs(header.and_then(|seconds| seconds.parse().ok()).unwrap_or(5))
}

/// Whether the topic is why a message was refused; outside of it, it may be taken.
fn is_about_topic(description: &str) -> bool {
    ["message thread not found", "TOPIC_DELETED", "TOPIC_CLOSED"].iter().any(|words| description.contains(words))
}

fn photo_of(picture: &Picture, caption: Option<String>) -> InputMedia {
    let mut photo = InputMediaPhoto::new(InputFile::memory(picture.jpeg.clone()).file_name("photo.jpg"));
    photo.caption = caption;
    photo.has_spoiler = picture.spoiler;
    InputMedia::Photo(photo)
}

fn document_of(picture: &Picture, caption: Option<String>) -> InputMedia {
    let mut document = InputMediaDocument::new(InputFile::memory(picture.jpeg.clone()).file_name("photo.jpg"));
    document.caption = caption;
    InputMedia::Document(document)
}

fn keyboard(buttons: &Buttons) -> InlineKeyboardMarkup {
    let row = |row: &Vec<(String, String)>| {
        row.iter().map(|(text, data)| InlineKeyboardButton::callback(text.clone(), data.clone())).collect::<Vec<_>>()
    };
    InlineKeyboardMarkup::new(buttons.iter().map(row))
}

/// As Telegram counts: in UTF-16 code units.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A text as messages; where they would be too many, an ellipsis shows that there was more.
fn messages(text: &str) -> Vec<String> {
    const MORE: &str = "\n…";
    let mut messages: Vec<String> = pieces(text, MAX_TEXT - length(MORE)).into_iter().map(str::to_owned).collect();
    if messages.len() > MOST_TEXTS {
        messages.truncate(MOST_TEXTS);
        if let Some(last) = messages.last_mut() {
            last.push_str(MORE);
        }
    }
    messages
}

/// The text in pieces of at most `limit` UTF-16 code units: cut between lines, and where a line is longer, between characters.
fn pieces(text: &str, limit: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while length(rest) > limit {
        let mut left = limit;
        let fits = |(_, character): &(usize, char)| {
            let fits = character.len_utf16() <= left;
            left = left.saturating_sub(character.len_utf16());
            fits
        };
        let end = rest.char_indices().take_while(fits).last().map_or(rest.len(), |(at, last)| at + last.len_utf8());
        // A line that ends where the piece does is whole.
        let end = match rest[end..].strip_prefix('\n') {
            Some(_) => end,
            None => rest[..end].rfind('\n').filter(|at| *at > 0).unwrap_or(end),
        };
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after.strip_prefix('\n').unwrap_or(after);
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_lines_and_else_between_characters() {
        assert_eq!(pieces("short", 1024), ["short"]);
        assert_eq!(pieces("a\nbc\nd\nef", 4), ["a\nbc", "d\nef"]);
        assert_eq!(pieces("a\nbc\nd", 5), ["a\nbc", "d"]);
        assert_eq!(pieces("a\nbcdefgh", 4), ["a", "bcde", "fgh"]);
        assert_eq!(pieces("", 4), Vec::<&str>::new());
        // A face is two code units: it goes whole or not at all.
        assert_eq!(pieces("abc😀def", 4), ["abc", "😀de", "f"]);
        let long = "😀".repeat(5000);
        let cut = pieces(&long, MAX_TEXT);
        assert!(cut.iter().all(|piece| length(piece) <= MAX_TEXT) && cut.concat() == long);
        let lines = "a line of twenty-three\n".repeat(2000);
        let messages = messages(&lines);
        assert!(messages.len() == MOST_TEXTS && messages.iter().all(|message| length(message) <= MAX_TEXT));
        assert!(messages[0].ends_with("three") && messages[MOST_TEXTS - 1].ends_with("three\n…"));
    }

    #[test]
    fn only_who_is_not_there_is_unreachable() {
        for words in [
            "Forbidden: bot was blocked by the user",
            "Forbidden: bot was kicked from the supergroup chat",
            "Bad Request: chat not found",
            "Forbidden: user is deactivated",
        ] {
            assert_eq!(kind_of(words), Kind::Unreachable, "{words}");
        }
        for words in [
            "Bad Request: IMAGE_PROCESS_FAILED",
            "Bad Request: not enough rights to send photos to the chat",
            "Bad Request: PHOTO_INVALID_DIMENSIONS",
            "Request Entity Too Large",
            "Forbidden: something of a Bot API to come",
        ] {
            assert_eq!(kind_of(words), Kind::Refused, "{words}");
        }
        assert_eq!(kind_of("Unauthorized"), Kind::Unauthorized);
        for words in ["Bad Gateway", "Internal Server Error"] {
            assert_eq!(kind_of(words), Kind::Passing, "{words}");
        }
    }

    #[test]
    fn what_was_sent_is_known_whatever_else_the_answer_has() {
        let answer = |raw: &str| RequestError::InvalidJson {
            source: Arc::new(serde_json::from_str::<u32>("x").expect_err("no number")),
            raw: raw.into(),
        };
        assert_eq!(sent_all_the_same(&answer(r#"{"ok":true,"result":{"message_id":7,"new":{}}}"#)), Some(7));
        assert_eq!(sent_all_the_same(&answer(r#"{"ok":true,"result":[{"message_id":8},{"message_id":9}]}"#)), Some(8));
        assert_eq!(sent_all_the_same(&answer(r#"{"ok":false,"description":"Bad Request: x"}"#)), None);
        let refused = answer(r#"{"ok":false,"description":"Bad Request: x","parameters":{"new":1}}"#);
        assert!(TelegramError::request("trying", &refused).is_refused());
    }
}
