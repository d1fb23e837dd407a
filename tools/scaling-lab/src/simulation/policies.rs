//! The policies of a group, from published values to what they ask for. The decisions are target-tracking's.

use std::collections::VecDeque;
use std::time::Duration;

use target_tracking::{AlarmAction, AlarmState, Capacity, CapacityChange, Policy, Vote, combined};

use crate::metric::{Metric, Observation};
use crate::setting::TargetTracking;

/// One policy and what it knows.
#[derive(Debug)]
struct Tracker {
    metric: Metric,
    policy: Policy,
    high: AlarmState,
    low: AlarmState,
    when_high: AlarmAction,
    when_low: AlarmAction,
    /// What was published in the period that runs.
    sum: f64,
    count: u32,
    /// The points of the last periods, the oldest first.
    points: VecDeque<Option<f64>>,
}

/// All policies of a group.
#[derive(Debug)]
pub(super) struct Policies {
    trackers: Vec<Tracker>,
    /// How long a minute takes.
    minute: Duration,
    /// How many periods are kept.
    kept: usize,
    /// The number of the period that runs.
    period: u64,
}

/// What policies decided, and by which number.
pub(super) struct Decision {
    pub(super) scaling: CapacityChange,
    /// Which policy.
    pub(super) tracker: usize,
}

impl Policies {
    /// `behind` is how many periods end between a period's end and the evaluation of its alarms.
    pub(super) fn new(policies: &[TargetTracking], behind: u64, minute: Duration) -> Self {
        let tracker = |policy: &TargetTracking| Tracker {
            metric: policy.metric,
            policy: Policy { target_value: policy.target, disable_scale_in: policy.disable_scale_in },
            high: AlarmState::InsufficientData,
            low: AlarmState::InsufficientData,
            when_high: AlarmAction::default(),
            when_low: AlarmAction::default(),
            sum: 0.0,
            count: 0,
            points: VecDeque::new(),
        };
        let trackers: Vec<Tracker> = policies.iter().map(tracker).collect();
        let range = |tracker: &Tracker| {
            tracker.policy.alarm_high().evaluation_range().max(tracker.policy.alarm_low().evaluation_range())
        };
        let kept = trackers.iter().map(range).max().unwrap_or(1) + usize::try_from(behind).unwrap_or(0) + 1;
        Self { trackers, minute, kept, period: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    pub(super) fn name(&self, tracker: usize) -> &'static str {
        self.trackers[tracker].metric.name
    }

    /// Publishes what was seen; returns each policy's value.
    pub(super) fn publish(&mut self, look: &Observation) -> impl Iterator<Item = f64> {
        self.trackers.iter_mut().map(move |tracker| {
            let value = (tracker.metric.value)(look);
            tracker.sum += value;
            tracker.count += 1;
            value
        })
    }

    /// Ends a period; returns its number.
    pub(super) fn end_period(&mut self) -> u64 {
        for tracker in &mut self.trackers {
            let point = (tracker.count > 0).then(|| tracker.sum / f64::from(tracker.count));
            (tracker.sum, tracker.count) = (0.0, 0);
            keep(&mut tracker.points, point, self.kept);
        }
        self.period += 1;
        self.period
    }

    /// Evaluate the alarms on what is known of the periods up to this one.
    pub(super) fn evaluate(&mut self, period: u64, capacity: &Capacity, now: Duration) -> Option<Decision> {
        let newer = usize::try_from(self.period - period).unwrap_or(usize::MAX);
        let mut votes = Vec::with_capacity(self.trackers.len());
        let (mut is_out_invoked, mut is_in_invoked) = (false, false);
        for tracker in &mut self.trackers {
            let points = tracker.points.make_contiguous();
            let known = &points[..points.len().saturating_sub(newer)];
            let high = tracker.policy.alarm_high().evaluate(known, tracker.high);
            let low = tracker.policy.alarm_low().evaluate(known, tracker.low);
            (tracker.high, tracker.low) = (high.state, low.state);
            is_out_invoked |= tracker.when_high.is_invoked(high.state, now, self.minute);
            is_in_invoked |= tracker.when_low.is_invoked(low.state, now, self.minute);
            let scaling = tracker.policy.scale(&high, &low, capacity);
            votes.push(Vote { scaling, has_scale_in: !tracker.policy.disable_scale_in });
        }
        let scaling = combined(votes.iter().copied())?;
        let is_invoked = match scaling {
            CapacityChange::Out(_) => is_out_invoked,
            CapacityChange::In(_) => is_in_invoked,
        };
        if !is_invoked {
            return None;
        }
        let tracker = votes.iter().position(|vote| vote.scaling == Some(scaling))?;
        Some(Decision { scaling, tracker })
    }
}

fn keep<T>(points: &mut VecDeque<T>, point: T, most: usize) {
    if points.len() == most {
        points.pop_front();
    }
    points.push_back(point);
}
