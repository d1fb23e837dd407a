//! From alarms to a desired capacity.

use crate::{Alarm, AlarmState, Capacity, Evaluation};

/// Smaller than any difference that a metric can mean, larger than what floating point loses: three instances at exactly
/// the target are three, not 3.0000000000000004 and so four.
const ROUNDING: f64 = 1e-9;

/// A target tracking policy: AWS's `TargetTrackingConfiguration` without the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What the metric should be.
    pub target_value: f64,
    /// Scale out only.
    pub disable_scale_in: bool,
}

/// A change of the desired capacity, and the alarm that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacityChange {
    /// More instances: the high alarm.
    Out(u32),
    /// Fewer instances: the low alarm.
    In(u32),
}

impl CapacityChange {
    /// The new desired capacity.
    #[must_use]
    pub fn desired(self) -> u32 {
        match self {
            Self::Out(desired) | Self::In(desired) => desired,
        }
    }
}

impl Policy {
    /// A policy that scales out and in.
    #[must_use]
    pub fn new(target_value: f64) -> Self {
        Self { target_value, disable_scale_in: false }
    }

    /// The alarm that scales out.
    #[must_use]
    pub fn alarm_high(&self) -> Alarm {
        Alarm::high(self.target_value)
    }

    /// The alarm that scales in.
    #[must_use]
    pub fn alarm_low(&self) -> Alarm {
        Alarm::low(self.target_value)
    }

    /// What the group's desired capacity is to become, if anything is to change. To be asked once a period, and to be done
    /// when the alarm's [`AlarmAction`](crate::AlarmAction) is invoked.
    #[must_use]
    pub fn scale(&self, high: &Evaluation, low: &Evaluation, capacity: &Capacity) -> Option<CapacityChange> {
        if let Some(metric) = acts(high, self.alarm_high()).then(|| high.datapoints.last()).flatten() {
            let desired = self.scale_out(*metric, capacity);
            if desired > capacity.desired {
                return Some(CapacityChange::Out(desired));
            }
            return None;
        }
        if acts(low, self.alarm_low()) {
            let desired = self.scale_in(low, capacity)?;
            if desired < capacity.desired {
                return Some(CapacityChange::In(desired));
            }
        }
        None
    }

    /// In proportion to the metric, rounded up. Instances that are not yet warm don't count for AWS's own metrics, so
    /// they are not multiplied; but they are on their way, so an alarm that asks for no more than is desired adds
    /// nothing ("Set the default instance warmup for an Auto Scaling group", EC2 Auto Scaling user guide).
    ///
    /// BacklogPerInstance is divided by all that are in service. While some of them warm up, it is lower than the backlog
    /// of each warm one, and less is asked for than the backlog needs: the group grows more slowly, never too far, and
    /// is told the rest once they are warm.
    fn scale_out(&self, metric: f64, capacity: &Capacity) -> u32 {
        // An empty group has a metric, too: the whole backlog, as if there were one instance.
        let current = capacity.warmed_up.max(1);
        self.proportional(current, metric).min(capacity.max_size)
    }

    /// What is removed is rounded down, so that the metric does not come to lie above the target ("Target tracking
    /// scaling policies", EC2 Auto Scaling user guide). AWS says that it scales in "more gradually" and not how: here the
    /// highest of the alarm's points decides, not the last one. Nothing is removed while an instance warms up.
    fn scale_in(&self, low: &Evaluation, capacity: &Capacity) -> Option<u32> {
        if self.disable_scale_in || capacity.is_warming_up() {
            return None;
        }
        let highest = low.datapoints.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(self.proportional(capacity.desired, highest).max(capacity.min_size))
    }

    /// How many instances bring the metric to the target: rounded up in both directions, which is adding rounded up and
    /// removing rounded down.
    fn proportional(&self, current: u32, metric: f64) -> u32 {
        let exact = f64::from(current) * metric.max(0.0) / self.target_value;
        // `as` is what is wanted here: it saturates, and what is not a number becomes 0.
        (exact - exact * ROUNDING).ceil() as u32
    }
}

/// Whether an alarm may scale: on whole evidence only, the latest period's included. An alarm that lasts because points
/// are missing does not scale: "EC2 Auto Scaling can't scale your group until new data points are found".
fn acts(evaluation: &Evaluation, alarm: Alarm) -> bool {
    evaluation.state == AlarmState::Alarm
        && evaluation.is_current
        && evaluation.datapoints.len() == alarm.evaluation_periods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(desired: u32, warmed_up: u32) -> Capacity {
        Capacity { min_size: 1, max_size: 100, desired, warmed_up, warming_up: desired.saturating_sub(warmed_up) }
    }

    /// The policy's answer when the metric has been this in every period.
    fn steady(policy: Policy, metric: f64, capacity: Capacity) -> Option<CapacityChange> {
        after(policy, &[Some(metric); 17], capacity)
    }

    fn after(policy: Policy, points: &[Option<f64>], capacity: Capacity) -> Option<CapacityChange> {
        let high = policy.alarm_high().evaluate(points, AlarmState::Ok);
        let low = policy.alarm_low().evaluate(points, AlarmState::Ok);
        policy.scale(&high, &low, &capacity)
    }

    /// "Scaling policy based on Amazon SQS" (EC2 Auto Scaling user guide): 1500 messages, 10 instances, 0.1 s a message,
    /// 10 s acceptable latency: a target of 100, a backlog of 150 an instance, and five instances more.
    #[test]
    fn the_documented_backlog_scales_out_by_five() {
        let policy = Policy::new(10.0 / 0.1);
        assert_eq!(steady(policy, 1500.0 / 10.0, capacity(10, 10)), Some(CapacityChange::Out(15)));
    }

    /// "Target tracking scaling policies", considerations: a target of 50 percent; where 1.5 instances are to be added,
    /// two are; where removing 1.5 would bring the metric above the target, one is removed.
    #[test]
    fn adding_rounds_up_and_removing_rounds_down() {
        let policy = Policy::new(50.0);
        assert_eq!(steady(policy, 57.5, capacity(10, 10)), Some(CapacityChange::Out(12)));
        assert_eq!(steady(policy, 42.5, capacity(10, 10)), Some(CapacityChange::In(9)));
    }

    /// The same of Application Auto Scaling: where removing 0.5 would bring the metric above the target, none is.
    #[test]
    fn less_than_one_too_many_is_none_too_many() {
        assert_eq!(steady(Policy::new(50.0), 44.0, capacity(4, 4)), None);
    }

    /// What AWS tells of a warm-up (re:Post, "slow down ASG target tracking scale out"): 4 instances, one more is called
    /// for; while it warms up the same alarm adds nothing, and one that calls for two more adds the second.
    #[test]
    fn instances_that_warm_up_are_part_of_what_is_asked_for() {
        let policy = Policy::new(40.0);
        assert_eq!(steady(policy, 50.0, capacity(4, 4)), Some(CapacityChange::Out(5)));
        assert_eq!(steady(policy, 50.0, capacity(5, 4)), None);
        assert_eq!(steady(policy, 60.0, capacity(5, 4)), Some(CapacityChange::Out(6)));
    }

    #[test]
    fn it_scales_in_only_when_all_is_warm() {
        let policy = Policy::new(10.0);
        assert_eq!(steady(policy, 0.0, capacity(4, 3)), None);
        assert_eq!(steady(policy, 0.0, capacity(4, 4)), Some(CapacityChange::In(1)));
        let out_only = Policy { disable_scale_in: true, ..policy };
        assert_eq!(steady(out_only, 0.0, capacity(4, 4)), None);
    }

    #[test]
    fn the_highest_of_the_low_points_decides() {
        let mut points = [Some(0.0); 17];
        points[4] = Some(8.0);
        // Four instances at 8 of 10 have work for 3.2.
        assert_eq!(after(Policy::new(10.0), &points, capacity(4, 4)), None);
        points[4] = Some(4.0);
        assert_eq!(after(Policy::new(10.0), &points, capacity(4, 4)), Some(CapacityChange::In(2)));
    }

    #[test]
    fn the_last_of_the_high_points_decides() {
        let points = [Some(90.0), Some(40.0), Some(20.0)];
        assert_eq!(after(Policy::new(10.0), &points, capacity(2, 2)), Some(CapacityChange::Out(4)));
    }

    #[test]
    fn at_the_target_nothing_changes() {
        for current in 1..=100 {
            for target in [0.1, 0.3, 1.0 / 3.0, 7.0, 10.0] {
                assert_eq!(Policy::new(target).proportional(current, target), current, "{current} at {target}");
            }
        }
    }

    #[test]
    fn an_empty_group_scales_out_of_nothing() {
        let empty = Capacity { min_size: 0, max_size: 5, desired: 0, warmed_up: 0, warming_up: 0 };
        assert_eq!(steady(Policy::new(10.0), 25.0, empty), Some(CapacityChange::Out(3)));
    }

    #[test]
    fn a_gap_is_no_reason() {
        let policy = Policy::new(10.0);
        let high = [Some(50.0), Some(50.0), Some(50.0), None];
        assert_eq!(after(policy, &high, capacity(1, 1)), None);
        // CloudWatch alarms here; AWS's policy waits for points.
        assert_eq!(after(policy, &[None, None, Some(50.0), None, None], capacity(1, 1)), None);
        assert_eq!(
            after(policy, &[Some(50.0), None, Some(50.0), Some(50.0)], capacity(1, 1)),
            Some(CapacityChange::Out(5))
        );
    }
}
