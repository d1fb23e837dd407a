//! What is known about a metric in some stretch of time, and how such knowledge adds up. Pure.

use std::collections::BTreeMap;

/// A set of values, of which only these are remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
}

impl Statistics {
    /// The same value `count` times.
    pub(crate) fn of(value: f64, count: f64) -> Self {
        Self { count, sum: value * count, minimum: value, maximum: value }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
    }

    /// The statistic that CloudWatch calls `name`.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        Some(match name {
            "SampleCount" => self.count,
            "Sum" => self.sum,
            "Average" => self.sum / self.count,
            "Minimum" => self.minimum,
            "Maximum" => self.maximum,
            _ => return None,
        })
    }
}

/// One metric over time, by milliseconds since the epoch. Kept finer than CloudWatch keeps a metric of standard
/// resolution; in periods of a minute and more, which is all one may ask of those, that makes no difference.
#[derive(Debug, Default)]
pub(crate) struct Series {
    points: BTreeMap<i64, Statistics>,
}

impl Series {
    pub(crate) fn put(&mut self, at: i64, statistics: Statistics) {
        self.points.entry(at).and_modify(|known| known.add(statistics)).or_insert(statistics);
    }

    /// Forgets what is older than `oldest`.
    pub(crate) fn expire(&mut self, oldest: i64) {
        if self.points.first_key_value().is_some_and(|(&at, _)| at < oldest) {
            self.points = self.points.split_off(&oldest);
        }
    }

    /// What is known from `start`, rounded down to a whole period, up to before `end`; by the beginning of each period
    /// that has data.
    pub(crate) fn buckets(&self, start: i64, end: i64, period: i64) -> BTreeMap<i64, Statistics> {
        let start = start.div_euclid(period) * period;
        let mut buckets: BTreeMap<i64, Statistics> = BTreeMap::new();
        if start >= end {
            return buckets;
        }
        for (at, &statistics) in self.points.range(start..end) {
            let bucket = at.div_euclid(period) * period;
            buckets.entry(bucket).and_modify(|known| known.add(statistics)).or_insert(statistics);
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fall_into_whole_periods() {
        let mut series = Series::default();
        for (at, value) in [(59_999, 9.0), (60_000, 1.0), (60_000, 3.0), (119_999, 5.0), (120_000, 7.0), (180_000, 8.0)]
        {
            series.put(at, Statistics::of(value, 1.0));
        }
        let buckets = series.buckets(90_000, 180_000, 60_000);
        assert_eq!(buckets.keys().copied().collect::<Vec<_>>(), [60_000, 120_000]);
        let first = buckets[&60_000];
        assert_eq!(first, Statistics { count: 3.0, sum: 9.0, minimum: 1.0, maximum: 5.0 });
        assert_eq!(first.get("Average"), Some(3.0));
        assert_eq!(first.get("p99"), None);
    }

    #[test]
    fn a_value_with_a_count_weighs_as_much_as_that_many() {
        let mut series = Series::default();
        series.put(0, Statistics::of(10.0, 3.0));
        series.put(1, Statistics::of(2.0, 1.0));
        assert_eq!(series.buckets(0, 60_000, 60_000)[&0].get("Average"), Some(8.0));
        series.expire(1);
        assert_eq!(series.buckets(0, 60_000, 60_000)[&0].get("Average"), Some(2.0));
    }
}
