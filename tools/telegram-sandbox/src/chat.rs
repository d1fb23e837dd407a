//! Chats, and the accounts of people and the bot.

use serde::Serialize;
use serde_json::{Value, json};

/// What sort of chat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// One person and the bot.
    Private,
    /// A small group.
    Group,
    /// A large group, which numbers its messages on its own.
    Supergroup,
}

/// What a bot may have no right to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// Texts.
    Texts,
    /// Photos.
    Photos,
    /// Files.
    Documents,
}

impl Forbidden {
    /// In Telegram's words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Texts => "text messages",
            Self::Photos => "photos",
            Self::Documents => "documents",
        }
    }
}

/// A person's, or the bot's own, account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) is_bot: bool,
    pub(crate) first_name: String,
    pub(crate) username: Option<String>,
}

impl Account {
    pub(crate) fn to_json(&self) -> Value {
        let mut account = json!({ "id": self.id, "is_bot": self.is_bot, "first_name": self.first_name });
        if let Some(username) = &self.username {
            account["username"] = json!(username);
        }
        if !self.is_bot {
            account["language_code"] = json!("en");
        }
        account
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub(crate) id: i64,
    pub(crate) kind: ChatKind,
    /// A group's title; a person's name for a private chat.
    pub(crate) title: String,
    pub(crate) username: Option<String>,
    /// The person of a private chat has told Telegram to let nothing through from the bot.
    pub(crate) bot_blocked: bool,
    /// What the bot has no right to send here.
    pub(crate) forbidden: Vec<Forbidden>,
    /// The supergroup that this group has become.
    pub(crate) migrated_to: Option<i64>,
    /// A supergroup numbers its messages itself; the others share the account's numbers.
    pub(crate) last_message_id: i32,
}

impl Chat {
    pub(crate) fn new(id: i64, kind: ChatKind, title: String, username: Option<String>) -> Self {
        Self {
            id,
            kind,
            title,
            username,
            bot_blocked: false,
            forbidden: Vec::new(),
            migrated_to: None,
            last_message_id: 0,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self.kind {
            ChatKind::Private => {
                let mut chat = json!({ "id": self.id, "type": "private", "first_name": self.title });
                if let Some(username) = &self.username {
                    chat["username"] = json!(username);
                }
                chat
            }
            kind => json!({ "id": self.id, "type": kind, "title": self.title }),
        }
    }
}
