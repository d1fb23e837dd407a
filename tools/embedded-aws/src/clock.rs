//! The time of day that never jumps: read once, then carried on by the monotonic clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: Duration::from_millis(started_at.as_millis() as u64) }
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        (self.started_at + self.started.elapsed()).as_millis() as u64
    }

    /// The moment from which on `now` is at least `millis`.
    pub(crate) fn instant(&self, millis: u64) -> Instant {
        self.started + Duration::from_millis(millis).saturating_sub(self.started_at)
    }
}
