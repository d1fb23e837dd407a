//! What happened in the sandbox, in order.

use serde::Serialize;

use crate::message::ChatMessage;

/// One thing that the bot or a person did.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counts from 0 without gaps.
    pub seq: usize,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What was done. Only [`Posted`](Self::Posted), [`PostEdited`](Self::PostEdited), [`PostDeleted`](Self::PostDeleted)
/// and [`Pressed`](Self::Pressed) are a person's doing; they are here so that a page can show the whole chat.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The bot sent a message; an album is one of these for each part.
    Sent(ChatMessage),
    /// The bot edited a message, which is now so.
    Edited(ChatMessage),
    /// The bot deleted a message.
    Deleted {
        /// The chat it was in.
        chat_id: i64,
        /// The message that is gone.
        message_id: i32,
    },
    /// The bot shows that it is at work.
    ChatAction {
        /// Where.
        chat_id: i64,
        /// `typing`, `upload_photo` and so on.
        action: String,
    },
    /// The bot answered the press of a button.
    CallbackAnswered {
        /// Which press.
        callback_query_id: String,
        /// The chat of the pressed button.
        chat_id: i64,
        /// The message of the pressed button.
        message_id: i32,
        /// What the person is shown, if anything.
        text: Option<String>,
        /// Shown as a box that must be closed.
        show_alert: bool,
    },
    /// A person posted a message.
    Posted(ChatMessage),
    /// A person edited a message, which is now so.
    PostEdited(ChatMessage),
    /// A person deleted a message.
    PostDeleted {
        /// The chat it was in.
        chat_id: i64,
        /// The message that is gone.
        message_id: i32,
    },
    /// A person pressed a button.
    Pressed {
        /// The press, as the bot will answer it.
        callback_query_id: String,
        /// The chat of the button.
        chat_id: i64,
        /// The message of the button.
        message_id: i32,
        /// What the button carries.
        data: String,
    },
}

impl Event {
    /// The message that the bot sent here.
    pub fn sent(&self) -> Option<&ChatMessage> {
        match &self.kind {
            EventKind::Sent(message) => Some(message),
            _ => None,
        }
    }

    /// The message that the bot edited here.
    pub fn edited(&self) -> Option<&ChatMessage> {
        match &self.kind {
            EventKind::Edited(message) => Some(message),
            _ => None,
        }
    }

    /// The message that the bot sent here, if it replies to that message in that chat.
    pub fn reply_to(&self, chat_id: i64, message_id: i32) -> Option<&ChatMessage> {
        self.sent().filter(|message| message.chat_id == chat_id && message.reply_to == Some(message_id))
    }

    /// The chat it happened in.
    pub fn chat_id(&self) -> i64 {
        match &self.kind {
            EventKind::Sent(message)
            | EventKind::Edited(message)
            | EventKind::Posted(message)
            | EventKind::PostEdited(message) => message.chat_id,
            EventKind::Deleted { chat_id, .. }
            | EventKind::ChatAction { chat_id, .. }
            | EventKind::CallbackAnswered { chat_id, .. }
            | EventKind::PostDeleted { chat_id, .. }
            | EventKind::Pressed { chat_id, .. } => *chat_id,
        }
    }
}
