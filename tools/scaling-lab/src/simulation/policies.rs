//! The policies of a group, from published values to what they ask for. The decisions are target-tracking's.

use std::collections::VecDeque;

use target_tracking::{AlarmState, Capacity, Policy, Scaling, Vote, combined};

use crate::metric::{Look, Metric};
use crate::setting::TargetTracking;

/// One policy and what it knows.
#[derive(Debug)]
struct Tracker {
    metric: Metric,
    policy: Policy,
    high: AlarmState,
    low: AlarmState,
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
    /// How many periods are kept.
    kept: usize,
    /// The number of the period that runs.
    period: u64,
    /// Whether there may be no worker at all, so that somebody has to call the first.
    wakes: bool,
    /// The most messages that waited in the period that runs, and in those kept.
    most_visible: u64,
    waited: VecDeque<u64>,
}

/// What policies decided, and by which number.
pub(super) struct Decision {
    pub(super) scaling: Scaling,
    /// Which policy; none if it was the one that wakes an empty group.
    pub(super) tracker: Option<usize>,
}

impl Policies {
    /// `behind` is how many periods end between a period's end and the evaluation of its alarms.
    pub(super) fn new(policies: &[TargetTracking], behind: u64, wakes: bool) -> Self {
        let tracker = |policy: &TargetTracking| Tracker {
            metric: policy.metric,
            policy: Policy { target_value: policy.target, disable_scale_in: policy.disable_scale_in },
            high: AlarmState::InsufficientData,
            low: AlarmState::InsufficientData,
            sum: 0.0,
            count: 0,
            points: VecDeque::new(),
        };
        let trackers: Vec<Tracker> = policies.iter().map(tracker).collect();
        let range = |tracker: &Tracker| {
            tracker.policy.alarm_high().evaluation_range().max(tracker.policy.alarm_low().evaluation_range())
        };
        let kept = trackers.iter().map(range).max().unwrap_or(1) + usize::try_from(behind).unwrap_or(0) + 1;
        Self { trackers, kept, period: 0, wakes, most_visible: 0, waited: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    pub(super) fn name(&self, tracker: usize) -> &'static str {
        self.trackers[tracker].metric.name
    }

    /// Publish what was seen; answers each policy's value.
    pub(super) fn publish(&mut self, look: &Look) -> impl Iterator<Item = f64> {
        self.most_visible = self.most_visible.max(if look.in_service == 0 { look.visible } else { 0 });
        self.trackers.iter_mut().map(move |tracker| {
            let value = (tracker.metric.value)(look);
            tracker.sum += value;
            tracker.count += 1;
            value
        })
    }

    /// A period ends; answers its number.
    pub(super) fn end_period(&mut self) -> u64 {
        for tracker in &mut self.trackers {
            let point = (tracker.count > 0).then(|| tracker.sum / f64::from(tracker.count));
            (tracker.sum, tracker.count) = (0.0, 0);
            keep(&mut tracker.points, point, self.kept);
        }
        keep(&mut self.waited, std::mem::take(&mut self.most_visible), self.kept);
        self.period += 1;
        self.period
    }

    /// Evaluate the alarms on what is known of the periods up to this one.
    pub(super) fn evaluate(&mut self, period: u64, capacity: &Capacity) -> Option<Decision> {
        let newer = usize::try_from(self.period - period).unwrap_or(usize::MAX);
        let mut votes = Vec::with_capacity(self.trackers.len() + 1);
        for tracker in &mut self.trackers {
            let points = tracker.points.make_contiguous();
            let known = &points[..points.len().saturating_sub(newer)];
            let high = tracker.policy.alarm_high().evaluate(known, tracker.high);
            let low = tracker.policy.alarm_low().evaluate(known, tracker.low);
            (tracker.high, tracker.low) = (high.state, low.state);
            let scaling = tracker.policy.scale(&high, &low, capacity);
            votes.push(Vote { scaling, has_scale_in: !tracker.policy.disable_scale_in });
        }
        if self.wakes {
            // A step policy: one instance, as soon as one message waited in a period without any instance.
            let waited = self.waited.iter().rev().nth(newer).is_some_and(|most| *most > 0);
            let scaling = (waited && capacity.desired == 0).then_some(Scaling::Out(1));
            votes.push(Vote { scaling, has_scale_in: false });
        }
        let scaling = combined(votes.iter().copied())?;
        let tracker = votes.iter().position(|vote| vote.scaling == Some(scaling));
        Some(Decision { scaling, tracker: tracker.filter(|tracker| *tracker < self.trackers.len()) })
    }
}

fn keep<T>(points: &mut VecDeque<T>, point: T, most: usize) {
    if points.len() == most {
        points.pop_front();
    }
    points.push_back(point);
}
