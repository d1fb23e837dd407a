//! Moments, as the records have them.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A moment in whole seconds since the Unix epoch; in records and JSON the plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The end of time, for "whenever it was".
    pub const MAX: Self = Self(i64::MAX);

    /// This moment, by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc().unix_timestamp())
    }

    /// So many seconds after the epoch.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this; zero if `earlier` is later, as when a clock is behind.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Parts of a second are left out.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(duration)))
    }
}

/// Parts of a second are left out.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_seconds(duration)))
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(time: OffsetDateTime) -> Self {
        Self(time.unix_timestamp())
    }
}

/// As RFC 3339 has it, `2026-11-26T03:10:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.0).ok();
        match time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A moment in milliseconds since the Unix epoch, where a second is too coarse: when a photo of an album arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimestampMillis(i64);

impl TimestampMillis {
    /// So many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Without the parts of a second.
    #[must_use]
    pub const fn whole_seconds(self) -> Timestamp {
        Timestamp(self.0.div_euclid(1000))
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_ends_at_the_ends() {
        let at = Timestamp::from_secs(100);
        assert_eq!((at + Duration::from_millis(5999)).as_secs(), 105);
        assert_eq!((at - Duration::from_secs(101)).as_secs(), -1);
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(at.since(Timestamp::from_secs(40)), Duration::from_secs(60));
        assert_eq!(at.since(Timestamp::from_secs(400)), Duration::ZERO);
        assert_eq!(TimestampMillis::from_millis(-1).whole_seconds(), Timestamp::from_secs(-1));
    }

    #[test]
    fn json_has_the_number_and_people_the_date() {
        let at = Timestamp::from_secs(1_790_000_000);
        assert_eq!(serde_json::to_string(&at).expect("JSON"), "1790000000");
        assert_eq!(serde_json::from_str::<Timestamp>("1790000000").expect("read"), at);
        assert_eq!(at.to_string(), "2026-09-21T14:13:20Z");
        assert_eq!(Timestamp::MAX.to_string(), i64::MAX.to_string());
    }
}
