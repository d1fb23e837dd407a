//! How long something takes that does not always take the same time.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::time::nanos;

/// Durations by chance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Always the same.
    Fixed(#[serde(serialize_with = "duration::seconds::serialize")] Duration),
    /// Exponential, with this mean.
    Exponential(#[serde(serialize_with = "duration::seconds::serialize")] Duration),
    /// Seconds at equally spaced quantiles, the shortest first and the longest last; straight lines between them.
    Quantiles(Vec<f64>),
}

/// What the lab reads of `yolo-worker bench --json`.
#[derive(Deserialize)]
struct Bench {
    threads: u32,
    /// Milliseconds at equally spaced quantiles, over all images of all threads.
    quantiles_ms: Vec<f64>,
}

impl Distribution {
    /// What quantiles in seconds tell, the shortest first.
    ///
    /// # Errors
    /// If they are fewer than two, not in order, negative, or all zero.
    pub fn quantiles(seconds: Vec<f64>) -> Result<Self, LabError> {
        let in_order = seconds.is_sorted() && seconds.iter().all(|value| value.is_finite() && *value >= 0.0);
        if seconds.len() < 2 || !in_order || seconds.last() == Some(&0.0) {
            return Err(LabError::setting(
                "quantiles are two durations or more, the shortest first and the longest above 0",
            ));
        }
        Ok(Self::Quantiles(seconds))
    }

    /// What `yolo-worker bench --json` measured, and with how many threads.
    ///
    /// # Errors
    /// If the file can't be read or is not such a report.
    pub fn bench(path: &Path) -> Result<(Self, u32), LabError> {
        let text = std::fs::read_to_string(path).map_err(|error| LabError::reading(path, error))?;
        let bench: Bench = serde_json::from_str(&text).map_err(|error| LabError::File {
            path: path.to_owned(),
            reason: format!("this is not what `yolo-worker bench --json` prints: {error}"),
        })?;
        let seconds = bench.quantiles_ms.iter().map(|millis| millis / 1e3).collect();
        Ok((Self::quantiles(seconds)?, bench.threads))
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        match self {
            Self::Fixed(duration) | Self::Exponential(duration) => *duration,
            Self::Quantiles(seconds) => {
                let sum: f64 = seconds.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum();
                Duration::from_secs_f64(sum / (seconds.len() - 1) as f64)
            }
        }
    }

    /// So long that 95 of 100 take no longer.
    #[must_use]
    pub fn p95(&self) -> Duration {
        match self {
            Self::Fixed(duration) => *duration,
            Self::Exponential(mean) => mean.mul_f64(20_f64.ln()),
            Self::Quantiles(seconds) => Duration::from_secs_f64(between(seconds, 0.95)),
        }
    }

    /// The same, each `factor` times as long.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        match self {
            Self::Fixed(duration) => Self::Fixed(duration.mul_f64(factor)),
            Self::Exponential(mean) => Self::Exponential(mean.mul_f64(factor)),
            Self::Quantiles(seconds) => Self::Quantiles(seconds.iter().map(|value| value * factor).collect()),
        }
    }

    /// The same, each shorter by so much, though not below 0.
    #[must_use]
    pub fn less(&self, by: Duration) -> Self {
        match self {
            Self::Fixed(duration) => Self::Fixed(duration.saturating_sub(by)),
            Self::Exponential(mean) => Self::Exponential(mean.saturating_sub(by)),
            Self::Quantiles(seconds) => {
                Self::Quantiles(seconds.iter().map(|value| (value - by.as_secs_f64()).max(0.0)).collect())
            }
        }
    }

    /// One of them, in nanoseconds.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Rng) -> u64 {
        match self {
            Self::Fixed(duration) => nanos(*duration),
            Self::Exponential(mean) => exponential(nanos(*mean) as f64, random),
            Self::Quantiles(seconds) => (between(seconds, random.f64()) * 1e9) as u64,
        }
    }
}

/// By chance, with this mean.
#[inline]
pub(crate) fn exponential(mean: f64, random: &mut Rng) -> u64 {
    // `f64` is in [0, 1), so the logarithm is of no zero. `as` saturates.
    (-(1.0 - random.f64()).ln() * mean) as u64
}

/// The value at this quantile (0 to 1).
fn between(seconds: &[f64], quantile: f64) -> f64 {
    let place = quantile * (seconds.len() - 1) as f64;
    let left = (place as usize).min(seconds.len() - 2);
    seconds[left] + (seconds[left + 1] - seconds[left]) * (place - left as f64)
}

/// `90s`, `exp:90s`, or quantiles: `60s,75s,90s,180s`.
impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(mean) = text.strip_prefix("exp:") {
            return Ok(Self::Exponential(duration::parse(mean)?));
        }
        if text.contains(',') {
            let seconds: Result<Vec<f64>, String> =
                text.split(',').map(|part| Ok(duration::parse(part)?.as_secs_f64())).collect();
            return Self::quantiles(seconds?).map_err(|error| error.to_string());
        }
        Ok(Self::Fixed(duration::parse(text)?))
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(duration) => write!(f, "{}", report::seconds(duration.as_secs_f64())),
            Self::Exponential(mean) => write!(f, "{} on average (exponential)", report::seconds(mean.as_secs_f64())),
            Self::Quantiles(seconds) => write!(
                f,
                "{} to {}, {} on average",
                report::seconds(seconds.first().copied().unwrap_or(0.0)),
                report::seconds(seconds.last().copied().unwrap_or(0.0)),
                report::seconds(self.mean().as_secs_f64())
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_mean_and_the_percentile_that_are_told() {
        for text in ["90s", "exp:2s", "1s,2s,3s,10s"] {
            let distribution: Distribution = text.parse().expect(text);
            let mut random = Rng::with_seed(7);
            let mut drawn: Vec<f64> = (0..200_000).map(|_| distribution.draw(&mut random) as f64 / 1e9).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let told = distribution.mean().as_secs_f64();
            assert!((mean / told - 1.0).abs() < 0.01, "{text}: {mean} and not {told}");
            drawn.sort_unstable_by(f64::total_cmp);
            let (p95, told) = (drawn[190_000], distribution.p95().as_secs_f64());
            assert!((p95 / told - 1.0).abs() < 0.02, "{text}: {p95} and not {told}");
        }
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        for wrong in ["", "soon", "-1s", "exp:", "3s,2s", "0s,0s", "1s,x"] {
            assert!(wrong.parse::<Distribution>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bench_is_read_and_another_file_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bench.json");
        std::fs::write(&path, r#"{"model":"m","threads":2,"quantiles_ms":[100.0,110.0,180.0]}"#).expect("written");
        let (distribution, threads) = Distribution::bench(&path).expect("read");
        assert_eq!((distribution, threads), (Distribution::Quantiles(vec![0.1, 0.11, 0.18]), 2));
        std::fs::write(&path, "{}").expect("written");
        let error = Distribution::bench(&path).expect_err("refused").to_string();
        assert!(error.contains("bench.json") && error.contains("bench --json"), "{error}");
    }
}
