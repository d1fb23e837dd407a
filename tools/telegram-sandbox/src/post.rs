//! What a person can post.

use bytes::Bytes;

use crate::files::dimensions;
use crate::message::{AttachmentKind, Content};
use crate::state::World;

/// A message before it is posted, made step by step: `Post::photo(bytes).caption("blur").reply_to(5)`.
#[derive(Clone, Debug)]
pub struct Post {
    kind: Kind,
    caption: Option<String>,
    pub(crate) reply_to: Option<i32>,
    pub(crate) thread: Option<i32>,
    pub(crate) spoiler: bool,
    mime: Option<String>,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(String),
    Photo(Bytes),
    Document { bytes: Bytes, name: String },
    Sticker(Bytes),
    Voice(Bytes),
    Video(Bytes),
}

impl Post {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Kind::Text(text.into()))
    }

    /// A photo, as picked from the gallery. It may be bytes that are not an image, to see what the bot makes of them.
    pub fn photo(bytes: impl Into<Bytes>) -> Self {
        Self::new(Kind::Photo(bytes.into()))
    }

    /// A file. Its media type goes by its name, else by its content.
    pub fn document(bytes: impl Into<Bytes>, name: impl Into<String>) -> Self {
        Self::new(Kind::Document { bytes: bytes.into(), name: name.into() })
    }

    /// A sticker.
    pub fn sticker(webp: impl Into<Bytes>) -> Self {
        Self::new(Kind::Sticker(webp.into()))
    }

    /// A voice message.
    pub fn voice(ogg: impl Into<Bytes>) -> Self {
        Self::new(Kind::Voice(ogg.into()))
    }

    /// A video.
    pub fn video(mp4: impl Into<Bytes>) -> Self {
        Self::new(Kind::Video(mp4.into()))
    }

    /// The text under a photo or document.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    /// As an answer to this message of the same chat.
    pub fn reply_to(mut self, message_id: i32) -> Self {
        self.reply_to = Some(message_id);
        self
    }

    /// In this topic of a forum.
    pub fn in_topic(mut self, thread: i32) -> Self {
        self.thread = Some(thread);
        self
    }

    /// With its picture covered until it is tapped.
    pub fn spoiler(mut self) -> Self {
        self.spoiler = true;
        self
    }

    /// Sets the media type, whatever the file is; an empty one removes it.
    pub fn mime_type(mut self, mime: impl Into<String>) -> Self {
        self.mime = Some(mime.into());
        self
    }

    fn new(kind: Kind) -> Self {
        Self { kind, caption: None, reply_to: None, thread: None, spoiler: false, mime: None }
    }

    pub(crate) fn into_content(self, world: &mut World) -> Content {
        let caption = self.caption.filter(|caption| !caption.is_empty());
        match self.kind {
            Kind::Text(text) => Content::Text(text),
            Kind::Photo(bytes) => {
                let size = dimensions(&bytes).unwrap_or((1280, 720));
                Content::Photo { sizes: world.files.add_photo(bytes, size), caption }
            }
            Kind::Document { bytes, name } => {
                let (file, mime) = world.files.add(AttachmentKind::Document, bytes, Some(&name));
                let mime = self.mime.unwrap_or(mime);
                Content::Document { file, name: Some(name), mime, caption }
            }
            Kind::Sticker(bytes) => Content::Sticker { file: world.files.add(AttachmentKind::Sticker, bytes, None).0 },
            Kind::Video(bytes) => {
                Content::Video { file: world.files.add(AttachmentKind::Video, bytes, None).0, caption }
            }
            Kind::Voice(bytes) => Content::Voice { file: world.files.add(AttachmentKind::Voice, bytes, None).0 },
        }
    }
}
