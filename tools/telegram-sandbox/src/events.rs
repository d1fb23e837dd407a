//! What happened in the sandbox, in order.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::message::ChatMessage;
use crate::server::Shared;

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

    /// The message that the bot sent here, if it answers that message in that chat.
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

/// What was waited for did not happen in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("nothing of the kind happened within {waited:?}; the last of {seen} events: {last}")]
pub struct Timeout {
    /// How long it was waited for.
    pub waited: Duration,
    /// How many events there were to look at.
    pub seen: usize,
    /// The last of them, for people.
    pub last: String,
}

/// Reads events one after another, and waits for the next. It can't fall behind: nothing is skipped.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    length: watch::Receiver<usize>,
    next: usize,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, next: usize) -> Self {
        let length = shared.events_length.subscribe();
        Self { shared, length, next }
    }

    /// The next event; `None` once the sandbox has stopped and all was read.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            self.length.borrow_and_update();
            if let Some(event) = self.shared.world().event(self.next) {
                self.next += 1;
                return Some(event);
            }
            tokio::select! {
                changed = self.length.changed() => changed.ok()?,
                () = self.shared.stop.cancelled() => return None,
            }
        }
    }

    pub(crate) async fn find(
        &mut self,
        mut wanted: impl FnMut(&Event) -> bool,
        timeout: Duration,
    ) -> Result<Event, Timeout> {
        let search = async {
            while let Some(event) = self.next().await {
                if wanted(&event) {
                    return Some((*event).clone());
                }
            }
            None
        };
        if let Ok(Some(event)) = tokio::time::timeout(timeout, search).await {
            return Ok(event);
        }
        let world = self.shared.world();
        let seen = world.events_length();
        let last = seen.checked_sub(1).and_then(|last| world.event(last));
        let last = last.map_or_else(|| "none at all".into(), |event| format!("{:?}", event.kind));
        Err(Timeout { waited: timeout, seen, last })
    }
}
