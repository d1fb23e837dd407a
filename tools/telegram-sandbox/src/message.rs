//! A message: as the sandbox keeps it, as the Bot API shows it, and as a test reads it.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::entities::entities;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: i32,
    pub(crate) chat_id: i64,
    pub(crate) from: i64,
    pub(crate) from_bot: bool,
    pub(crate) date: u64,
    pub(crate) edit_date: Option<u64>,
    pub(crate) reply_to: Option<i32>,
    pub(crate) content: Content,
    /// The inline keyboard, as the bot gave it.
    pub(crate) markup: Option<Value>,
    pub(crate) media_group: Option<String>,
    /// The forum topic it is in.
    pub(crate) thread: Option<i32>,
    /// Its picture is covered until it is tapped.
    pub(crate) spoiler: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Text(String),
    Photo { sizes: Vec<PhotoSize>, caption: Option<String> },
    Document { file: FileRef, name: Option<String>, mime: String, caption: Option<String> },
    Sticker { file: FileRef },
    Voice { file: FileRef },
    Video { file: FileRef, caption: Option<String> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileRef {
    pub(crate) id: String,
    pub(crate) unique_id: String,
    pub(crate) size: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhotoSize {
    pub(crate) file: FileRef,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl FileRef {
    fn to_json(&self) -> Value {
        json!({ "file_id": self.id, "file_unique_id": self.unique_id, "file_size": self.size })
    }
}

impl PhotoSize {
    fn to_json(&self) -> Value {
        let mut size = self.file.to_json();
        size["width"] = json!(self.width);
        size["height"] = json!(self.height);
        size
    }
}

impl Content {
    pub(crate) fn caption_mut(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::Photo { caption, .. } | Self::Document { caption, .. } | Self::Video { caption, .. } => Some(caption),
            Self::Text(_) | Self::Sticker { .. } | Self::Voice { .. } => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn caption(&self) -> Option<&str> {
        match self {
            Self::Photo { caption, .. } | Self::Document { caption, .. } | Self::Video { caption, .. } => {
                caption.as_deref()
            }
            _ => None,
        }
    }

    /// The fields that a message of this content has in the Bot API.
    pub(crate) fn fill(&self, message: &mut Value) {
        match self {
            Self::Text(text) => {
                message["text"] = json!(text);
                set_entities(message, "entities", text);
            }
            Self::Photo { sizes, .. } => {
                message["photo"] = sizes.iter().map(PhotoSize::to_json).collect();
            }
            Self::Document { file, name, mime, .. } => {
                let mut document = file.to_json();
                if !mime.is_empty() {
                    document["mime_type"] = json!(mime);
                }
                if let Some(name) = name {
                    document["file_name"] = json!(name);
                }
                message["document"] = document;
            }
            Self::Sticker { file } => {
                let mut sticker = file.to_json();
                sticker["type"] = json!("regular");
                sticker["width"] = json!(512);
                sticker["height"] = json!(512);
                sticker["is_animated"] = json!(false);
                sticker["is_video"] = json!(false);
                sticker["emoji"] = json!("🙂");
                message["sticker"] = sticker;
            }
            Self::Video { file, .. } => {
                let mut video = file.to_json();
                video["width"] = json!(640);
                video["height"] = json!(360);
                video["duration"] = json!(3);
                video["mime_type"] = json!("video/mp4");
                message["video"] = video;
            }
            Self::Voice { file } => {
                let mut voice = file.to_json();
                voice["duration"] = json!(3);
                voice["mime_type"] = json!("audio/ogg");
                message["voice"] = voice;
            }
        }
        if let Some(caption) = self.caption() {
            message["caption"] = json!(caption);
            set_entities(message, "caption_entities", caption);
        }
    }
}

fn set_entities(message: &mut Value, field: &str, text: &str) {
    let found = entities(text);
    if !found.is_empty() {
        message[field] = Value::Array(found);
    }
}

/// A message as people see it in the chat, with what is attached to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChatMessage {
    /// The Bot API method that made it so, in Telegram's spelling (`sendPhoto`); empty for a person's message.
    pub method: String,
    /// The chat it is in.
    pub chat_id: i64,
    /// Its number in the chat.
    pub message_id: i32,
    /// The author.
    pub from: i64,
    /// Whether that is the bot.
    pub from_bot: bool,
    /// The message that it replies to.
    pub reply_to: Option<i32>,
    /// The text of a message without attachment.
    pub text: Option<String>,
    /// The text under an attachment.
    pub caption: Option<String>,
    /// The `parse_mode` the bot asked for; text and caption are shown as sent, with the markup in them.
    pub parse_mode: Option<String>,
    /// What hangs on it.
    pub attachment: Option<Attachment>,
    /// The rows of the inline keyboard.
    pub buttons: Vec<Vec<Button>>,
    /// Parts of one album share this.
    pub media_group: Option<String>,
    /// The forum topic it is in.
    pub thread: Option<i32>,
    /// Its picture is covered until it is tapped.
    pub spoiler: bool,
}

impl ChatMessage {
    /// Text or caption, whichever it has; empty if neither.
    pub fn words(&self) -> &str {
        self.text.as_deref().or(self.caption.as_deref()).unwrap_or_default()
    }

    /// The photo's bytes as sent, if it is a photo.
    pub fn photo(&self) -> Option<&Bytes> {
        self.attachment.as_ref().filter(|attachment| attachment.kind == AttachmentKind::Photo).map(|it| &it.bytes)
    }

    /// The document's bytes as sent, if it is a document.
    pub fn document(&self) -> Option<&Bytes> {
        self.attachment.as_ref().filter(|attachment| attachment.kind == AttachmentKind::Document).map(|it| &it.bytes)
    }

    /// The first button with this text.
    pub fn button(&self, text: &str) -> Option<&Button> {
        self.buttons.iter().flatten().find(|button| button.text == text)
    }
}

/// A file in a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attachment {
    /// How it is shown.
    pub kind: AttachmentKind,
    /// What `getFile` takes; also for [`crate::Sandbox::file`].
    pub file_id: String,
    /// The name it was sent under, if it has one.
    pub file_name: Option<String>,
    /// Its media type.
    pub mime_type: String,
    /// Its content, byte for byte as sent. Left out of JSON: a page fetches it by `file_id`.
    #[serde(skip)]
    pub bytes: Bytes,
}

/// How a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// As a picture.
    Photo,
    /// As a file.
    Document,
    /// As a sticker.
    Sticker,
    /// As a voice message.
    Voice,
    /// As a video.
    Video,
}

/// A button of an inline keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Button {
    /// What is on it.
    pub text: String,
    /// What the bot gets when it is pressed.
    pub callback_data: Option<String>,
    /// What opens when it is pressed.
    pub url: Option<String>,
}

/// The rows of an inline keyboard.
pub(crate) fn buttons(markup: Option<&Value>) -> Vec<Vec<Button>> {
    let text_of = |button: &Value, field: &str| button[field].as_str().map(str::to_owned);
    let button_of = |button: &Value| Button {
        text: text_of(button, "text").unwrap_or_default(),
        callback_data: text_of(button, "callback_data"),
        url: text_of(button, "url"),
    };
    let rows = markup.and_then(|markup| markup["inline_keyboard"].as_array());
    rows.into_iter().flatten().map(|row| row.as_array().into_iter().flatten().map(button_of).collect()).collect()
}
