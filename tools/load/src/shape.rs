//! How many jobs a second, over time, and how they lie within that.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// How many jobs a second, over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shape {
    /// The same rate all the time.
    Constant {
        /// Jobs a second.
        rate: f64,
        /// For how long.
        #[serde(serialize_with = "duration::seconds::serialize")]
        duration: Duration,
    },
    /// From one rate to another, evenly.
    Ramp {
        /// Jobs a second at the start.
        from: f64,
        /// Jobs a second at the end.
        to: f64,
        /// For how long.
        #[serde(serialize_with = "duration::seconds::serialize")]
        duration: Duration,
    },
    /// A base rate with a burst in it: of five equal parts of the time, the second is at the peak.
    Spike {
        /// Jobs a second before and after.
        base: f64,
        /// Jobs a second in the burst.
        peak: f64,
        /// For how long, all together.
        #[serde(serialize_with = "duration::seconds::serialize")]
        duration: Duration,
    },
    /// One rate in the first half of the time, another in the second.
    Step {
        /// Jobs a second in the first half.
        from: f64,
        /// Jobs a second in the second half.
        to: f64,
        /// For how long, all together.
        #[serde(serialize_with = "duration::seconds::serialize")]
        duration: Duration,
    },
    /// Day and night: a wave that begins at its lowest.
    Day {
        /// Jobs a second in the deepest night.
        low: f64,
        /// Jobs a second at noon.
        high: f64,
        /// From night to night.
        #[serde(serialize_with = "duration::seconds::serialize")]
        day: Duration,
        /// For how long, all together.
        #[serde(serialize_with = "duration::seconds::serialize")]
        duration: Duration,
    },
    /// A rate that is there for a while and gone for a while, in turn.
    OnOff {
        /// Jobs a second while it is on.
        rate: f64,
        /// For how long it is on.
        #[serde(serialize_with = "duration::seconds::serialize")]
        on: Duration,
        /// For how long it is off.
        #[serde(serialize_with = "duration::seconds::serialize")]
        off: Duration,
        /// For how long, all together.
        #[serde(serialize_with = "duration::seconds::serialize")]
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

impl Shape {
    /// The same with every rate multiplied by `factor`; a count stays.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        match &mut self {
            Self::Constant { rate, .. } | Self::OnOff { rate, .. } => *rate *= factor,
            Self::Ramp { from: one, to: other, .. }
            | Self::Step { from: one, to: other, .. }
            | Self::Spike { base: one, peak: other, .. }
            | Self::Day { low: one, high: other, .. } => {
                *one *= factor;
                *other *= factor;
            }
            Self::Trace { points } => points.iter_mut().for_each(|(_, rate)| *rate *= factor),
            Self::Count { .. } => {}
        }
        self
    }
}

impl Shape {
    /// The same in less time: `times` as fast, with the same rates, so with fewer jobs.
    #[must_use]
    pub fn faster(mut self, times: f64) -> Self {
        let shorten = |duration: &mut Duration| *duration = duration.div_f64(times);
        match &mut self {
            Self::Constant { duration, .. }
            | Self::Ramp { duration, .. }
            | Self::Step { duration, .. }
            | Self::Spike { duration, .. } => shorten(duration),
            Self::Day { day, duration, .. } => [day, duration].into_iter().for_each(shorten),
            Self::OnOff { on, off, duration, .. } => [on, off, duration].into_iter().for_each(shorten),
            Self::Trace { points } => points.iter_mut().for_each(|(second, _)| *second /= times),
            Self::Count { .. } => {}
        }
        self
    }
}

/// For people: "50 jobs/s for 60 s".
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f64;
        match self {
            Self::Constant { rate, duration } => write!(f, "{rate} jobs/s for {} s", seconds(duration)),
            Self::Ramp { from, to, duration } => write!(f, "{from} to {to} jobs/s over {} s", seconds(duration)),
            Self::Spike { base, peak, duration } => {
                write!(f, "{base} jobs/s for {} s with a burst of {peak} jobs/s", seconds(duration))
            }
            Self::Step { from, to, duration } => {
                write!(f, "{from} jobs/s, and {to} jobs/s from the middle of {} s on", seconds(duration))
            }
            Self::Day { low, high, day, duration } => {
                write!(f, "{low} to {high} jobs/s and back every {} s, for {} s", seconds(day), seconds(duration))
            }
            Self::OnOff { rate, on, off, duration } => {
                let (on, off, duration) = (seconds(on), seconds(off), seconds(duration));
                write!(f, "{rate} jobs/s for {on} s, none for {off} s, in turn for {duration} s")
            }
            Self::Trace { points } => {
                let length = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
                write!(f, "a trace of {} rates over {length} s", points.len())
            }
            Self::Count { jobs } => write!(f, "{jobs} jobs as fast as they go in"),
        }
    }
}
