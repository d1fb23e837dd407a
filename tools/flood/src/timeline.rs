//! What happened when.

use std::time::Duration;

use report::quantile;
use serde::Serialize;

/// The finest that is kept, in seconds.
const FINEST: f64 = 0.25;
/// The most slices that a report has; longer floods have longer slices.
const MOST_SLICES: usize = 90;
/// The lengths that slices may have, in seconds.
const LENGTHS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// What happened within one stretch of a flood.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// Seconds since the start.
    pub start: f64,
    /// Seconds.
    pub length: f64,
    /// Jobs that were due.
    pub due: u64,
    /// Jobs that were sent.
    pub sent: u64,
    /// Jobs that were answered.
    pub answered: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were outstanding at its end.
    pub outstanding: u64,
    /// The median latency of its answers, in seconds.
    pub p50: Option<f64>,
    /// The 95th percentile of its answers' latency, in seconds.
    pub p95: Option<f64>,
    /// The 99th percentile of its answers' latency, in seconds.
    pub p99: Option<f64>,
}

#[derive(Clone, Debug, Default)]
struct Fine {
    due: u64,
    sent: u64,
    failed: u64,
    /// Seconds, one for each answer.
    latencies: Vec<f32>,
}

/// Counts by quarters of a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    fine: Vec<Fine>,
}

impl Timeline {
    fn at(&mut self, at: Duration) -> &mut Fine {
        let index = (at.as_secs_f64() / FINEST) as usize;
        if index >= self.fine.len() {
            self.fine.resize(index + 1, Fine::default());
        }
        &mut self.fine[index]
    }

    pub(crate) fn sent(&mut self, due: Duration, at: Duration) {
        self.at(due).due += 1;
        self.at(at).sent += 1;
    }

    pub(crate) fn answered(&mut self, at: Duration, latency: Duration) {
        self.at(at).latencies.push(latency.as_secs_f32());
    }

    pub(crate) fn failed(&mut self, at: Duration) {
        self.at(at).failed += 1;
    }

    /// (sent, answered) a second, over the quarters of a second that ended in the last `over` before `at`.
    pub(crate) fn rates(&self, at: Duration, over: Duration) -> (f64, f64) {
        let recent = self.recent(at, over);
        let quarter = |at: Duration| (at.as_secs_f64() / FINEST).floor();
        let seconds = (quarter(at) - quarter(at.saturating_sub(over))) * FINEST;
        if seconds <= 0.0 {
            return (0.0, 0.0);
        }
        let sent: u64 = recent.iter().map(|fine| fine.sent).sum();
        let answered: usize = recent.iter().map(|fine| fine.latencies.len()).sum();
        (sent as f64 / seconds, answered as f64 / seconds)
    }

    /// The latencies of the answers in the last `over` before `at`, what came just now included.
    pub(crate) fn latencies(&self, at: Duration, over: Duration) -> Vec<f32> {
        let now = (at.as_secs_f64() / FINEST) as usize;
        let just_now = self.fine.get(now).into_iter();
        self.recent(at, over).iter().chain(just_now).flat_map(|fine| fine.latencies.iter().copied()).collect()
    }

    /// The whole quarters of a second in the last `over` before `at`.
    fn recent(&self, at: Duration, over: Duration) -> &[Fine] {
        let end = ((at.as_secs_f64() / FINEST) as usize).min(self.fine.len());
        let start = ((at.saturating_sub(over).as_secs_f64() / FINEST) as usize).min(end);
        &self.fine[start..end]
    }

    /// In slices of one length, few enough to be drawn.
    pub(crate) fn slices(&self) -> Vec<Slice> {
        let total = self.fine.len() as f64 * FINEST;
        let longest = LENGTHS[LENGTHS.len() - 1];
        let length = LENGTHS.into_iter().find(|length| total / length <= MOST_SLICES as f64).unwrap_or(longest);
        let per_slice = (length / FINEST) as usize;
        let mut outstanding = 0;
        let slice = |(number, fine): (usize, &[Fine])| {
            let sum = |count: fn(&Fine) -> u64| fine.iter().map(count).sum::<u64>();
            let mut latencies: Vec<f32> = fine.iter().flat_map(|fine| fine.latencies.iter().copied()).collect();
            let (sent, failed, answered) = (sum(|fine| fine.sent), sum(|fine| fine.failed), latencies.len() as u64);
            outstanding = (outstanding + sent).saturating_sub(failed + answered);
            let mut at = |wanted| quantile(&mut latencies, wanted).map(f64::from);
            Slice {
                start: number as f64 * length,
                length,
                due: sum(|fine| fine.due),
                sent,
                answered,
                failed,
                outstanding,
                p50: at(0.5),
                p95: at(0.95),
                p99: at(0.99),
            }
        };
        self.fine.chunks(per_slice).enumerate().map(slice).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_are_of_whole_quarters_before_now() {
        let mut timeline = Timeline::default();
        for quarter in 0..8_u32 {
            timeline.sent(SECOND * quarter / 4, SECOND * quarter / 4);
        }
        timeline.answered(SECOND, SECOND);
        assert_eq!(timeline.rates(SECOND * 2, SECOND), (4.0, 1.0));
        assert_eq!(timeline.rates(SECOND * 2, SECOND * 10), (4.0, 0.5));
        assert_eq!(timeline.rates(Duration::ZERO, SECOND), (0.0, 0.0));
        assert_eq!(timeline.rates(SECOND * 4, SECOND * 4), (2.0, 0.25), "silence counts");
        assert_eq!(timeline.latencies(SECOND, SECOND), [1.0], "what came just now counts");
        assert!(timeline.latencies(SECOND * 9, SECOND).is_empty());
    }

    proptest! {
        /// However long the flood: few slices of one length, nothing lost, and as many outstanding as are.
        #[test]
        fn slices_hold_everything_once(
            sent in prop::collection::vec((0_u64..4_000_000, 0_u64..5_000, 0_u64..600_000, 0_u8..3), 1..200),
        ) {
            let mut timeline = Timeline::default();
            let (mut answered, mut failed) = (0, 0);
            for &(due, lag, latency, end) in &sent {
                let (due, at) = (Duration::from_millis(due), Duration::from_millis(due + lag));
                let end_at = at + Duration::from_millis(latency);
                timeline.sent(due, at);
                match end {
                    0 => { timeline.answered(end_at, end_at - due); answered += 1; }
                    1 => { timeline.failed(end_at); failed += 1; }
                    _ => {}
                }
            }
            let slices = timeline.slices();
            prop_assert!(slices.len() <= MOST_SLICES);
            prop_assert!(slices.windows(2).all(|pair| (pair[0].start + pair[0].length - pair[1].start).abs() < 1e-6));
            let sum = |count: fn(&Slice) -> u64| slices.iter().map(count).sum::<u64>();
            prop_assert_eq!(sum(|s| s.due), sent.len() as u64);
            prop_assert_eq!(sum(|s| s.sent), sent.len() as u64);
            prop_assert_eq!(sum(|s| s.answered), answered);
            prop_assert_eq!(sum(|s| s.failed), failed);
            prop_assert_eq!(slices.last().map(|s| s.outstanding), Some(sent.len() as u64 - answered - failed));
            prop_assert!(slices.iter().all(|s| s.p50 <= s.p95 && s.p95 <= s.p99 && s.p50.is_some() == (s.answered > 0)));
        }
    }
}
