//! All that the sandbox knows: a pure state that methods and people change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::bot_command::BotCommand;
use crate::chat::{Account, Chat, ChatKind};
use crate::events::{Event, EventKind};
use crate::faults::Faults;
use crate::files::Files;
use crate::limits::Limiter;
use crate::message::{Attachment, ChatMessage, Content, FileRef, Message, buttons};
use crate::options::SandboxOptions;
use crate::outbox::Outbox;
use crate::webhook::{Routes, Webhook};

const FIRST_USER: i64 = 1_000_001;
const FIRST_GROUP: i64 = -4_000_001;
const FIRST_SUPERGROUP: i64 = -1_001_000_000_001;

/// A pressed button that the bot may answer.
#[derive(Clone, Debug)]
pub(crate) struct Press {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i32,
}

/// What Telegram may do, and mostly does not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quirks {
    pub(crate) no_file_sizes: bool,
    pub(crate) newer_api: bool,
    pub(crate) privacy_mode: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) bot: Account,
    pub(crate) users: HashMap<i64, Account>,
    pub(crate) chats: HashMap<i64, Chat>,
    messages: HashMap<(i64, i32), Message>,
    pub(crate) files: Files,
    pub(crate) outbox: Outbox,
    pub(crate) webhook: Webhook,
    pub(crate) routes: Routes,
    /// Which `getUpdates` call is the newest; the others are sent away.
    pub(crate) poll_turn: u64,
    pub(crate) presses: HashMap<String, Press>,
    /// By scope and language, as the bot gave them.
    pub(crate) commands: HashMap<String, Vec<BotCommand>>,
    pub(crate) faults: Faults,
    pub(crate) limiter: Limiter,
    pub(crate) calls: HashMap<String, usize>,
    /// How long each post to the webhook took.
    pub(crate) webhook_times: Vec<Duration>,
    pub(crate) quirks: Quirks,
    /// Topics of forums that are gone, by chat.
    pub(crate) closed_topics: HashSet<(i64, i32)>,
    events: Vec<Arc<Event>>,
    last_message_id: i32,
    groups: i64,
    albums: u64,
}

impl World {
    pub(crate) fn new(options: &SandboxOptions) -> Self {
        let id = options.token.split(':').next().and_then(|id| id.parse().ok()).unwrap_or(7_000_000_001);
        let bot = Account {
            id,
            is_bot: true,
            first_name: options.bot_name.clone(),
            username: Some(options.bot_username.clone()),
        };
        Self {
            bot,
            users: HashMap::new(),
            chats: HashMap::new(),
            messages: HashMap::new(),
            files: Files::default(),
            outbox: Outbox::default(),
            webhook: Webhook::default(),
            routes: Routes::default(),
            poll_turn: 0,
            presses: HashMap::new(),
            commands: HashMap::new(),
            faults: Faults::default(),
            limiter: Limiter::new(options.limits),
            calls: HashMap::new(),
            webhook_times: Vec::new(),
            quirks: Quirks { privacy_mode: options.privacy_mode, ..Quirks::default() },
            closed_topics: HashSet::new(),
            events: Vec::new(),
            last_message_id: 0,
            groups: 0,
            albums: 0,
        }
    }

    /// A person who has started the bot, so that it may write to them.
    pub(crate) fn add_user(&mut self, name: &str) -> i64 {
        let id = FIRST_USER + self.users.len() as i64;
        let handle: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
        let username = Some(format!("{handle}_{id}"));
        let user = Account { id, is_bot: false, first_name: name.to_owned(), username: username.clone() };
        self.users.insert(id, user);
        let kind = ChatKind::Private;
        self.chats.insert(id, Chat::new(id, kind, name.to_owned(), username));
        id
    }

    pub(crate) fn add_group(&mut self, title: &str, kind: ChatKind) -> i64 {
        let first = if kind == ChatKind::Supergroup { FIRST_SUPERGROUP } else { FIRST_GROUP };
        let id = first - self.groups;
        self.groups += 1;
        self.chats.insert(id, Chat::new(id, kind, title.to_owned(), None));
        id
    }

    /// The group becomes a supergroup: with another id, and numbers of its own. Telegram tells the bot in both.
    pub(crate) fn migrate(&mut self, group: i64) -> i64 {
        let title = self.chats.get(&group).map(|chat| chat.title.clone()).unwrap_or_default();
        let supergroup = self.add_group(&title, ChatKind::Supergroup);
        if let Some(chat) = self.chats.get_mut(&group) {
            chat.migrated_to = Some(supergroup);
        }
        for (chat_id, field, value) in
            [(group, "migrate_to_chat_id", supergroup), (supergroup, "migrate_from_chat_id", group)]
        {
            let number = self.next_message_id(chat_id);
            let mut told = json!({
                "message_id": number,
                "chat": self.chats.get(&chat_id).map(Chat::to_json),
                "from": { "id": 1_087_968_824_i64, "is_bot": true, "first_name": "Group", "username": "GroupAnonymousBot" },
                "sender_chat": self.chats.get(&chat_id).map(Chat::to_json),
                "date": unix_seconds(),
            });
            told[field] = json!(value);
            self.outbox.push(chat_id, "message", told);
        }
        supergroup
    }

    /// An update as it stands, whatever is in it. Its chat is made, and its message is there to be replied to.
    pub(crate) fn bring(&mut self, update: Value) {
        let Value::Object(fields) = update else { return };
        for (kind, content) in fields.into_iter().filter(|(field, _)| field != "update_id") {
            let message = if content.get("message").is_some() { &content["message"] } else { &content };
            let message = if content.get("data").is_some() { &message["reply_to_message"] } else { message };
            let chat = &message["chat"];
            let chat_id = chat["id"].as_i64().unwrap_or_default();
            if chat_id != 0 {
                let chat_kind = match chat["type"].as_str() {
                    Some("private") => ChatKind::Private,
                    Some("group") => ChatKind::Group,
                    _ => ChatKind::Supergroup,
                };
                let title = chat["title"].as_str().or(chat["first_name"].as_str()).unwrap_or_default().to_owned();
                self.chats.entry(chat_id).or_insert_with(|| Chat::new(chat_id, chat_kind, title, None));
            }
            if let Some(id) = message["message_id"].as_i64().and_then(|id| i32::try_from(id).ok()) {
                self.last_message_id = self.last_message_id.max(id);
                let text = message["text"].as_str().or(message["caption"].as_str()).unwrap_or_default().to_owned();
                self.messages.entry((chat_id, id)).or_insert(Message {
                    id,
                    chat_id,
                    from: message["from"]["id"].as_i64().unwrap_or_default(),
                    from_bot: false,
                    date: unix_seconds(),
                    edit_date: None,
                    reply_to: None,
                    content: Content::Text(text),
                    markup: None,
                    media_group: None,
                    thread: None,
                    spoiler: false,
                });
            }
            self.outbox.push(chat_id, &kind, content);
        }
    }

    pub(crate) fn new_album(&mut self) -> String {
        self.albums += 1;
        format!("{}", 13_000_000_000_000_000 + self.albums)
    }

    /// Numbers are shared by all of an account's chats but supergroups, so a message's number alone says nothing.
    fn next_message_id(&mut self, chat_id: i64) -> i32 {
        let counter = match self.chats.get_mut(&chat_id) {
            Some(chat) if chat.kind == ChatKind::Supergroup => &mut chat.last_message_id,
            _ => &mut self.last_message_id,
        };
        *counter += 1;
        *counter
    }

    /// Puts a new message into its chat; its number is given here.
    pub(crate) fn add_message(&mut self, mut message: Message) -> Message {
        message.id = self.next_message_id(message.chat_id);
        self.messages.insert((message.chat_id, message.id), message.clone());
        message
    }

    pub(crate) fn message(&self, chat_id: i64, message_id: i32) -> Option<&Message> {
        self.messages.get(&(chat_id, message_id))
    }

    pub(crate) fn replace_message(&mut self, message: Message) {
        self.messages.insert((message.chat_id, message.id), message);
    }

    pub(crate) fn remove_message(&mut self, chat_id: i64, message_id: i32) -> bool {
        self.messages.remove(&(chat_id, message_id)).is_some()
    }

    pub(crate) fn log(&mut self, kind: EventKind) {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.events.push(Arc::new(Event { seq: self.events.len(), at_ms, kind }));
    }

    pub(crate) fn event(&self, seq: usize) -> Option<Arc<Event>> {
        self.events.get(seq).cloned()
    }

    pub(crate) fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    pub(crate) fn events_length(&self) -> usize {
        self.events.len()
    }

    /// The message as the Bot API shows it. The message that it replies to is shown one level deep.
    pub(crate) fn message_json(&self, message: &Message) -> Value {
        let mut shown = self.bare_message_json(message);
        let answered = message.reply_to.and_then(|id| self.message(message.chat_id, id));
        if let Some(answered) = answered {
            shown["reply_to_message"] = self.bare_message_json(answered);
        }
        shown
    }

    fn bare_message_json(&self, message: &Message) -> Value {
        let from = if message.from_bot { Some(&self.bot) } else { self.users.get(&message.from) };
        let chat = self.chats.get(&message.chat_id);
        let mut shown = json!({
            "message_id": message.id,
            "from": from.map(Account::to_json),
            "chat": chat.map(Chat::to_json),
            "date": message.date,
        });
        if let Some(edited) = message.edit_date {
            shown["edit_date"] = json!(edited);
        }
        if let Some(album) = &message.media_group {
            shown["media_group_id"] = json!(album);
        }
        if let Some(markup) = &message.markup {
            shown["reply_markup"] = markup.clone();
        }
        if let Some(thread) = message.thread {
            shown["message_thread_id"] = json!(thread);
            shown["is_topic_message"] = json!(true);
        }
        if message.spoiler {
            shown["has_media_spoiler"] = json!(true);
        }
        message.content.fill(&mut shown);
        if self.quirks.no_file_sizes {
            forget_sizes(&mut shown);
        }
        if self.quirks.newer_api {
            let offset = json!([{ "type": "of_a_version_to_come", "offset": 0, "length": 1 }]);
            shown["entities"] = offset.clone();
            shown["caption_entities"] = offset;
            shown["of_a_version_to_come"] = json!({ "deep": [1, 2] });
        }
        shown
    }

    /// The message as a test or a page reads it.
    pub(crate) fn chat_message(&self, message: &Message, method: &str, parse_mode: Option<String>) -> ChatMessage {
        let attachment = match &message.content {
            Content::Text(_) => None,
            Content::Photo { sizes, .. } => sizes.last().and_then(|largest| self.attachment(&largest.file)),
            Content::Document { file, .. }
            | Content::Sticker { file }
            | Content::Voice { file }
            | Content::Video { file, .. } => self.attachment(file),
        };
        ChatMessage {
            method: method.to_owned(),
            chat_id: message.chat_id,
            message_id: message.id,
            from: message.from,
            from_bot: message.from_bot,
            reply_to: message.reply_to,
            text: message.content.text().map(str::to_owned),
            caption: message.content.caption().map(str::to_owned),
            parse_mode,
            attachment,
            buttons: buttons(message.markup.as_ref()),
            media_group: message.media_group.clone(),
            thread: message.thread,
            spoiler: message.spoiler,
        }
    }

    fn attachment(&self, file: &FileRef) -> Option<Attachment> {
        let stored = self.files.get(&file.id)?;
        Some(Attachment {
            kind: stored.kind,
            file_id: file.id.clone(),
            file_name: stored.name.clone(),
            mime_type: stored.mime.clone(),
            bytes: stored.bytes.clone(),
        })
    }
}

/// Telegram may leave the size of any file out.
fn forget_sizes(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("file_size");
            fields.values_mut().for_each(forget_sizes);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_sizes),
        _ => {}
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
