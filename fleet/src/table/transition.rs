//! A change of an item's state: what is written, and what it expects to find.

use std::fmt;

use uuid::Uuid;

use super::attribute::Item;
use super::condition::Condition;
use super::expression::UpdateExpression;

/// One write of one item. The enums of [`prediction`](super::prediction), [`album`](super::album) and
/// [`update`](super::update) list all that there are.
pub trait Transition {
    /// What an item can be.
    type State: Copy + Eq + fmt::Debug + 'static;

    /// What is done, for errors: "completing".
    fn tried(&self) -> &'static str;

    /// What is written, and under which condition.
    fn write(&self) -> Write;

    /// Its name in the diagram.
    fn name(&self) -> &'static str;

    /// Where it leads, from each state that it is possible in. [`Write`]'s condition refuses it in every other.
    fn moves(&self) -> Vec<(Self::State, Self::State)>;

    /// It only notes something: the state stays as it is.
    fn is_note(&self) -> bool {
        false
    }
}

/// What a transition writes.
#[derive(Clone, Debug)]
pub enum Write {
    /// Attributes of the item.
    Update(UpdateExpression),
    /// The whole item, if this is true of the one that is there.
    Put(Item, Condition),
}

/// An item's key, and what the item is called in errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A prediction.
    Prediction(Uuid),
    /// An album, by its whole key `album#…`.
    Album(String),
    /// An update of Telegram's, by its number.
    Update(i64),
    /// The caption of a message.
    Message {
        /// Its chat.
        chat_id: i64,
        /// Its number there.
        message_id: i32,
    },
    /// How far a search for what one person sent came, by the work that it is.
    Search(Uuid),
    /// Anything, by its whole key.
    Other(String),
}

/// What the keys of updates begin with.
const UPDATE: &str = "update#";

impl Key {
    /// As the table has it.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Prediction(id) => id.to_string(),
            Self::Album(key) | Self::Other(key) => key.clone(),
            Self::Update(id) => format!("{UPDATE}{id}"),
            Self::Message { chat_id, message_id } => format!("message#{chat_id}#{message_id}"),
            Self::Search(work_id) => format!("search#{work_id}"),
        }
    }

    /// The number of the update that has this key.
    #[must_use]
    pub fn update_id(key: &str) -> Option<i64> {
        key.strip_prefix(UPDATE)?.parse().ok()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prediction(id) => write!(f, "prediction {id}"),
            Self::Album(key) | Self::Other(key) => f.write_str(key),
            Self::Update(id) => write!(f, "update {id}"),
            Self::Message { chat_id, message_id } => write!(f, "message {message_id} of chat {chat_id}"),
            Self::Search(work_id) => write!(f, "search {work_id}"),
        }
    }
}
