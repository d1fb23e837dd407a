//! A rate over time, as straight lines, and when under it the n-th job is due.

use std::time::Duration;

use crate::{FloodError, Shape};

/// More than any fleet of this kind takes, and few enough that a slip of the finger is noticed.
const MOST_A_SECOND: f64 = 100_000.0;
/// The most jobs that one flood sends.
const MOST_JOBS: f64 = 50_000_000.0;

/// A stretch of time over which the rate is a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    /// Seconds since the start.
    start: f64,
    /// Seconds.
    length: f64,
    /// Jobs a second at its start.
    from: f64,
    /// Jobs a second at its end.
    to: f64,
}

impl Stretch {
    /// How many jobs are due in it.
    fn jobs(&self) -> f64 {
        self.length * (self.from + self.to) / 2.0
    }

    /// Seconds after its start at which `jobs` of its jobs are due.
    fn when(&self, jobs: f64) -> f64 {
        if jobs <= 0.0 {
            return 0.0;
        }
        // from t + slope t² / 2 = jobs, solved for t in the form that divides by no small difference.
        let slope = (self.to - self.from) / self.length;
        let root = (self.from * self.from + 2.0 * slope * jobs).max(0.0).sqrt();
        (2.0 * jobs / (self.from + root)).min(self.length)
    }
}

/// A rate over time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rate {
    stretches: Vec<Stretch>,
}

impl Rate {
    /// What a shape means; nothing for one that has no rate.
    pub(crate) fn of(shape: &Shape) -> Result<Option<Self>, FloodError> {
        let points = match shape {
            Shape::Count { jobs: 0 } => {
                return Err(FloodError::Plan("a count of 0 sends nothing; give 1 or more".into()));
            }
            Shape::Count { .. } => return Ok(None),
            Shape::Constant { rate, duration } => vec![(0.0, *rate), (seconds(*duration)?, *rate)],
            Shape::Ramp { from, to, duration } => vec![(0.0, *from), (seconds(*duration)?, *to)],
            Shape::Spike { base, peak, duration } => {
                let fifth = seconds(*duration)? / 5.0;
                let (up, down) = (fifth, 2.0 * fifth);
                vec![(0.0, *base), (up, *base), (up, *peak), (down, *peak), (down, *base), (5.0 * fifth, *base)]
            }
            Shape::Trace { points } => points.clone(),
        };
        Self::through(&points).map(Some)
    }

    /// Straight lines through points of (seconds, rate).
    fn through(points: &[(f64, f64)]) -> Result<Self, FloodError> {
        let refuse = |reason: String| Err(FloodError::Plan(reason));
        for &(second, rate) in points {
            if !second.is_finite() || second < 0.0 {
                return refuse(format!("{second} is no moment: seconds are 0 or more"));
            }
            if !(0.0..=MOST_A_SECOND).contains(&rate) {
                return refuse(format!("{rate} jobs a second is no rate: expected 0 to {MOST_A_SECOND}"));
            }
        }
        let Some(&(origin, _)) = points.first() else { return refuse("there is no rate at all".into()) };
        let mut stretches = Vec::new();
        for pair in points.windows(2) {
            let ((start, from), (end, to)) = (pair[0], pair[1]);
            if end < start {
                return refuse(format!("the seconds go back, from {start} to {end}"));
            }
            if end > start {
                stretches.push(Stretch { start: start - origin, length: end - start, from, to });
            }
        }
        let rate = Self { stretches };
        if rate.jobs() <= 0.0 {
            return refuse("this rate sends nothing: it is 0, or it has no duration".into());
        }
        if rate.jobs() > MOST_JOBS {
            return refuse(format!("that would be {:.0} jobs; at most {MOST_JOBS} in one flood", rate.jobs()));
        }
        Ok(rate)
    }

    /// How many jobs it brings.
    pub(crate) fn jobs(&self) -> f64 {
        self.stretches.iter().map(Stretch::jobs).sum()
    }

    /// When it ends.
    #[cfg(test)]
    fn end(&self) -> Duration {
        self.stretches.last().map_or(Duration::ZERO, |last| Duration::from_secs_f64(last.start + last.length))
    }
}

fn seconds(duration: Duration) -> Result<f64, FloodError> {
    if duration.is_zero() {
        return Err(FloodError::Plan("a duration of 0 sends nothing; give for example 60s".into()));
    }
    Ok(duration.as_secs_f64())
}

/// Turns growing numbers of jobs into the moments at which they are due.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    rate: Rate,
    /// The stretch that the last number fell in.
    stretch: usize,
    /// The jobs due before it.
    before: f64,
}

impl Moments {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, stretch: 0, before: 0.0 }
    }

    /// When `jobs` jobs are due, which is no less than at the last call; nothing if there are never so many.
    pub(crate) fn when(&mut self, jobs: f64) -> Option<Duration> {
        loop {
            let stretch = self.rate.stretches.get(self.stretch)?;
            let due = stretch.jobs();
            // The end belongs to the next stretch, so that no job is due when all is over.
            if jobs < self.before + due {
                return Some(Duration::from_secs_f64(stretch.start + stretch.when(jobs - self.before)));
            }
            self.before += due;
            self.stretch += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(points: &[(f64, f64)]) -> Rate {
        Rate::through(points).expect("a rate")
    }

    #[test]
    fn a_ramp_brings_the_area_under_it() {
        let ramp = rate(&[(0.0, 0.0), (120.0, 100.0)]);
        assert_eq!(ramp.jobs(), 6000.0);
        // Half of the jobs are due when sqrt(1/2) of the time is over.
        let half = Moments::new(ramp).when(3000.0).expect("due").as_secs_f64();
        assert!((half - 120.0 * 0.5_f64.sqrt()).abs() < 1e-9, "{half}");
    }

    #[test]
    fn a_trace_begins_at_its_first_moment_and_may_jump_and_pause() {
        let mut moments =
            Moments::new(rate(&[(10.0, 1.0), (12.0, 1.0), (12.0, 0.0), (20.0, 0.0), (20.0, 2.0), (21.0, 2.0)]));
        let when: Vec<_> = (0..5).map(|job| moments.when(f64::from(job)).map(|at| at.as_secs_f64())).collect();
        assert_eq!(when, [Some(0.0), Some(1.0), Some(10.0), Some(10.5), None]);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_its_reason() {
        let seconds = Duration::from_secs;
        for (shape, expected) in [
            (Shape::Constant { rate: -1.0, duration: seconds(1) }, "-1 jobs a second is no rate"),
            (Shape::Constant { rate: f64::NAN, duration: seconds(1) }, "NaN jobs a second"),
            (Shape::Constant { rate: 1e9, duration: seconds(1) }, "expected 0 to 100000"),
            (Shape::Constant { rate: 0.0, duration: seconds(1) }, "sends nothing"),
            (Shape::Constant { rate: 1.0, duration: Duration::ZERO }, "duration of 0"),
            (Shape::Constant { rate: 90_000.0, duration: seconds(86_400) }, "at most 50000000"),
            (Shape::Ramp { from: 1.0, to: f64::INFINITY, duration: seconds(1) }, "inf jobs a second"),
            (Shape::Trace { points: vec![(0.0, 1.0), (-1.0, 1.0)] }, "-1 is no moment"),
            (Shape::Trace { points: vec![(5.0, 1.0), (4.0, 1.0)] }, "the seconds go back, from 5 to 4"),
            (Shape::Trace { points: vec![] }, "no rate at all"),
            (Shape::Trace { points: vec![(3.0, 7.0)] }, "sends nothing"),
            (Shape::Count { jobs: 0 }, "a count of 0"),
        ] {
            let error = Rate::of(&shape).expect_err("refused").to_string();
            assert!(error.contains(expected), "{shape:?}: {error}");
        }
    }

    proptest! {
        /// The jobs due before the moment of the n-th are n: `when` is the inverse of the area under the rate.
        #[test]
        fn moments_are_the_inverse_of_the_area(
            steps in prop::collection::vec((0.0..50.0_f64, 0.0..200.0_f64), 2..12),
            fraction in 0.0..1.0_f64,
        ) {
            let mut second = 0.0;
            let points: Vec<_> = steps.iter().map(|&(step, rate)| { second += step; (second, rate) }).collect();
            prop_assume!(Rate::through(&points).is_ok());
            let rate = rate(&points);
            let jobs = rate.jobs() * fraction;
            let at = Moments::new(rate.clone()).when(jobs);
            prop_assume!(at.is_some());
            let at = at.expect("assumed").as_secs_f64();
            let area: f64 = rate.stretches.iter().map(|s| {
                let t = (at - s.start).clamp(0.0, s.length);
                s.from * t + (s.to - s.from) / s.length * t * t / 2.0
            }).sum();
            prop_assert!((area - jobs).abs() < 1e-3 * (1.0 + jobs), "{area} of {jobs} at {at}");
        }

        #[test]
        fn moments_never_go_back(
            steps in prop::collection::vec((0.0..20.0_f64, 0.0..50.0_f64), 2..8),
        ) {
            let mut second = 0.0;
            let points: Vec<_> = steps.iter().map(|&(step, rate)| { second += step; (second, rate) }).collect();
            prop_assume!(Rate::through(&points).is_ok());
            let rate = rate(&points);
            let end = rate.end();
            let mut moments = Moments::new(rate);
            let mut last = Duration::ZERO;
            for job in 0.. {
                let Some(at) = moments.when(f64::from(job)) else { break };
                prop_assert!(at >= last && at <= end + Duration::from_micros(1));
                last = at;
            }
        }
    }
}
