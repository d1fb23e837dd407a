//! Time in the lab: nanoseconds since the start inside, durations at its edges.

use std::time::Duration;

/// Nanoseconds since the start. 584 years of them are enough.
pub(crate) type Nanos = u64;

/// A second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn in_seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}
