//! Straight to SQS.

use crate::Fleet;

/// Straight to SQS: the photos are stored once, then jobs that name them are put on the queue. A job is answered when its
/// record says `done`.
#[derive(Clone, Debug)]
pub struct QueueDoor {
    /// Where.
    pub fleet: Fleet,
    /// A chat to tell every result; none, and nobody in Telegram hears of it.
    pub chat_id: Option<i64>,
}
