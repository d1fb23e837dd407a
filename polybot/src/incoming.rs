//! What this bot reads of an update: sender, chat, photo, words, and whether it is for the bot.
//!
//! Read from the JSON, field by field and leniently: what a Bot API to come adds or changes elsewhere breaks nothing. What is
//! left is all that is kept of an update while it waits to be handled.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use teloxide::types::FileId;

use crate::command;
use crate::lane::Lane;
use crate::me::Me;
use crate::place::Place;

/// How long people can edit what they wrote, in seconds; what Telegram reports as an edit later is something else.
const EDITABLE: i64 = 49 * 3600;

/// What a bot can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Asked {
    /// By a message.
    Message(Incoming),
    /// By a message that was changed.
    Edited(Incoming),
    /// By a button.
    Press(Pressed),
}

/// A photo that a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attached {
    /// A photo, or a file that may be one.
    Photo(File),
    /// Something that is not an image we can read; what it is, in words.
    Other(String),
}

/// A file of Telegram's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// How many bytes it has, if Telegram says so.
    pub bytes: Option<u64>,
    /// It was sent as a file: its content has to say whether it is an image.
    pub is_document: bool,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    /// The chat.
    pub chat_id: i64,
    /// The message that answers reply to.
    pub message_id: i32,
    /// The forum topic it is in.
    pub thread: Option<i32>,
    /// The sender: a person, or the group or channel that somebody writes as.
    pub sender: i64,
    /// Its text or caption.
    pub words: Option<String>,
    /// What hangs on it.
    pub attached: Option<Attached>,
    /// Its picture is covered until it is tapped.
    pub spoiler: bool,
    /// The album it is part of.
    pub media_group: Option<String>,
    /// Whether more than one person may read the chat.
    pub is_group: bool,
    /// Whether it speaks to the bot: always in private; in a group by name, by a slash command of ours or by a reply to the
    /// bot.
    pub is_addressed: bool,
}

/// A button that was pressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pressed {
    /// The press, to be answered.
    pub id: String,
    /// The person who pressed it.
    pub presser: i64,
    /// What the button brings back.
    pub data: String,
    /// The chat and the message of the button.
    pub message: Option<(i64, i32)>,
    /// The photo that the message replies to.
    pub photo: Option<Incoming>,
}

/// An update as far as all have it.
#[derive(Clone, Debug)]
pub struct Update {
    /// Its number.
    pub id: i64,
    /// What is asked; nothing, if it is not for us.
    pub asked: Option<Asked>,
}

/// What can't be an update: it has no number.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is no update_id in it")]
pub struct NoUpdate;

impl Update {
    /// Read an update; `me` is the bot.
    ///
    /// # Errors
    /// [`NoUpdate`].
    pub fn read(update: &Value, me: &Me) -> Result<Self, NoUpdate> {
        let id = update["update_id"].as_i64().ok_or(NoUpdate)?;
        let asked = if let Some(message) = object(update, "message") {
            Incoming::read(message, me).map(Asked::Message)
        } else if let Some(message) = object(update, "edited_message") {
            Incoming::read(message, me).filter(|_| may_be_edited(message)).map(Asked::Edited)
        } else {
            object(update, "callback_query").and_then(|press| Pressed::read(press, me)).map(Asked::Press)
        };
        Ok(Self { id, asked: asked.filter(Asked::is_for_us) })
    }
}

impl Asked {
    /// What it waits for: what was asked in its chat before. A part of an album waits only for other parts, and a press for presses
    /// of the same person.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Message(incoming) | Self::Edited(incoming) => match &incoming.media_group {
                Some(media_group) => Lane::Album(incoming.chat_id, media_group.clone()),
                None => Lane::Chat(incoming.chat_id),
            },
            Self::Press(pressed) => Lane::Presses(pressed.presser),
        }
    }

    /// The person who asks.
    #[must_use]
    pub fn sender(&self) -> i64 {
        match self {
            Self::Message(incoming) | Self::Edited(incoming) => incoming.sender,
            Self::Press(pressed) => pressed.presser,
        }
    }

    /// Where; 0 if Telegram does not tell it any more.
    #[must_use]
    pub fn chat_id(&self) -> i64 {
        match self {
            Self::Message(incoming) | Self::Edited(incoming) => incoming.chat_id,
            Self::Press(pressed) => pressed.message.map_or(0, |(chat_id, _)| chat_id),
        }
    }

    /// Whether there is anything to be done. Parts of albums may be: another part may speak to the bot.
    fn is_for_us(&self) -> bool {
        match self {
            Self::Message(incoming) => {
                let says_something = incoming.words.is_some() || incoming.attached.is_some();
                says_something && (incoming.is_addressed || incoming.media_group.is_some())
            }
            Self::Edited(incoming) => incoming.is_addressed && matches!(incoming.attached, Some(Attached::Photo(_))),
            Self::Press(_) => true,
        }
    }
}

impl Incoming {
    /// Read a message. Nothing if nobody sent it, or a bot.
    #[must_use]
    pub fn read(message: &Value, me: &Me) -> Option<Self> {
        let chat = object(message, "chat")?;
        let chat_id = chat["id"].as_i64()?;
        let message_id = i32::try_from(message["message_id"].as_i64()?).ok()?;
        // An anonymous admin writes as the group and a person may write as a channel; `from` is then a bot that stands for them.
        let sender = match object(message, "sender_chat").and_then(|chat| chat["id"].as_i64()) {
            Some(chat) => chat,
            None => object(message, "from").filter(|from| !is_true(from, "is_bot"))?["id"].as_i64()?,
        };
        let is_group = chat["type"].as_str() != Some("private");
        let words = message["text"].as_str().or_else(|| message["caption"].as_str());
        let entities = if message["text"].is_string() { &message["entities"] } else { &message["caption_entities"] };
        let replied = &message["reply_to_message"]["from"];
        let replies_to_us = is_true(replied, "is_bot")
            && (replied["id"].as_i64() == Some(me.id) || is_our_name(replied["username"].as_str(), me));
        let attached = attached(message);
        if words.is_none() && attached.is_none() && !is_service(message) {
            let fields: Vec<&str> = message.as_object()?.keys().map(String::as_str).collect();
            metrics::counter!("polybot_updates_not_understood_total").increment(1);
            fleet::log!(MESSAGE_NOT_UNDERSTOOD, ?fields, "this version understands nothing in a message");
        }
        Some(Self {
            chat_id,
            message_id,
            thread: Some(message).filter(|message| is_true(message, "is_topic_message")).and_then(thread),
            sender,
            words: words.map(str::to_owned),
            attached,
            spoiler: is_true(message, "has_media_spoiler"),
            media_group: message["media_group_id"].as_str().map(str::to_owned),
            is_group,
            is_addressed: !is_group || replies_to_us || words.is_some_and(|words| names(words, entities, me)),
        })
    }

    /// Where it is answered.
    #[must_use]
    pub(crate) fn place(&self) -> Place {
        Place { chat_id: self.chat_id, message_id: self.message_id, thread: self.thread }
    }
}

impl Pressed {
    fn read(press: &Value, me: &Me) -> Option<Self> {
        let message = object(press, "message");
        let place =
            message.and_then(|message| Some((chat_of(message), i32::try_from(message["message_id"].as_i64()?).ok()?)));
        let photo = message.and_then(|message| {
            let mut photo = Incoming::read(object(message, "reply_to_message")?, me)?;
            // Telegram shows the topic on the message itself.
            photo.thread = photo.thread.or_else(|| thread(message).filter(|_| is_true(message, "is_topic_message")));
            Some(photo)
        });
        let data = press["data"].as_str().unwrap_or_default().to_owned();
        let presser = press["from"]["id"].as_i64().unwrap_or_default();
        Some(Self { id: press["id"].as_str()?.to_owned(), presser, data, message: place, photo })
    }
}

/// The chats that a service message says have become one: the group and its supergroup.
#[must_use]
pub fn migration(update: &Value) -> Option<(i64, i64)> {
    let message = object(update, "message")?;
    Some((chat_of(message), message["migrate_to_chat_id"].as_i64()?))
}

/// Whether a text in a group is for this bot: it mentions it, or begins with a slash and a command of ours that names no
/// other. `entities` are Telegram's for the text.
#[must_use]
pub fn names(words: &str, entities: &Value, me: &Me) -> bool {
    let entities = entities.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_meant = |entity: &Value| entity["type"] == "text_mention" && entity["user"]["id"].as_i64() == Some(me.id);
    entities.iter().any(is_meant) || mentions(words, entities, me) || begins_with_our_command(words)
}

/// Whether `@bot` stands in it, wherever no letter, digit or underscore is beside it. Telegram marks mentions in the same way,
/// but not in all that it brings. In addresses and in code it is none.
fn mentions(words: &str, entities: &[Value], me: &Me) -> bool {
    if me.name.is_empty() {
        return false;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Names are ASCII, so positions stay what they are.
    let (lower, name) = (words.to_ascii_lowercase(), format!("@{}", me.name.to_ascii_lowercase()));
    lower.match_indices(&name).any(|(at, _)| {
        let alone = !lower[at + name.len()..].starts_with(is_part)
            // After a slash command it may follow at once: /help@bot.
            && (!lower[..at].ends_with(is_part) || in_command(&lower[..at]));
        let unit = words[..at].encode_utf16().count() as i64;
        let is_literal = |entity: &Value| {
            let (from, length) = (entity["offset"].as_i64().unwrap_or(-1), entity["length"].as_i64().unwrap_or(0));
            let kind = entity["type"].as_str().unwrap_or_default();
            (from..from + length).contains(&unit) && matches!(kind, "url" | "email" | "code" | "pre")
        };
        alone && !entities.iter().any(is_literal)
    })
}

/// Whether the text ends within a word that begins with a slash.
fn in_command(text: &str) -> bool {
    text.split_whitespace().next_back().is_some_and(|word| word.starts_with('/'))
}

fn begins_with_our_command(words: &str) -> bool {
    let first = words.split_whitespace().next().unwrap_or_default();
    first.starts_with('/') && !first.contains('@') && command::is_ours(words)
}

fn is_our_name(name: Option<&str>, me: &Me) -> bool {
    name.is_some_and(|name| !name.is_empty() && name.eq_ignore_ascii_case(&me.name))
}

/// A real edit: Telegram calls a new reaction or preview one, too, also long after.
fn may_be_edited(message: &Value) -> bool {
    match (message["edit_date"].as_i64(), message["date"].as_i64()) {
        (Some(edited), Some(sent)) => edited - sent <= EDITABLE,
        _ => true,
    }
}

fn attached(message: &Value) -> Option<Attached> {
    // Telegram lists the sizes from the smallest to the largest.
    if let Some(largest) = message["photo"].as_array().and_then(|sizes| sizes.last()) {
        return file(largest, false).map(Attached::Photo);
    }
    // An animation has a document, too.
    if message["animation"].is_object() {
        return Some(Attached::Other("an animation".into()));
    }
    if let Some(document) = object(message, "document") {
        let mime = document["mime_type"].as_str().unwrap_or_default().to_ascii_lowercase();
        let name = document["file_name"].as_str().unwrap_or_default().to_ascii_lowercase();
        if may_be_image(&mime, &name) {
            return file(document, true).map(Attached::Photo);
        }
        return Some(Attached::Other("a file that is no image".into()));
    }
    const OTHERS: [(&str, &str); 16] = [
        ("video", "a video"),
        ("video_note", "a video"),
        ("sticker", "a sticker"),
        ("voice", "a sound"),
        ("audio", "a sound"),
        ("story", "a story"),
        ("paid_media", "something that has to be paid for"),
        ("contact", "a contact"),
        ("dice", "a dice"),
        ("game", "a game"),
        ("poll", "a poll"),
        ("checklist", "a checklist"),
        ("venue", "a place"),
        ("location", "a place"),
        ("invoice", "an invoice"),
        ("live_photo", "a live photo"),
    ];
    let found = OTHERS.iter().find(|(field, _)| message[*field].is_object());
    found.map(|(_, what)| Attached::Other((*what).into()))
}

fn file(file: &Value, is_document: bool) -> Option<File> {
    let id = FileId(file["file_id"].as_str()?.to_owned());
    Some(File { id, bytes: file["file_size"].as_u64(), is_document })
}

/// Whether the content of a file has to be looked at. Apps say many things of a JPEG: `application/octet-stream`, `image/jpg`,
/// nothing. Only what is surely something else is not fetched.
fn may_be_image(mime: &str, name: &str) -> bool {
    const EXTENSIONS: [&str; 8] = [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"];
    const SURELY_OTHER: [&str; 4] = ["video/", "audio/", "text/", "font/"];
    if EXTENSIONS.iter().any(|extension| name.ends_with(extension)) {
        return true;
    }
    if SURELY_OTHER.iter().any(|kind| mime.starts_with(kind)) {
        return false;
    }
    match mime.strip_prefix("application/") {
        Some(kind) => {
            kind.contains("octet-stream") || kind.contains("jpg") || kind.contains("jpeg") || kind.contains("image")
        }
        None => true,
    }
}

/// Whether it says that something happened in the chat: people join, pin and rename things; no reason to speak.
fn is_service(message: &Value) -> bool {
    const HAPPENINGS: [&str; 12] = [
        "pinned_message",
        "new_chat_members",
        "left_chat_member",
        "new_chat_title",
        "new_chat_photo",
        "delete_chat_photo",
        "message_auto_delete_timer_changed",
        "migrate_to_chat_id",
        "migrate_from_chat_id",
        "chat_background_set",
        "boost_added",
        "successful_payment",
    ];
    let Some(fields) = message.as_object() else { return true };
    let happened = |field: &String| {
        HAPPENINGS.contains(&field.as_str())
            || field.ends_with("_created")
            || field.contains("_topic_")
            || field.starts_with("video_chat_")
            || field.starts_with("giveaway")
            || field.ends_with("_shared")
    };
    fields.keys().any(happened)
}

fn object<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get(field).filter(|value| value.is_object())
}

fn is_true(value: &Value, field: &str) -> bool {
    value[field].as_bool() == Some(true)
}

fn chat_of(message: &Value) -> i64 {
    message["chat"]["id"].as_i64().unwrap_or_default()
}

fn thread(message: &Value) -> Option<i32> {
    i32::try_from(message["message_thread_id"].as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn me() -> Me {
        Me { id: 99, name: "Polybot".into(), reads_groups: true }
    }

    fn message(more: Value) -> Value {
        let mut message = json!({
            "message_id": 3, "date": 1_790_000_000, "chat": {"id": 7, "type": "private"},
            "from": {"id": 7, "is_bot": false, "first_name": "Ann"},
        });
        for (field, value) in more.as_object().expect("fields") {
            message[field] = value.clone();
        }
        message
    }

    fn in_group(more: Value) -> Value {
        let mut message = message(more);
        message["chat"] = json!({"id": -5, "type": "supergroup", "title": "G"});
        message
    }

    fn read(message: &Value) -> Option<Incoming> {
        Incoming::read(message, &me())
    }

    fn asks(message: Value) -> bool {
        let update = json!({"update_id": 1, "message": message});
        Update::read(&update, &me()).expect("an update").asked.is_some()
    }

    fn photo() -> Value {
        json!([{"file_id": "small", "file_size": 10, "width": 9, "height": 6}, {"file_id": "F", "width": 90, "height": 60}])
    }

    #[test]
    fn who_is_spoken_to_in_a_group() {
        for words in [
            "@PolyBot predict",
            "predict @polybot",
            "/help",
            "/help@polybot",
            "/salt_and_pepper",
            "/ban@polybot spammer",
            "blur 5, @polybot!",
            "(@polybot)",
            "@polybot😀",
            "predict,@polybot;",
            "«@polybot»",
        ] {
            assert!(names(words, &Value::Null, &me()), "{words}");
        }
        for words in [
            "predict",
            "hello all",
            "/help@otherbot",
            "/ban spammer",
            "/",
            "@polybot2 blur",
            "@polybot_2",
            "",
            "mail me at a@polybotics.org",
            "me@polybot",
        ] {
            assert!(!names(words, &Value::Null, &me()), "{words}");
        }
    }

    #[test]
    fn entities_say_what_is_no_mention_and_what_is_one_without_a_name() {
        let words = "😀 see @polybot";
        let entity = |kind: &str| json!([{"type": kind, "offset": 7, "length": 8}]);
        assert!(names(words, &entity("mention"), &me()));
        assert!(!names(words, &entity("code"), &me()));
        let by_id = json!([{"type": "text_mention", "offset": 0, "length": 3, "user": {"id": 99}}]);
        assert!(names("Bot, predict", &by_id, &me()));
    }

    #[test]
    fn who_writes_as_the_group_or_as_a_channel_is_no_bot() {
        let bot = json!({"id": 1_087_968_824, "is_bot": true, "username": "GroupAnonymousBot"});
        let anonymous =
            in_group(json!({"from": bot, "sender_chat": {"id": -5}, "photo": photo(), "caption": "@polybot"}));
        let read_anonymous = read(&anonymous).expect("a person");
        assert!(read_anonymous.is_addressed);
        assert_eq!(read_anonymous.sender, -5);
        let other_bot = in_group(json!({"from": {"id": 5, "is_bot": true}, "text": "@polybot"}));
        assert_eq!(read(&other_bot), None);
        // And with a button under the answer to it.
        let answer = in_group(json!({"from": {"id": 99, "is_bot": true}, "reply_to_message": anonymous}));
        let press = json!({"id": "1", "from": {"id": 7}, "data": "menu", "message": answer});
        assert!(Pressed::read(&press, &me()).expect("a press").photo.is_some());
    }

    #[test]
    fn the_content_of_a_file_decides_unless_it_is_surely_no_image() {
        let document = |mime: Value, name: &str| {
            attached(&message(json!({"document": {"file_id": "F", "mime_type": mime, "file_name": name}})))
        };
        for mime in ["application/octet-stream", "image/jpg", "image/pjpeg", "image", "jpeg", "", "binary/octet-stream"]
        {
            assert!(matches!(document(mime.into(), "IMG_0001"), Some(Attached::Photo(_))), "{mime}");
        }
        assert!(matches!(document(Value::Null, "x"), Some(Attached::Photo(_))));
        assert!(matches!(document("application/pdf".into(), "IMG_1.JPG"), Some(Attached::Photo(_))));
        for mime in ["application/pdf", "video/mp4", "text/plain", "application/zip"] {
            assert!(matches!(document(mime.into(), "paper"), Some(Attached::Other(_))), "{mime}");
        }
    }

    #[test]
    fn what_a_later_bot_api_adds_breaks_nothing() {
        let entities = json!([{"type": "date_time", "offset": 8, "length": 8, "unix_time": 1_790_000_000}]);
        let odd = message(json!({
            "photo": photo(), "caption": "predict tomorrow", "caption_entities": entities, "new": {"deep": [1]},
        }));
        let incoming = read(&odd).expect("a photo");
        assert_eq!(incoming.words.as_deref(), Some("predict tomorrow"));
        let Some(Attached::Photo(file)) = incoming.attached else { panic!("a photo") };
        assert_eq!((file.id.0.as_str(), file.bytes), ("F", None));
        let update = json!({"update_id": 5, "something_new": {"chat": {"id": 7}}});
        assert!(Update::read(&update, &me()).expect("an update").asked.is_none());
        assert!(Update::read(&json!({"message": {}}), &me()).is_err());
    }

    #[test]
    fn what_happens_in_a_chat_is_no_reason_to_speak() {
        for field in ["pinned_message", "message_auto_delete_timer_changed", "chat_background_set", "something_new"] {
            assert!(!asks(message(json!({ field: {"x": 1} }))), "{field}");
        }
        assert!(!asks(message(json!({"new_chat_members": [{"id": 1}]}))));
        assert!(asks(message(json!({"location": {"latitude": 1.0}}))));
        assert!(asks(message(json!({"text": "hi"}))));
        assert!(!asks(in_group(json!({"text": "hi"}))));
        assert!(!asks(in_group(json!({"photo": photo()}))));
        assert!(asks(in_group(json!({"photo": photo(), "media_group_id": "m"}))), "another part may name the bot");
    }

    #[test]
    fn an_edit_long_after_is_none() {
        let edited = |after: i64| {
            let mut message = message(json!({"photo": photo()}));
            message["edit_date"] = json!(1_790_000_000 + after);
            let update = json!({"update_id": 1, "edited_message": message});
            Update::read(&update, &me()).expect("an update").asked.is_some()
        };
        assert!(edited(60) && !edited(3 * 24 * 3600));
    }

    #[test]
    fn topics_and_spoilers_go_along() {
        let topic = in_group(json!({
            "photo": photo(), "caption": "@polybot", "is_topic_message": true, "message_thread_id": 12,
            "has_media_spoiler": true,
        }));
        let incoming = read(&topic).expect("a photo");
        assert_eq!((incoming.place().thread, incoming.spoiler), (Some(12), true));
        // A reply thread outside of forums is none.
        let reply = in_group(json!({"text": "/help", "message_thread_id": 12}));
        assert_eq!(read(&reply).expect("a text").thread, None);
    }
}
