//! The retry policy: when an answer that could not be sent is retried, and when it is given up.

use std::time::Duration;

use backon::Retryable as _;
use fleet::{Clock, Timestamp};

use crate::detection::HandleError;

/// A file that Telegram does not give is asked for during this many looks of the sweep.
const LOOKS_FOR_A_FILE: u32 = 8;

/// The longest wait between two tries: so late comes the last answer after an outage of Telegram.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// The waits before the immediate retries of what failed for a passing reason; after them it is deferred.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// Does it, and retries a few times at once if the failure may pass soon.
///
/// # Errors
/// The last try's.
pub(crate) async fn soon_again<F: Future<Output = Result<(), HandleError>>>(
    clock: &Clock,
    may_pass_soon: impl Fn(&HandleError) -> bool,
    act: impl Fn() -> F,
) -> Result<(), HandleError> {
    let retried = act.retry(PAUSES.into_iter()).sleep(clock.clone()).when(may_pass_soon);
    retried.notify(|error, _| tracing::debug!(%error, "it failed and is tried again")).await
}

/// When an answer is retried, and for how long. The state is in its record, so it is the same for all instances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// The time between two looks of the sweep.
    pub(crate) interval: Duration,
    /// The time after the first failure after which an answer is given up.
    pub(crate) give_up_after: Duration,
}

impl RetryPolicy {
    /// When to try again what failed `now`, and failed first at `first_failed_at`; `None` if that is long enough ago. The wait is as
    /// long as it has failed until then, so it doubles with each try; at first there is none, and the worker that calls back
    /// again in a moment has it sent. It needs no chance in it: one sweep tries one after the other.
    pub(crate) fn next_attempt(&self, first_failed_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let failing = now.since(first_failed_at);
        (failing < self.give_up_after).then(|| now + failing.min(LONGEST_WAIT))
    }

    /// The same where something says how long it will fail at least, as Telegram does with 429: that wait, and no other. It
    /// is known to end, so there is no need to wait longer each time.
    pub(crate) fn next_attempt_after(
        &self,
        first_failed_at: Timestamp,
        now: Timestamp,
        wait: Option<Duration>,
    ) -> Option<Timestamp> {
        let next = self.next_attempt(first_failed_at, now)?;
        Some(wait.map_or(next, |wait| now + wait.saturating_add(Duration::from_secs(1))))
    }

    /// When to ask again for a file that Telegram does not give `now`, and did not since `gone_since`; `None` if that is long enough.
    pub(crate) fn next_attempt_for_a_file(&self, gone_since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.next_attempt(gone_since, now).filter(|_| now.since(gone_since) < LOOKS_FOR_A_FILE * self.interval)
    }

    /// Where an answer stands in the index, whose sort key is a time, so that the sweep finds it at `next_attempt`: the sweep looks
    /// for what is older than the interval.
    pub(crate) fn index_time(&self, next_attempt: Timestamp) -> Timestamp {
        next_attempt - self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const POLICY: RetryPolicy =
        RetryPolicy { interval: Duration::from_secs(15), give_up_after: Duration::from_secs(7 * DAY) };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(0) + Duration::from_secs(seconds)
    }

    /// The waits of an answer that always fails, in seconds, as a sweep sees it.
    fn waits() -> Vec<u64> {
        let mut now = at(1_790_000_000);
        let first = now;
        let mut waits = Vec::new();
        while let Some(next) = POLICY.next_attempt(first, now) {
            waits.push(next.since(now).as_secs());
            now = next.max(now + POLICY.interval);
        }
        waits
    }

    #[test]
    fn waits_grow_to_a_ceiling_and_end() {
        let (waits, longest) = (waits(), LONGEST_WAIT.as_secs());
        assert_eq!(waits[..9], [0, 15, 30, 60, 120, 240, 480, 900, 900]);
        assert!(waits[7..].iter().all(|&wait| wait == longest));
        // Every 15 seconds would be 40 320.
        assert_eq!(waits.len(), 678);
        assert!((7 * DAY - 15..7 * DAY + longest).contains(&waits.iter().sum()));
    }

    #[test]
    fn a_wait_that_is_known_is_kept_and_does_not_grow() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(POLICY.next_attempt_after(at(1000), at(1000), seconds(3600)), Some(at(4601)));
        assert_eq!(POLICY.next_attempt_after(at(1000), at(8000), seconds(3)), Some(at(8004)));
        assert_eq!(POLICY.next_attempt_after(at(1000), at(1000 + 7 * DAY), seconds(3600)), None);
        assert_eq!(POLICY.next_attempt_after(at(1000), at(1060), None), Some(at(1120)));
    }

    #[test]
    fn a_clock_that_is_behind_costs_nothing() {
        assert_eq!(POLICY.next_attempt(at(1000), at(990)), Some(at(990)));
    }
}
