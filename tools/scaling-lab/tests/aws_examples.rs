//! What AWS's documentation works out, and what is combined how: through the whole simulation.

use std::time::Duration;

use load::{Shape, Spacing};
use scaling_lab::{
    Distribution, Load, Metric, Outage, Outcome, Run, Scaling, ScheduledMin, Setting, TargetTracking, simulate,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(metric: Metric, target: f64) -> TargetTracking {
    TargetTracking { metric, target, disable_scale_in: false }
}

fn setting(policies: Vec<TargetTracking>) -> Setting {
    let mut setting = Setting { scaling: Scaling::TargetTracking(policies), ..Setting::by_backlog() };
    setting.worker.threads = 1;
    setting.worker.service = Distribution::Fixed(Duration::from_millis(100));
    setting.group.max = 100;
    setting
}

fn even(points: Vec<(f64, f64)>) -> Load {
    Load { spacing: Spacing::Even, ..Load::new(Shape::Trace { points }) }
}

fn run(setting: &Setting, load: &Load) -> Outcome {
    simulate(setting, load, Run::default()).expect("simulated")
}

/// "Scaling policy based on Amazon SQS" (EC2 Auto Scaling user guide): 1500 messages wait at 10 instances, each message
/// takes 0.1 s, 10 s are acceptable, so the target is 100: the group is to grow by five.
#[test]
fn the_documented_backlog_adds_five_instances() {
    let mut setting = setting(vec![policy(Metric::BACKLOG_PER_INSTANCE, 10.0 / 0.1)]);
    (setting.group.min, setting.group.initial) = (10, 10);
    // 1520 at once, of which the ten workers hold 20; then as many arrive as they do.
    let outcome = run(&setting, &even(vec![(0.0, 15_200.0), (0.1, 15_200.0), (0.1, 100.0), (600.0, 100.0)]));
    let change = &outcome.first_changes[0];
    assert_eq!((change.from, change.to), (10, 15), "{change:?}");
    assert!(change.cause.contains("AlarmHigh of BacklogPerInstance"), "{change:?}");
    // Three whole periods above the target, and the delay until the alarm is evaluated.
    assert!((180.0..=260.0).contains(&change.at), "{change:?}");
}

/// "EC2 Auto Scaling scales out if any of the policies is ready to, and in only if all are": a second policy that is
/// content holds the group.
#[test]
fn of_several_policies_the_largest_wins_and_in_needs_all() {
    let quiet = even(vec![(0.0, 1.0), (7200.0, 1.0)]);
    let backlog = policy(Metric::BACKLOG_PER_INSTANCE, 10.0);
    let mut one = setting(vec![backlog]);
    one.group.initial = 4;
    let alone = run(&one, &quiet);
    assert_eq!((alone.changes, alone.first_changes[0].to), (1, 1), "{:?}", alone.first_changes);
    // One photo a second keeps 2.5 % of four threads busy: a target of 2.7 % is met.
    let mut both = setting(vec![backlog, policy(Metric::WORKER_DEMAND, 2.7)]);
    both.group.initial = 4;
    assert_eq!(run(&both, &quiet).changes, 0);
    // And a policy that only scales out is not asked.
    if let Scaling::TargetTracking(policies) = &mut both.scaling {
        policies[1].disable_scale_in = true;
    }
    assert_eq!(run(&both, &quiet).first_changes[0].to, 1);
}

/// An empty group is called by the step policy of `infra/polybot.yaml`, and the photos are answered.
#[test]
fn an_empty_group_wakes() {
    let mut setting = setting(vec![policy(Metric::BACKLOG_PER_INSTANCE, 10.0)]);
    (setting.group.min, setting.group.initial) = (0, 0);
    let outcome = run(&setting, &even(vec![(0.0, 0.01), (300.0, 0.01), (300.0, 0.0), (7200.0, 0.0)]));
    assert_eq!(outcome.outstanding, 0);
    let first = &outcome.first_changes[0];
    assert_eq!((first.from, first.to, first.cause.as_str()), (0, 1, "photos wait and there is no worker"));
    let last = outcome.first_changes.last().expect("changes");
    assert_eq!(last.to, 0, "and it goes to sleep again: {:?}", outcome.first_changes);
}

#[test]
fn a_scheduled_minimum_is_there_in_time_and_goes_again() {
    let mut setting = setting(vec![policy(Metric::BACKLOG_PER_INSTANCE, 10.0)]);
    setting.group.schedule = vec![ScheduledMin { from: seconds(8 * 3600), to: seconds(10 * 3600), min: 5 }];
    let outcome = run(&setting, &even(vec![(0.0, 1.0), (129_600.0, 1.0)]));
    let (first, second) = (&outcome.first_changes[0], &outcome.first_changes[1]);
    assert_eq!((first.at, first.to, first.cause.as_str()), (8.0 * 3600.0, 5, "the scheduled minimum"));
    assert!(second.to == 1 && second.at > 10.0 * 3600.0, "{second:?}");
    assert_eq!(outcome.first_changes[2].at, 32.0 * 3600.0, "each day");
}

/// Without spot capacity only the on-demand instances work; later all are there again, and nothing is lost.
#[test]
fn an_outage_of_spot_takes_what_is_spot() {
    let mut setting = setting(vec![policy(Metric::BACKLOG_PER_INSTANCE, 1000.0)]);
    (setting.group.min, setting.group.max, setting.group.initial) = (4, 4, 4);
    setting.losses.outages = vec![Outage { at: seconds(1800), length: seconds(600) }];
    let outcome = run(&setting, &even(vec![(0.0, 25.0), (3600.0, 25.0)]));
    let at = |second: f64| {
        let slice = outcome.timeline.iter().find(|slice| slice.start + slice.length > second).expect("a slice");
        slice.in_service
    };
    assert_eq!((at(1700.0), at(2100.0), at(2800.0)), (4.0, 1.0, 4.0));
    assert_eq!((outcome.lost_workers, outcome.outstanding, outcome.failed), (3, 0, 0));
    assert!(outcome.late > 0 && outcome.spot_seconds > 0.0 && outcome.on_demand_seconds >= 3600.0);
}

/// A worker that is lost without a word: its photos are visible again when their visibility timeout is over, and are
/// moved to the dead-letter queue after its receives.
#[test]
fn what_a_lost_worker_had_comes_again() {
    let mut setting = Setting { scaling: Scaling::Fixed, ..setting(Vec::new()) };
    (setting.group.min, setting.group.initial) = (3, 3);
    setting.losses.crashes_per_hour = 20.0;
    let load = even(vec![(0.0, 20.0), (3600.0, 20.0)]);
    let outcome = run(&setting, &load);
    assert!(outcome.lost_workers > 30 && outcome.failed == 0 && outcome.outstanding == 0);
    assert!(outcome.receives > outcome.answered, "some came again");
    let longest = outcome.latency.expect("answers").longest;
    assert!(longest > 30.0, "{longest}");
    setting.queue.max_receives = 1;
    let given_up = run(&setting, &load);
    assert!(given_up.failed > 0, "the first receive was the last");
    assert_eq!(given_up.answered + given_up.failed, given_up.arrived);
}

/// What comes before the first moment that counts is simulated and not counted.
#[test]
fn counting_begins_when_it_is_told_to() {
    let mut setting = setting(vec![policy(Metric::BACKLOG_PER_INSTANCE, 10.0)]);
    (setting.group.min, setting.group.max, setting.group.initial) = (2, 3, 2);
    // A rush in the first ten minutes, and quiet after it.
    let load = even(vec![(0.0, 40.0), (600.0, 40.0), (600.0, 1.0), (7200.0, 1.0)]);
    let all = run(&setting, &load);
    let quiet = simulate(&setting, &load, Run { from: seconds(5400), ..Run::default() }).expect("simulated");
    assert!(all.late > 0 && all.changes > 0 && all.peak_in_service == 3 && all.peak_visible > 100);
    assert_eq!(
        (quiet.arrived, quiet.late, quiet.changes, quiet.peak_in_service, quiet.peak_visible),
        (1800, 0, 0, 2, 0)
    );
    assert!((quiet.worker_seconds - 2.0 * 1800.0).abs() < 1.0, "{}", quiet.worker_seconds);
    assert_eq!(all.arrived, 24_000 + 6600);
}
