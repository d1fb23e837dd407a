//! Durations in JSON: seconds, as a number. For `#[serde(serialize_with = "duration::seconds::serialize")]`.

use std::time::Duration;

use serde::Serializer;

/// Writes a duration.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Durations that may be absent.
pub mod option {
    use super::{Duration, Serializer};

    /// Writes a duration, or none.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }
}
