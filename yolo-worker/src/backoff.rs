//! How long a job that failed for a passing reason stays invisible before its next try.

use std::time::Duration;

/// Each wait is this many times the one before.
const FACTOR: u32 = 4;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The wait after the `receives`-th receive (1 is the first): `base`, then four times as long each time, a quarter more or less
/// by chance, so that jobs that failed together do not come back together. With the default of 5 s and five receives: 5 s,
/// 20 s, 80 s and 320 s, about seven minutes in all.
pub(crate) fn backoff(base: Duration, receives: u32, chance: f64) -> Duration {
    let times = FACTOR.saturating_pow(receives.saturating_sub(1));
    base.saturating_mul(times).min(LONGEST).mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_receives_and_ends() {
        let seconds = |receives| backoff(Duration::from_secs(5), receives, 0.5).as_secs();
        assert_eq!([1, 2, 3, 4].map(seconds), [5, 20, 80, 320]);
        assert_eq!((seconds(0), seconds(99)), (5, 900));
    }

    #[test]
    fn is_spread() {
        let at = |chance| backoff(Duration::from_secs(100), 1, chance).as_secs();
        assert_eq!((at(0.0), at(1.0)), (75, 125));
        assert_eq!(backoff(Duration::ZERO, 3, 1.0), Duration::ZERO);
    }
}
