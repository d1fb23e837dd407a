//! What holds for every group, every metric and every gap in it.

use std::ops::Range;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use target_tracking::{AlarmState, Capacity, CapacityChange, Policy};

prop_compose! {
    fn capacities()(min_size in 0_u32..20, room in 0_u32..80)(
        desired in min_size..=min_size + room,
        warmed_up in 0..=min_size + room,
        warming_up in 0..=min_size + room,
        min_size in Just(min_size),
        max_size in Just(min_size + room),
    ) -> Capacity {
        Capacity { min_size, max_size, desired, warmed_up, warming_up }
    }
}

fn states() -> impl Strategy<Value = AlarmState> {
    prop_oneof![Just(AlarmState::Ok), Just(AlarmState::Alarm), Just(AlarmState::InsufficientData)]
}

fn targets() -> Range<f64> {
    0.01..1000.0
}

/// The policy's answer to points that are multiples of its target.
fn scale(policy: Policy, points: &[Option<f64>], state: AlarmState, capacity: &Capacity) -> Option<CapacityChange> {
    let points: Vec<_> = points.iter().map(|point| point.map(|value| value * policy.target_value)).collect();
    let high = policy.alarm_high().evaluate(&points, state);
    let low = policy.alarm_low().evaluate(&points, state);
    policy.scale(&high, &low, capacity)
}

proptest! {
    #[test]
    fn the_desired_capacity_stays_within_the_limits(
        target in targets(), points in vec(option::weighted(0.9, 0.0..3.0), 0..20), state in states(),
        capacity in capacities(),
    ) {
        if let Some(scaling) = scale(Policy::new(target), &points, state, &capacity) {
            prop_assert!((capacity.min_size..=capacity.max_size).contains(&scaling.desired()), "{scaling:?}");
        }
    }

    #[test]
    fn out_is_more_and_in_is_fewer(
        target in targets(), metric in 0.0..3.0, state in states(), capacity in capacities(),
    ) {
        match scale(Policy::new(target), &[Some(metric); 17], state, &capacity) {
            Some(CapacityChange::Out(desired)) => prop_assert!(desired > capacity.desired && metric > 1.0),
            Some(CapacityChange::In(desired)) => prop_assert!(desired < capacity.desired && metric < 0.9),
            None => {}
        }
    }

    /// A higher metric never asks for fewer instances.
    #[test]
    fn it_is_monotone(
        target in targets(), one in 0.0..3.0, other in 0.0..3.0, state in states(), capacity in capacities(),
    ) {
        let desired = |metric: f64| {
            let scaling = scale(Policy::new(target), &[Some(metric); 17], state, &capacity);
            scaling.map_or(capacity.desired, CapacityChange::desired)
        };
        prop_assert!(desired(f64::min(one, other)) <= desired(f64::max(one, other)));
    }

    /// Scaling in leaves the metric at or below the target, if the load stays.
    #[test]
    fn scaling_in_does_not_overshoot(target in targets(), metric in 0.0..0.9, desired in 1_u32..100) {
        let capacity = Capacity { min_size: 1, max_size: 100, desired, warmed_up: desired, warming_up: 0 };
        if let Some(CapacityChange::In(fewer)) = scale(Policy::new(target), &[Some(metric); 17], AlarmState::Ok, &capacity) {
            prop_assert!(metric * f64::from(desired) / f64::from(fewer) <= 1.0 + 1e-6);
        }
    }

    #[test]
    fn nothing_happens_when_the_latest_points_are_missing(
        target in targets(), mut points in vec(option::weighted(0.9, 0.0..3.0), 0..20), gap in 1_usize..20,
        state in states(), capacity in capacities(),
    ) {
        points.resize(points.len() + gap, None);
        prop_assert_eq!(scale(Policy::new(target), &points, state, &capacity), None);
    }

    #[test]
    fn fewer_than_fifteen_points_never_scale_in(
        target in targets(), points in vec(option::weighted(0.7, 0.0..0.9), 17), state in states(),
        capacity in capacities(),
    ) {
        let known = points.iter().flatten().count();
        let scaled_in = matches!(scale(Policy::new(target), &points, state, &capacity), Some(CapacityChange::In(_)));
        prop_assert!(!scaled_in || known >= 15);
    }

    #[test]
    fn it_never_scales_in_while_instances_warm_up(
        target in targets(), metric in 0.0..3.0, state in states(), capacity in capacities(), warming_up in 1_u32..9,
    ) {
        let capacity = Capacity { warming_up, ..capacity };
        let scaling = scale(Policy::new(target), &[Some(metric); 17], state, &capacity);
        prop_assert!(!matches!(scaling, Some(CapacityChange::In(_))), "{scaling:?}");
    }

    /// A load that stays is met: repeated, the policy comes to rest, and the metric is then not above the target unless
    /// the group is as large as it may be.
    #[test]
    fn a_steady_load_comes_to_rest(target in targets(), load in 0.0..60.0, desired in 1_u32..40) {
        let policy = Policy::new(target);
        let mut capacity = Capacity { min_size: 1, max_size: 40, desired, warmed_up: desired, warming_up: 0 };
        let mut steps = 0;
        while let Some(scaling) =
            scale(policy, &[Some(load / f64::from(capacity.desired)); 17], AlarmState::Ok, &capacity)
        {
            capacity.desired = scaling.desired();
            capacity.warmed_up = capacity.desired;
            steps += 1;
            prop_assert!(steps <= 3, "it does not come to rest");
        }
        prop_assert!(capacity.desired == 40 || load / f64::from(capacity.desired) <= 1.0 + 1e-6);
    }
}
