//! What has to be done one after another.

/// What is asked in one lane is done one after another; lanes go side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What is asked in one chat.
    Chat(i64),
    /// The parts of one album in one chat. An album is complete when it is silent for a while, so none of its parts may wait for
    /// other work.
    Album(i64, String),
    /// The presses of one person.
    Presses(i64),
}
