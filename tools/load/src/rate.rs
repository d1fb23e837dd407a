//! A rate over time, as straight lines, and when under it the n-th job is due.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::{LoadError, Shape};

/// More than any fleet of this kind takes, and few enough that a slip of the finger is noticed.
const MOST_A_SECOND: f64 = 100_000.0;
/// The straight lines that a day and its night are cut into.
const PARTS_OF_A_DAY: u32 = 96;
/// More stretches than anybody writes down.
const MOST_STRETCHES: f64 = 1e6;

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

/// A rate over time, as straight lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    stretches: Vec<Stretch>,
}

impl Rate {
    /// The rate of a shape; `None` for a shape without one.
    ///
    /// # Errors
    /// If a number is not a rate, the times go back, or nothing ever arrives.
    pub fn of(shape: &Shape) -> Result<Option<Self>, LoadError> {
        let points = match shape {
            Shape::Count { jobs: 0 } => {
                return Err(LoadError::Shape("a count of 0 sends nothing; give 1 or more".into()));
            }
            Shape::Count { .. } => return Ok(None),
            Shape::Constant { rate, duration } => vec![(0.0, *rate), (seconds(*duration)?, *rate)],
            Shape::Ramp { from, to, duration } => vec![(0.0, *from), (seconds(*duration)?, *to)],
            Shape::Spike { base, peak, duration } => {
                let fifth = seconds(*duration)? / 5.0;
                let (up, down) = (fifth, 2.0 * fifth);
                vec![(0.0, *base), (up, *base), (up, *peak), (down, *peak), (down, *base), (5.0 * fifth, *base)]
            }
            Shape::Step { from, to, duration } => {
                let (half, end) = (seconds(*duration)? / 2.0, seconds(*duration)?);
                vec![(0.0, *from), (half, *from), (half, *to), (end, *to)]
            }
            Shape::Day { low, high, day, duration } => day_and_night(*low, *high, seconds(*day)?, seconds(*duration)?)?,
            Shape::OnOff { rate, on, off, duration } => {
                on_and_off(*rate, seconds(*on)?, seconds(*off)?, seconds(*duration)?)?
            }
            Shape::Trace { points } => points.clone(),
        };
        Self::through(&points).map(Some)
    }

    /// Straight lines through points of (seconds, rate).
    fn through(points: &[(f64, f64)]) -> Result<Self, LoadError> {
        let refuse = |reason: String| Err(LoadError::Shape(reason));
        for &(second, rate) in points {
            if !second.is_finite() || second < 0.0 {
                return refuse(format!("{second} is not a moment: seconds are 0 or more"));
            }
            if !(0.0..=MOST_A_SECOND).contains(&rate) {
                return refuse(format!("{rate} jobs a second is not a rate: expected 0 to {MOST_A_SECOND}"));
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
        Ok(rate)
    }

    /// How many jobs it brings, on average over all seeds.
    #[must_use]
    pub fn jobs(&self) -> f64 {
        self.stretches.iter().map(Stretch::jobs).sum()
    }

    /// When it ends.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.stretches.last().map_or(Duration::ZERO, |last| Duration::from_secs_f64(last.start + last.length))
    }

    /// Jobs a second, on average.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.jobs() / self.end().as_secs_f64()
    }

    /// The most jobs a second, on average over `window`, that it ever brings.
    #[must_use]
    pub fn peak(&self, window: Duration) -> f64 {
        self.busiest(window).1
    }

    /// When the busiest stretch of time of this length begins, and how many jobs a second it brings.
    #[must_use]
    pub fn busiest(&self, window: Duration) -> (Duration, f64) {
        let length = window.min(self.end()).as_secs_f64().max(1e-9);
        // The sum over a window is highest where an edge of it lies at an edge of a stretch, or near to that.
        let edges = self.stretches.iter().flat_map(|stretch| [stretch.start, stretch.start + stretch.length - length]);
        let last = (self.end().as_secs_f64() - length).max(0.0);
        let mut starts: Vec<f64> = edges.map(|start| start.clamp(0.0, last)).collect();
        starts.sort_unstable_by(f64::total_cmp);
        let (mut to, mut from) = (Sums::new(self), Sums::new(self));
        let mut busiest = (0.0, 0.0);
        for start in starts {
            let rate = (to.before(start + length) - from.before(start)) / length;
            if rate > busiest.1 {
                busiest = (start, rate);
            }
        }
        (Duration::from_secs_f64(busiest.0), busiest.1)
    }
}

/// A cosine from night to night, in straight lines.
fn day_and_night(low: f64, high: f64, day: f64, duration: f64) -> Result<Vec<(f64, f64)>, LoadError> {
    let part = day / f64::from(PARTS_OF_A_DAY);
    let parts = few_enough(duration / part)?;
    let rate = |second: f64| low + (high - low) * (1.0 - (second / day * TAU).cos()) / 2.0;
    let inner = (0..parts).map(|number| number as f64 * part).filter(|second| *second < duration);
    Ok(inner.chain([duration]).map(|second| (second, rate(second))).collect())
}

fn on_and_off(rate: f64, on: f64, off: f64, duration: f64) -> Result<Vec<(f64, f64)>, LoadError> {
    let turns = few_enough(duration / (on + off))?;
    let mut points = Vec::new();
    for start in (0..turns).map(|turn| turn as f64 * (on + off)).filter(|start| *start < duration) {
        let (off_at, end) = ((start + on).min(duration), (start + on + off).min(duration));
        points.extend([(start, rate), (off_at, rate), (off_at, 0.0), (end, 0.0)]);
    }
    Ok(points)
}

fn few_enough(parts: f64) -> Result<usize, LoadError> {
    if parts > MOST_STRETCHES {
        return Err(LoadError::Shape(format!(
            "that would be {parts:.0} changes of the rate; at most {MOST_STRETCHES}"
        )));
    }
    Ok(parts.ceil() as usize)
}

/// How many jobs are due before a moment, asked for growing moments.
struct Sums<'a> {
    rate: &'a Rate,
    stretch: usize,
    before: f64,
}

impl<'a> Sums<'a> {
    fn new(rate: &'a Rate) -> Self {
        Self { rate, stretch: 0, before: 0.0 }
    }

    fn before(&mut self, second: f64) -> f64 {
        while let Some(stretch) = self.rate.stretches.get(self.stretch) {
            let past = second - stretch.start;
            if past < stretch.length {
                let slope = (stretch.to - stretch.from) / stretch.length;
                let past = past.max(0.0);
                return self.before + past * (stretch.from + slope * past / 2.0);
            }
            self.before += stretch.jobs();
            self.stretch += 1;
        }
        self.before
    }
}

fn seconds(duration: Duration) -> Result<f64, LoadError> {
    if duration.is_zero() {
        return Err(LoadError::Shape("a duration of 0 sends nothing; give for example 60s".into()));
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

    /// When `jobs` jobs are due; `None` if there are never so many. `jobs` must not be less than at the last call.
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
    fn a_day_is_busiest_at_noon_and_what_is_on_is_off_again() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let day = Shape::Day { low: 2.0, high: 40.0, day: hours(24), duration: hours(48) };
        let day = Rate::of(&day).expect("a rate").expect("has one");
        assert!((day.mean() - 21.0).abs() < 1e-6, "{}", day.mean());
        assert!((day.peak(Duration::from_secs(60)) - 40.0).abs() < 0.1, "{}", day.peak(Duration::from_secs(60)));
        assert!((day.peak(hours(24)) - 21.0).abs() < 0.1);
        let on_off = Shape::OnOff { rate: 6.0, on: hours(1), off: hours(2), duration: hours(7) };
        let on_off = Rate::of(&on_off).expect("a rate").expect("has one");
        assert_eq!((on_off.jobs(), on_off.end()), (3.0 * 6.0 * 3600.0, hours(7)));
        assert!((on_off.peak(hours(1)) - 6.0).abs() < 1e-9 && (on_off.peak(hours(3)) - 2.0).abs() < 1e-9);
        let step = Shape::Step { from: 1.0, to: 5.0, duration: hours(2) };
        assert_eq!(Rate::of(&step).expect("a rate").expect("has one").mean(), 3.0);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_its_reason() {
        let seconds = Duration::from_secs;
        for (shape, expected) in [
            (Shape::Constant { rate: -1.0, duration: seconds(1) }, "-1 jobs a second is not a rate"),
            (Shape::Constant { rate: f64::NAN, duration: seconds(1) }, "NaN jobs a second"),
            (Shape::Constant { rate: 1e9, duration: seconds(1) }, "expected 0 to 100000"),
            (Shape::Constant { rate: 0.0, duration: seconds(1) }, "sends nothing"),
            (Shape::Constant { rate: 1.0, duration: Duration::ZERO }, "duration of 0"),
            (
                Shape::Day { low: 1.0, high: 2.0, day: Duration::from_nanos(1), duration: seconds(86_400) },
                "changes of the rate",
            ),
            (Shape::OnOff { rate: 1.0, on: seconds(1), off: Duration::ZERO, duration: seconds(9) }, "duration of 0"),
            (Shape::Ramp { from: 1.0, to: f64::INFINITY, duration: seconds(1) }, "inf jobs a second"),
            (Shape::Trace { points: vec![(0.0, 1.0), (-1.0, 1.0)] }, "-1 is not a moment"),
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
