//! What a simulation found.

use report::{Bucket, Percentiles};
use serde::Serialize;

/// What a simulation found. All times are in seconds; moments are since the start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// For how long was counted: from the first moment that counts to the last answer, or to the load's end if that is
    /// later.
    pub seconds: f64,
    /// Photos sent.
    pub arrived: u64,
    /// Photos answered.
    pub answered: u64,
    /// Photos that were received too often and given up.
    pub failed: u64,
    /// Photos that had no answer when it ended.
    pub outstanding: u64,
    /// From sent to answered.
    pub latency: Option<Waits>,
    /// From sent until a thread begins.
    pub wait: Option<Waits>,
    /// Photos whose answer came later than promised, or never.
    pub late: u64,
    /// The same as a share of all that are answered or given up.
    pub late_share: f64,
    /// Messages received, those that came again included.
    pub receives: u64,
    /// Photos in the fleet, summed up over time.
    pub photo_seconds: f64,
    /// How long photos were in the fleet, summed up over photos. Little's law: it is the same.
    pub sojourn_seconds: f64,
    /// Instances from launch to end, summed up: what is paid for.
    pub worker_seconds: f64,
    /// Those of them that were on demand.
    pub on_demand_seconds: f64,
    /// Those of them that were spot.
    pub spot_seconds: f64,
    /// Instances in service, summed up over time.
    pub in_service_seconds: f64,
    /// The work itself: what the same photos take of workers that are never idle.
    pub work_seconds: f64,
    /// Instances in service, on average.
    pub mean_in_service: f64,
    /// Messages that wait, on average.
    pub mean_visible: f64,
    /// The most instances in service.
    pub peak_in_service: u32,
    /// The most messages that waited.
    pub peak_visible: u64,
    /// How often the desired capacity changed.
    pub changes: u64,
    /// Instances that went before they were asked to.
    pub lost_workers: u64,
    /// When the last answer came.
    pub last_answer: f64,
    /// The distribution of the answers' latency.
    pub histogram: Vec<Bucket>,
    /// The first thousand changes, each with its cause.
    pub first_changes: Vec<Change>,
    /// What happened when.
    pub timeline: Vec<Slice>,
    /// How many events were simulated.
    #[serde(skip)]
    pub events: u64,
}

/// How long photos wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Waits {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// 95 of 100 wait no longer.
    pub p95: f64,
    /// 99 of 100 wait no longer.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
}

impl From<Percentiles> for Waits {
    fn from(found: Percentiles) -> Self {
        Self { mean: found.mean, p50: found.p50, p95: found.p95, p99: found.p99, longest: found.max }
    }
}

/// A change of the desired capacity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// When.
    pub at: f64,
    /// The number of instances before.
    pub from: u32,
    /// The number after.
    pub to: u32,
    /// Why.
    pub cause: String,
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// When it begins.
    pub start: f64,
    /// How long it is.
    pub length: f64,
    /// Photos sent.
    pub arrived: u64,
    /// Photos answered.
    pub answered: u64,
    /// Messages that wait, on average.
    pub visible: f64,
    /// The most that waited.
    pub most_visible: u64,
    /// Messages that workers have, on average.
    pub in_flight: f64,
    /// Instances in service, on average.
    pub in_service: f64,
    /// Instances that are paid for, on average.
    pub instances: f64,
    /// The desired capacity at its end.
    pub desired: u32,
    /// The average of each policy's metric; `None` if none was published.
    pub metrics: Vec<Option<f64>>,
    /// The median latency of the answers in it.
    pub p50: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
}

/// A fleet that grows and shrinks again and again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Swing {
    /// How often it began to grow after it had shrunk.
    pub turns: u64,
    /// From one such moment to the next, on average.
    pub period: f64,
}

impl Outcome {
    /// Worker time paid for, in multiples of the work itself; 1 is without waste.
    #[must_use]
    pub fn waste(&self) -> f64 {
        if self.work_seconds > 0.0 { self.worker_seconds / self.work_seconds } else { f64::INFINITY }
    }

    /// Whether the fleet swings: it began to grow after it had shrunk at least three times.
    #[must_use]
    pub fn swing(&self) -> Option<Swing> {
        swing(self.first_changes.iter().map(|change| (change.at, change.from, change.to)))
    }

    /// The most instances in service, in multiples of what the busiest stretch of time (`peak_rate` photos a second) has
    /// work for.
    #[must_use]
    pub fn overshoot(&self, peak_rate: f64, seconds_per_photo: f64) -> f64 {
        let needed = (peak_rate * seconds_per_photo).ceil().max(1.0);
        f64::from(self.peak_in_service) / needed
    }
}

/// How a desired capacity swings that changed so: (when, from, to).
#[must_use]
fn swing(changes: impl IntoIterator<Item = (f64, u32, u32)>) -> Option<Swing> {
    let (mut shrunk, mut turns) = (false, Vec::new());
    for (at, from, to) in changes {
        if to > from && std::mem::take(&mut shrunk) {
            turns.push(at);
        }
        shrunk |= to < from;
    }
    let (first, last) = (turns.first()?, turns.last()?);
    let intervals = turns.len() - 1;
    (intervals >= 2).then(|| Swing { turns: turns.len() as u64, period: (last - first) / intervals as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swing_is_growth_after_shrinking_again_and_again() {
        let up_and_down = |turns: u32| {
            (0..turns).flat_map(|turn| {
                let at = f64::from(turn) * 22.0;
                [(at, 1, 5), (at + 2.0, 5, 8), (at + 17.0, 8, 1)]
            })
        };
        assert_eq!(swing(up_and_down(1)), None);
        assert_eq!(swing(up_and_down(3)), None, "two turns are none yet");
        assert_eq!(swing(up_and_down(6)), Some(Swing { turns: 5, period: 22.0 }));
        assert_eq!(swing([(0.0, 1, 2), (5.0, 2, 3), (9.0, 3, 4)]), None);
    }
}
