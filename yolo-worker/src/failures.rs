//! Attempts that failed one after the other, for reasons that may pass.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The pause after the first failure; after each that follows it is twice as long.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(15);

/// Counts them. A worker that lacks a right or a route fails far faster than others work; without a pause it would take most of
/// what waits, again and again, until it is dead letters.
#[derive(Debug, Default)]
pub(crate) struct Failures(AtomicU32);

impl Failures {
    /// One more.
    pub(crate) fn add(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| Some(count.saturating_add(1)));
    }

    /// An attempt succeeded.
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How long whoever failed waits before the next message.
    pub(crate) fn pause(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            count => FIRST.saturating_mul(2_u32.saturating_pow(count - 1)).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_and_a_success_ends_it() {
        let failures = Failures::default();
        assert_eq!(failures.pause(), Duration::ZERO);
        let pauses = std::array::from_fn::<_, 8, _>(|_| {
            failures.add();
            failures.pause().as_millis()
        });
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        failures.end();
        assert_eq!(failures.pause(), Duration::ZERO);
    }
}
