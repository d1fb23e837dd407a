//! Where something is said.

/// Where something is said: in this chat, as a reply to this message if that still exists, else in the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) chat_id: i64,
    /// The message that is replied to; 0 for none.
    pub(crate) message_id: i32,
    /// The forum topic it is in.
    pub(crate) thread: Option<i32>,
}
