//! Many durations in little room: how long the 99th of 100 took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer than any flood.
const LONGEST: Duration = Duration::from_secs(100 * 24 * 3600);

/// Durations, to three digits.
#[derive(Clone, Debug)]
pub struct Durations {
    micros: Histogram<u64>,
    sum: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

/// What is told of many durations, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The shortest.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// How many durations lie in a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// Seconds; the range begins here.
    pub from: f64,
    /// Seconds; the range ends before this.
    pub to: f64,
    /// How many.
    pub count: u64,
}

impl Durations {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        // Three digits are always possible.
        let micros = Histogram::new(3).unwrap_or_else(|error| unreachable!("3 digits: {error}"));
        Self { micros, sum: Duration::ZERO }
    }

    /// One more. What is longer than a hundred days counts as a hundred days.
    pub fn record(&mut self, duration: Duration) {
        let duration = duration.min(LONGEST);
        // The histogram grows as it must; with 64 bits there is nothing that it can't hold below the longest.
        let _ = self.micros.record(duration.as_micros() as u64);
        self.sum += duration;
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// Those of `others`, too.
    pub fn add(&mut self, others: &Self) {
        // It grows as it must.
        let _ = self.micros.add(&others.micros);
        self.sum += others.sum;
    }

    /// Forget them all.
    pub fn clear(&mut self) {
        self.micros.reset();
        self.sum = Duration::ZERO;
    }

    /// Their summary; `None` if there are no durations.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        if self.micros.is_empty() {
            return None;
        }
        let seconds = |micros: u64| micros as f64 / 1e6;
        let quantile = |quantile: f64| seconds(self.micros.value_at_quantile(quantile).min(self.micros.max()));
        Some(Percentiles {
            min: seconds(self.micros.min()),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            max: seconds(self.micros.max()),
            mean: self.sum.as_secs_f64() / self.micros.len() as f64,
        })
    }

    /// All of them, in ranges of which each ends at 1.25 times its beginning; those at both ends that are empty are left
    /// out.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        const GROWTH: f64 = 1.25;
        const FIRST: f64 = 1e-3;
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut number = 0_i32;
        let edge = |number: i32| if number == 0 { 0.0 } else { FIRST * GROWTH.powi(number - 1) };
        let mut current = Bucket { from: edge(0), to: edge(1), count: 0 };
        for value in self.micros.iter_recorded() {
            let seconds = value.value_iterated_to().min(self.micros.max()) as f64 / 1e6;
            while seconds >= current.to {
                buckets.push(current);
                number += 1;
                current = Bucket { from: edge(number), to: edge(number + 1), count: 0 };
            }
            current.count += value.count_at_value();
        }
        if current.count > 0 {
            buckets.push(current);
        }
        let empty = buckets.iter().take_while(|bucket| bucket.count == 0).count();
        buckets.split_off(empty)
    }
}

/// A duration as people read it.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    match seconds {
        small if small < 0.001 => format!("{:.0} µs", small * 1e6),
        small if small < 0.1 => format!("{:.1} ms", small * 1e3),
        small if small < 1.0 => format!("{:.0} ms", small * 1e3),
        some if some < 60.0 => format!("{some:.2} s"),
        more => format!("{more:.0} s"),
    }
}

/// The value that `quantile` of these are at most; they are put in order.
#[must_use]
pub fn quantile(values: &mut [f32], quantile: f64) -> Option<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let rank = (quantile * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn none_has_no_percentiles() {
        assert_eq!(Durations::new().percentiles(), None);
        assert!(Durations::new().buckets().is_empty());
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn durations_are_readable() {
        let said = [0.000_02, 0.0123, 0.25, 1.5, 75.2].map(seconds);
        assert_eq!(said, ["20 µs", "12.3 ms", "250 ms", "1.50 s", "75 s"]);
    }

    #[test]
    fn those_of_others_are_added_and_all_forgotten() {
        let of = |millis: &[u64]| {
            let mut durations = Durations::new();
            millis.iter().for_each(|millis| durations.record(Duration::from_millis(*millis)));
            durations
        };
        let mut sum = of(&[100, 300]);
        sum.add(&of(&[200]));
        assert_eq!(sum.percentiles(), of(&[100, 200, 300]).percentiles());
        sum.clear();
        assert_eq!(sum.percentiles(), None);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&mut values, 0.5), Some(2.0));
        assert_eq!(quantile(&mut values, 0.95), Some(4.0));
        assert_eq!(quantile(&mut values, 0.0), Some(1.0));
        assert_eq!(quantile(&mut values, 1.0), Some(4.0));
    }

    proptest! {
        /// Within the three digits that the histogram keeps, percentiles are those of the sorted values.
        #[test]
        fn percentiles_are_those_of_the_sorted_values(mut millis in prop::collection::vec(0_u64..600_000, 1..300)) {
            let mut durations = Durations::new();
            millis.iter().for_each(|millis| durations.record(Duration::from_millis(*millis)));
            let found = durations.percentiles().expect("some");
            millis.sort_unstable();
            let exact = |quantile: f64| {
                let rank = (quantile * millis.len() as f64).ceil() as usize;
                millis[rank.max(1) - 1] as f64 / 1e3
            };
            for (found, exact) in [(found.p50, exact(0.5)), (found.p90, exact(0.9)), (found.p95, exact(0.95)),
                                   (found.p99, exact(0.99)), (found.max, exact(1.0)), (found.min, exact(0.0))] {
                prop_assert!((found - exact).abs() <= 0.002 * exact + 1e-5, "{found} is not {exact}");
            }
            let mean = millis.iter().sum::<u64>() as f64 / millis.len() as f64 / 1e3;
            prop_assert!((found.mean - mean).abs() < 1e-6 * (1.0 + mean));
        }

        #[test]
        fn buckets_hold_every_duration_once(millis in prop::collection::vec(0_u64..600_000, 1..300)) {
            let mut durations = Durations::new();
            millis.iter().for_each(|millis| durations.record(Duration::from_millis(*millis)));
            let buckets = durations.buckets();
            prop_assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), millis.len() as u64);
            prop_assert!(buckets.iter().all(|bucket| bucket.from < bucket.to));
            prop_assert!(buckets.windows(2).all(|pair| pair[0].to == pair[1].from));
            prop_assert!(buckets.first().is_some_and(|first| first.count > 0));
        }
    }
}
