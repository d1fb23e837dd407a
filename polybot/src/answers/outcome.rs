//! What became of telling a user.

use std::time::Duration;

use fleet::AwsError;
use uuid::Uuid;

use crate::TelegramError;

/// What became of a call to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The user was told now.
    Now,
    /// The user had been told before.
    Before,
    /// Another call is telling the user right now.
    InProgress,
    /// Telling the user failed a while ago and has to wait; the sweep retries.
    Later,
    /// Its album is answered when the other photos of it are finished.
    WithItsAlbum,
    /// Nobody waits for it, as for a load generator's jobs; recorded as delivered.
    ToNobody,
    /// Nobody is there to be told, as when the user blocked the bot; recorded as delivered.
    Unreachable,
}

/// Why the user was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliverError {
    /// The prediction does not exist.
    #[error("there is no prediction {0}")]
    Unknown(Uuid),
    /// It is not finished.
    #[error("the prediction {0} is not finished yet")]
    NotFinished(Uuid),
    /// It took almost as long as the lease.
    #[error("fetching and sending the answer took too long")]
    TooSlow,
    /// Telegram failed; the sweep retries.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
    /// AWS failed; the sweep retries.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl DeliverError {
    /// When Telegram, or the chat's queue, allows a retry.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Telegram(error) = self { error.retry_after() } else { None }
    }
}
