//! A person who uses the bot.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::events::EventKind;
use crate::message::{Content, Message, buttons};
use crate::post::Post;
use crate::shared::Shared;
use crate::state::{Press, World, unix_seconds};

/// A person in a chat: their own with the bot, or a group ([`User::in_chat`]). Everything takes effect at once; nothing
/// waits for the bot.
#[derive(Clone, Debug)]
pub struct User {
    shared: Arc<Shared>,
    id: i64,
    chat_id: i64,
}

/// Why a person can't do that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotPost {
    /// The message does not exist (any more).
    #[error("chat {chat_id} has no message {message_id}")]
    NoSuchMessage {
        /// Where it was looked for.
        chat_id: i64,
        /// What was looked for.
        message_id: i32,
    },
    /// The message is someone else's.
    #[error("message {message_id} of chat {chat_id} is not of user {user_id}")]
    NotTheirs {
        /// Where the message is.
        chat_id: i64,
        /// The message.
        message_id: i32,
        /// The person who tried.
        user_id: i64,
    },
    /// The message has no such button.
    #[error("message {message_id} of chat {chat_id} has no button with {data:?}; it has {there:?}")]
    NoSuchButton {
        /// Where the message is.
        chat_id: i64,
        /// The message.
        message_id: i32,
        /// The data looked for.
        data: String,
        /// The data of the buttons that are there.
        there: Vec<String>,
    },
    /// A message of this kind has no text to edit.
    #[error("message {message_id} of chat {chat_id} has neither text nor caption")]
    NoText {
        /// Where the message is.
        chat_id: i64,
        /// The message.
        message_id: i32,
    },
}

impl User {
    pub(crate) fn new(shared: Arc<Shared>, id: i64) -> Self {
        Self { shared, id, chat_id: id }
    }

    /// Their account.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The chat they post in.
    pub fn chat_id(&self) -> i64 {
        self.chat_id
    }

    /// The same person in that chat.
    pub fn in_chat(&self, chat_id: i64) -> Self {
        Self { chat_id, ..self.clone() }
    }

    /// Posts; gives the message's number.
    pub fn post(&self, post: Post) -> i32 {
        self.shared.change(|world| self.add(world, post, None))
    }

    /// Posts a text.
    pub fn post_text(&self, text: impl Into<String>) -> i32 {
        self.post(Post::text(text))
    }

    /// Posts a photo.
    pub fn post_photo(&self, bytes: impl Into<Bytes>, caption: Option<&str>) -> i32 {
        self.post(with_caption(Post::photo(bytes), caption))
    }

    /// Posts a file.
    pub fn post_document(&self, bytes: impl Into<Bytes>, name: &str, caption: Option<&str>) -> i32 {
        self.post(with_caption(Post::document(bytes, name), caption))
    }

    /// Posts several photos or files as one album; gives the number of each, in order. Each is an update of its own.
    pub fn post_album(&self, posts: impl IntoIterator<Item = Post>) -> Vec<i32> {
        self.shared.change(|world| {
            let album = world.new_album();
            posts.into_iter().map(|post| self.add(world, post, Some(album.clone()))).collect()
        })
    }

    /// Changes a text or caption of theirs.
    pub fn edit_text(&self, message_id: i32, text: impl Into<String>) -> Result<(), CannotPost> {
        let text = text.into();
        self.shared.change(|world| {
            let mut message = self.own(world, message_id)?.clone();
            match (&mut message.content, text) {
                (Content::Text(old), text) => *old = text,
                (media, text) => match media.caption_mut() {
                    Some(caption) => *caption = Some(text).filter(|text| !text.is_empty()),
                    None => return Err(CannotPost::NoText { chat_id: self.chat_id, message_id }),
                },
            }
            message.edit_date = Some(unix_seconds());
            world.replace_message(message.clone());
            let edited = world.message_json(&message);
            world.outbox.push(self.chat_id, "edited_message", edited);
            let seen = world.chat_message(&message, "", None);
            world.log(EventKind::PostEdited(seen));
            Ok(())
        })
    }

    /// Somebody reacts to a message of theirs: Telegram says that it was edited, and nothing in it has changed.
    pub fn react(&self, message_id: i32) -> Result<(), CannotPost> {
        self.shared.change(|world| {
            let mut message = self.own(world, message_id)?.clone();
            message.edit_date = Some(unix_seconds());
            let edited = world.message_json(&message);
            world.outbox.push(self.chat_id, "edited_message", edited);
            Ok(())
        })
    }

    /// Deletes a message of theirs. Telegram doesn't tell the bot.
    pub fn delete(&self, message_id: i32) -> Result<(), CannotPost> {
        self.shared.change(|world| {
            self.own(world, message_id)?;
            world.remove_message(self.chat_id, message_id);
            world.log(EventKind::PostDeleted { chat_id: self.chat_id, message_id });
            Ok(())
        })
    }

    /// Presses the button that carries `data` under a message; gives the id that the bot will answer.
    pub fn press_button(&self, message_id: i32, data: &str) -> Result<String, CannotPost> {
        let chat_id = self.chat_id;
        self.shared.change(|world| {
            let message =
                world.message(chat_id, message_id).ok_or(CannotPost::NoSuchMessage { chat_id, message_id })?;
            let there: Vec<String> = buttons(message.markup.as_ref())
                .into_iter()
                .flatten()
                .filter_map(|button| button.callback_data)
                .collect();
            if !there.iter().any(|known| known == data) {
                return Err(CannotPost::NoSuchButton { chat_id, message_id, data: data.to_owned(), there });
            }
            let id = format!("{}", 4_200_000_000_000 + world.presses.len());
            let query = json!({
                "id": id,
                "from": world.users.get(&self.id).map(crate::chat::Account::to_json),
                "message": world.message_json(message),
                "chat_instance": format!("{chat_id}"),
                "data": data,
            });
            world.presses.insert(id.clone(), Press { chat_id, message_id });
            // A press waits only for other presses of the same person, not for the chat's messages.
            world.outbox.push(self.id + (3 << 33), "callback_query", query);
            let (callback_query_id, data) = (id.clone(), data.to_owned());
            world.log(EventKind::Pressed { callback_query_id, chat_id, message_id, data });
            Ok(id)
        })
    }

    /// From now on the bot can't write to this person: 403.
    pub fn block_bot(&self, blocked: bool) {
        self.shared.change(|world| {
            if let Some(chat) = world.chats.get_mut(&self.id) {
                chat.bot_blocked = blocked;
            }
        });
    }

    fn own<'world>(&self, world: &'world World, message_id: i32) -> Result<&'world Message, CannotPost> {
        let (chat_id, user_id) = (self.chat_id, self.id);
        match world.message(chat_id, message_id) {
            Some(message) if message.from == user_id => Ok(message),
            Some(_) => Err(CannotPost::NotTheirs { chat_id, message_id, user_id }),
            None => Err(CannotPost::NoSuchMessage { chat_id, message_id }),
        }
    }

    fn add(&self, world: &mut World, post: Post, media_group: Option<String>) -> i32 {
        let (reply_to, thread, spoiler) = (post.reply_to, post.thread, post.spoiler);
        let content = post.into_content(world);
        let message = world.add_message(Message {
            id: 0,
            chat_id: self.chat_id,
            from: self.id,
            from_bot: false,
            date: unix_seconds(),
            edit_date: None,
            reply_to,
            content,
            markup: None,
            media_group,
            thread,
            spoiler,
        });
        let seen = world.chat_message(&message, "", None);
        world.log(EventKind::Posted(seen));
        let update = world.message_json(&message);
        world.outbox.push(self.chat_id, "message", update);
        message.id
    }
}

fn with_caption(post: Post, caption: Option<&str>) -> Post {
    match caption {
        Some(caption) => post.caption(caption),
        None => post,
    }
}
