//! When an answer that could not be sent is tried again, and when no more.

use std::time::Duration;

use fleet::Clock;

use crate::detection::HandleError;

/// A file that Telegram does not give is asked for during this many looks of the sweep.
const LOOKS_FOR_A_FILE: i64 = 8;

/// The longest wait between two tries, in seconds: so late comes the last answer after an outage of Telegram.
const LONGEST_WAIT: i64 = 15 * 60;

/// Waits before what failed for a passing reason is tried again at once, before it is put off.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// Do it, and try again a little where the failure may pass soon.
///
/// # Errors
/// The last try's.
pub(crate) async fn soon_again<F: Future<Output = Result<(), HandleError>>>(
    clock: &Clock,
    may_pass_soon: impl Fn(&HandleError) -> bool,
    act: impl Fn() -> F,
) -> Result<(), HandleError> {
    for pause in PAUSES {
        match act().await {
            Err(error) if may_pass_soon(&error) => {
                tracing::debug!(%error, "it failed and is tried again");
                clock.sleep(pause).await;
            }
            outcome => return outcome,
        }
    }
    act().await
}

/// How long an answer is tried to be sent. What is known of it lies with its record, so it is the same for all instances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// Seconds between two looks of the sweep.
    pub(crate) interval: i64,
    /// Seconds after the first failure; who then fails again is given up.
    pub(crate) give_up_after: i64,
}

impl RetryPolicy {
    /// When to try again what failed `now`, and failed first at `since`; nothing if that is long enough ago. The wait is as
    /// long as it has failed until then, so it doubles with each try; at first there is none, and the worker that calls back
    /// again in a moment has it sent. It needs no chance in it: one sweep tries one after the other.
    pub(crate) fn next_attempt(&self, since: i64, now: i64) -> Option<i64> {
        let failing = now.saturating_sub(since);
        let wait = failing.clamp(0, LONGEST_WAIT);
        (failing < self.give_up_after).then_some(now + wait)
    }

    /// The same where something says how long it will fail at least, as Telegram does with 429: that wait, and no other. It
    /// is known to end, so it is no reason to wait longer each time.
    pub(crate) fn next_attempt_after(&self, since: i64, now: i64, wait: Option<Duration>) -> Option<i64> {
        let next = self.next_attempt(since, now)?;
        Some(wait.map_or(next, |wait| now + i64::try_from(wait.as_secs()).unwrap_or(LONGEST_WAIT) + 1))
    }

    /// For how long, in seconds, a file is asked for that Telegram does not give.
    pub(crate) fn for_a_file(&self) -> i64 {
        LOOKS_FOR_A_FILE * self.interval
    }

    /// Where an answer stands in the index, whose sort key is a time, so that the sweep finds it at `next_attempt`: the sweep looks
    /// for what is older than the interval.
    pub(crate) fn index_time(&self, next_attempt: i64) -> i64 {
        next_attempt - self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;
    const POLICY: RetryPolicy = RetryPolicy { interval: 15, give_up_after: 7 * DAY };

    /// The waits of an answer that always fails, as a sweep sees it.
    fn waits() -> Vec<i64> {
        let mut now = 1_790_000_000;
        let since = now;
        let mut waits = Vec::new();
        while let Some(next) = POLICY.next_attempt(since, now) {
            waits.push(next - now);
            now = next.max(now + POLICY.interval);
        }
        waits
    }

    #[test]
    fn waits_grow_to_a_ceiling_and_end() {
        let waits = waits();
        assert_eq!(waits[..9], [0, 15, 30, 60, 120, 240, 480, 900, 900]);
        assert!(waits[7..].iter().all(|&wait| wait == LONGEST_WAIT));
        // Every 15 seconds would be 40 320.
        assert_eq!(waits.len(), 678);
        assert!((7 * DAY - 15..7 * DAY + LONGEST_WAIT).contains(&waits.iter().sum()));
    }

    #[test]
    fn a_wait_that_is_known_is_kept_and_does_not_grow() {
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(POLICY.next_attempt_after(1000, 1000, hour), Some(4601));
        assert_eq!(POLICY.next_attempt_after(1000, 8000, Some(Duration::from_secs(3))), Some(8004));
        assert_eq!(POLICY.next_attempt_after(1000, 1000 + 7 * DAY, hour), None);
        assert_eq!(POLICY.next_attempt_after(1000, 1060, None), Some(1120));
    }

    #[test]
    fn a_clock_that_is_behind_costs_nothing() {
        assert_eq!(POLICY.next_attempt(1000, 990), Some(990));
    }
}
