//! Why a filter made nothing.

use fleet::FailureReason;
use photo::PhotoError;
use photo::filters::ConcatError;

/// Why a filter made nothing of a photo or an album, and never will. What a person reads of it is [`reply`](crate::reply)'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FilterError {
    /// A photo is refused, for a reason for which detection refuses it, too.
    Photo(FailureReason),
    /// The photos can't be joined.
    Concat(ConcatError),
    /// The filter panicked.
    Panicked,
    /// The result could not be encoded as JPEG.
    ResultNotEncoded,
    /// The results of an album are together larger than Telegram takes.
    ResultsTooLarge,
}

impl From<FailureReason> for FilterError {
    fn from(reason: FailureReason) -> Self {
        Self::Photo(reason)
    }
}

impl From<ConcatError> for FilterError {
    fn from(error: ConcatError) -> Self {
        Self::Concat(error)
    }
}

impl From<PhotoError> for FilterError {
    fn from(error: PhotoError) -> Self {
        Self::Photo(match error {
            PhotoError::NotAnImage => FailureReason::NotAnImage,
            PhotoError::TooManyBytes { bytes, limit } => {
                FailureReason::TooManyBytes { bytes: bytes as u64, limit: limit as u64 }
            }
            PhotoError::TooManyPixels { width, height, limit } => FailureReason::TooManyPixels { width, height, limit },
            PhotoError::TooMuchMemory => FailureReason::TooMuchMemory,
            PhotoError::Unreadable(_) => FailureReason::Damaged,
        })
    }
}
