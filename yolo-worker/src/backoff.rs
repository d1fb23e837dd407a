//! How long a job that failed for a passing reason stays invisible before its next try.

use std::time::Duration;

/// Each wait is this many times the one before.
const FACTOR: u32 = 4;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// So many waits, then the first again. SQS moves a message to the dead-letter queue when it would be received once too often, so
/// only when it is visible again: a long wait after the last of five receives would only keep its sender waiting.
const WAITS: u32 = 4;

/// The wait after the `receives`-th receive (1 is the first): `base`, then four times as long each time, a quarter more or less
/// by chance, so that jobs that failed together do not come back together. With the default of 5 s and five receives: 5 s,
/// 20 s, 80 s, 320 s and 5 s, about seven minutes in all.
pub(crate) fn backoff(base: Duration, receives: u32, chance: f64) -> Duration {
    let times = FACTOR.pow(receives.saturating_sub(1) % WAITS);
    base.saturating_mul(times).min(LONGEST).mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_receives_and_begins_anew_after_the_last() {
        let seconds = |base, receives| backoff(Duration::from_secs(base), receives, 0.5).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|receives| seconds(5, receives)), [5, 5, 20, 80, 320, 5, 20]);
        assert_eq!((seconds(60, 4), seconds(60, u32::MAX)), (900, 900));
    }

    #[test]
    fn is_spread() {
        let at = |chance| backoff(Duration::from_secs(100), 1, chance).as_secs();
        assert_eq!((at(0.0), at(1.0)), (75, 125));
        assert_eq!(backoff(Duration::ZERO, 3, 1.0), Duration::ZERO);
    }
}
