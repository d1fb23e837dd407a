//! When jobs arrive.

use std::time::Duration;

use serde::Serialize;

/// How long answers are waited for after the last arrival, where nothing else is said.
const DRAIN: Duration = Duration::from_secs(120);

/// How many jobs a second, over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shape {
    /// The same rate all the time.
    Constant {
        /// Jobs a second.
        rate: f64,
        /// For how long.
        #[serde(serialize_with = "crate::seconds::serialize")]
        duration: Duration,
    },
    /// From one rate to another, evenly.
    Ramp {
        /// Jobs a second at the start.
        from: f64,
        /// Jobs a second at the end.
        to: f64,
        /// For how long.
        #[serde(serialize_with = "crate::seconds::serialize")]
        duration: Duration,
    },
    /// A base rate with a burst in it: of five equal parts of the time, the second is at the peak.
    Spike {
        /// Jobs a second before and after.
        base: f64,
        /// Jobs a second in the burst.
        peak: f64,
        /// For how long, all together.
        #[serde(serialize_with = "crate::seconds::serialize")]
        duration: Duration,
    },
    /// Rates at moments, with straight lines between them: (seconds, jobs a second), the seconds not going back. Two
    /// rates at one moment are a jump. It begins at the first moment and ends at the last.
    Trace {
        /// The points.
        points: Vec<(f64, f64)>,
    },
    /// So many jobs, as fast as they go in. Each counts as due when it is sent.
    Count {
        /// How many.
        jobs: u64,
    },
}

/// How arrivals lie within the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// As independent people would send: exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Even,
}

/// What a flood is to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// How many jobs a second, over time.
    pub shape: Shape,
    /// How they lie within that.
    pub spacing: Spacing,
    /// Poisson arrivals with the same seed are the same arrivals.
    pub seed: u64,
    /// The longest to wait for answers after the last arrival.
    #[serde(serialize_with = "crate::seconds::serialize")]
    pub drain: Duration,
}

impl Plan {
    /// This shape with Poisson arrivals, seed 1, and two minutes for the answers after the last.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { shape, spacing: Spacing::default(), seed: 1, drain: DRAIN }
    }
}

/// For people: "50 jobs/s for 60 s".
impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = Duration::as_secs_f64;
        match self {
            Self::Constant { rate, duration } => write!(f, "{rate} jobs/s for {} s", seconds(duration)),
            Self::Ramp { from, to, duration } => write!(f, "{from} to {to} jobs/s over {} s", seconds(duration)),
            Self::Spike { base, peak, duration } => {
                write!(f, "{base} jobs/s for {} s with a burst of {peak} jobs/s", seconds(duration))
            }
            Self::Trace { points } => {
                let length = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
                write!(f, "a trace of {} rates over {length} s", points.len())
            }
            Self::Count { jobs } => write!(f, "{jobs} jobs as fast as they go in"),
        }
    }
}
