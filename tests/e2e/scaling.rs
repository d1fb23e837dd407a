//! The local Auto Scaling group: real worker processes come and go as metric-streamer's metric says, a minute a second.

use std::time::Duration;

use aws_sdk_cloudwatch::types::StateValue;
use embedded_aws::{Group, Service};
use fleet::work::Work;
use fleet::{JobQueue, WorkStore};
use local::scaling::{BACKLOG_POLICY, DEMAND_POLICY};
use local::{Child, LocalFleet, Options, ScalingPolicy, ScalingSettings, TimeScale};
use telegram_sandbox::User;

use crate::support::{self, PATIENCE, photo};

/// Each photo takes this long, so that a backlog lasts for some minutes of the scaled time.
const MODEL: &str = "stand-in:400";

fn scaling() -> ScalingSettings {
    ScalingSettings {
        max_size: 3,
        policy: ScalingPolicy::Backlog,
        backlog_target: 4.0,
        time_scale: TimeScale::MINUTE_A_SECOND,
        boot: Duration::from_secs(30),
        ..ScalingSettings::default()
    }
}

async fn stack(scaling: ScalingSettings) -> LocalFleet {
    let options = Options { model: MODEL.into(), scaling: Some(scaling), ..support::stand_in() };
    support::stack(options).await
}

/// So many people send a photo each: the bot may answer each of them only once a second.
fn crowd(stack: &LocalFleet, people: usize) -> Vec<(User, i32)> {
    let photo = photo("chelsea.png");
    let send = |number: usize| {
        let user = stack.telegram.user(&format!("Person {number}"));
        let message_id = user.post_photo(photo.clone(), None);
        (user, message_id)
    };
    (0..people).map(send).collect()
}

async fn all_answered(stack: &LocalFleet, sent: &[(User, i32)]) {
    for (user, message_id) in sent {
        let answer = support::answer(stack, user, *message_id).await;
        assert!(answer.photo().is_some(), "{}: {}", user.chat_id(), answer.words());
    }
}

async fn group(stack: &LocalFleet, what: &str, wished: impl Fn(&Group) -> bool) -> Group {
    let waiting = stack.aws.auto_scaling().wait_for(&stack.resources.group, wished);
    let Ok(group) = tokio::time::timeout(PATIENCE, waiting).await else {
        panic!("never {what}: {:#?}", stack.aws.auto_scaling().group(&stack.resources.group));
    };
    group
}

fn at_rest(group: &Group, size: usize) -> bool {
    group.instances.len() == size && group.in_service() == size
}

/// Why the group did what it did, the newest first.
async fn causes(stack: &LocalFleet) -> Vec<String> {
    let client = aws_sdk_autoscaling::Client::new(&stack.config);
    let described = client.describe_scaling_activities().auto_scaling_group_name(&stack.resources.group).send().await;
    let described = described.expect("activities");
    let told = |activity: &aws_sdk_autoscaling::types::Activity| {
        format!("{} {}", activity.description().unwrap_or_default(), activity.cause().unwrap_or_default())
    };
    described.activities().iter().map(told).collect()
}

async fn alarm_states(stack: &LocalFleet) -> Vec<(String, StateValue)> {
    let client = aws_sdk_cloudwatch::Client::new(&stack.config);
    let described = client.describe_alarms().alarm_name_prefix("TargetTracking-").send().await.expect("alarms");
    let state = |alarm: &aws_sdk_cloudwatch::types::MetricAlarm| {
        (alarm.alarm_name().unwrap_or_default().to_owned(), alarm.state_value().expect("a state").clone())
    };
    described.metric_alarms().iter().map(state).collect()
}

/// Wait until the policy has looked at the metric so many times more.
async fn evaluations(stack: &LocalFleet, more: u64) {
    let calls = stack.aws.calls();
    let looks = calls.count(Service::CloudWatch, "GetMetricData") + more;
    let looked = calls.at_least(Service::CloudWatch, "GetMetricData", looks);
    tokio::time::timeout(PATIENCE, looked).await.expect("the policy goes on");
}

#[tokio::test]
async fn the_fleet_grows_with_the_backlog_and_shrinks_after_it() {
    let stack = stack(scaling()).await;
    assert_eq!(stack.launcher().expect("a launcher").machines().len(), 1);
    let sent = crowd(&stack, 60);
    group(&stack, "grown", |group| at_rest(group, 3)).await;
    let machines = stack.launcher().expect("a launcher").machines();
    let mut processes: Vec<_> = machines.iter().filter_map(|machine| machine.process).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 3, "each instance is a process: {machines:?}");
    all_answered(&stack, &sent).await;
    group(&stack, "shrunk", |group| at_rest(group, 1)).await;

    let causes = causes(&stack).await;
    let tell = |words: [&str; 3]| causes.iter().any(|cause| words.iter().all(|word| cause.contains(word)));
    assert!(tell(["Launching", "AlarmHigh", BACKLOG_POLICY]), "{causes:#?}");
    assert!(tell(["Terminating", "AlarmLow", "to 1 ("]), "{causes:#?}");
    let states = alarm_states(&stack).await;
    assert!(states.iter().any(|(name, state)| name.contains("AlarmHigh") && *state == StateValue::Ok), "{states:?}");
    assert!(states.iter().any(|(name, state)| name.contains("AlarmLow") && *state == StateValue::Alarm), "{states:?}");
    // Who was to end finished first and said so: nobody waited for a hook's time to run out.
    assert!(stack.aws.calls().count(Service::AutoScaling, "CompleteLifecycleAction") >= 2);
    for (user, message_id) in &sent {
        let replies = stack.telegram.replies_to(user.chat_id(), *message_id);
        assert_eq!(replies.iter().filter(|reply| reply.photo().is_some()).count(), 1, "answered once");
    }
    stack.stop().await;
}

/// What people run: the fleet follows its load, and says why.
#[tokio::test]
async fn by_default_the_fleet_grows_with_what_is_needed_and_says_why() {
    let scaling = ScalingSettings { max_size: 3, boot: Duration::from_secs(10), ..ScalingSettings::default() };
    let stack = stack(scaling).await;
    let sent = crowd(&stack, 80);
    group(&stack, "grown", |group| at_rest(group, 3)).await;
    all_answered(&stack, &sent).await;
    group(&stack, "shrunk", |group| at_rest(group, 1)).await;

    let causes = causes(&stack).await;
    let tell = |words: [&str; 3]| causes.iter().any(|cause| words.iter().all(|word| cause.contains(word)));
    assert!(tell(["AlarmHigh", DEMAND_POLICY, " workers, "]), "{causes:#?}");
    assert!(tell(["AlarmLow", DEMAND_POLICY, "promise 10 s"]), "{causes:#?}");
    let told = stack.metric_streamer.0.logged(|line| line.event() == "capacity_changed").await.expect("it runs");
    let why = told.field("why");
    assert!(why.starts_with("1 -> ") && why.contains("photos/s need"), "{why}");
    stack.stop().await;
}

/// With nobody to do it, the first photo calls a worker; and when nothing was sent for long, the last one goes.
#[tokio::test]
async fn an_empty_fleet_is_woken_by_the_first_photo_and_becomes_empty_again() {
    let time_scale = TimeScale::MINUTE_A_SECOND;
    let scaling = ScalingSettings {
        min_size: 0,
        max_size: 2,
        time_scale,
        boot: Duration::from_secs(10),
        ..ScalingSettings::default()
    };
    let settings = vec![("IDLE_BEFORE_ZERO".to_owned(), "4".to_owned())];
    let options = Options { model: MODEL.into(), scaling: Some(scaling), settings, ..support::stand_in() };
    let stack = support::stack(options).await;
    let empty = stack.aws.auto_scaling().group(&stack.resources.group).expect("the group");
    assert_eq!((empty.desired_capacity, empty.instances.len()), (0, 0));
    let sent = crowd(&stack, 1);
    all_answered(&stack, &sent).await;
    group(&stack, "empty again", |group| group.instances.is_empty() && group.desired_capacity == 0).await;
    stack.stop().await;
}

/// However many workers tell what they did, there is one item for each stretch of time.
#[tokio::test]
async fn workers_add_up_what_they_did() {
    let stack = support::stack(Options { workers: 0, ..support::stand_in() }).await;
    let client = aws_sdk_dynamodb::Client::new(&stack.config);
    let store = WorkStore::new(client, &stack.resources.table, Duration::from_secs(10));
    let worker = |photos: u64, slots: u64| Work {
        photos,
        turns: photos + 1,
        busy: Duration::from_secs(photos),
        slots: Duration::from_secs(10 * slots),
        workers: Duration::from_secs(10),
    };
    let (one, other) = (worker(3, 2), worker(5, 8));
    let (told, told_too) = tokio::join!(store.add(7, &one), store.add(7, &other));
    told.and(told_too).expect("told");
    store.add(8, &one).await.expect("told");
    let mut both = one;
    both += other;
    assert_eq!(store.read(6..9).await.expect("read"), [Work::default(), both, one]);
    // More than one call to DynamoDB takes.
    let many = store.read(0..250).await.expect("read");
    assert_eq!((many.len(), many[7], many[249]), (250, both, Work::default()));
    // Stretches of another length are other ones.
    let minutes =
        WorkStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table, Duration::from_secs(60));
    assert_eq!(minutes.read(7..8).await.expect("read"), [Work::default()]);
    stack.stop().await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced() {
    let stack = stack(scaling()).await;
    let launcher = stack.launcher().expect("a launcher").clone();
    let killed = launcher.machines().remove(0);
    launcher.kill(&killed.instance_id).expect("it lives");
    let replaced = |group: &Group| at_rest(group, 1) && group.instances[0].id != killed.instance_id;
    let group = group(&stack, "replaced", replaced).await;

    let machine = launcher.machines().remove(0);
    assert_eq!(machine.instance_id, group.instances[0].id);
    assert_ne!(machine.process, killed.process);
    let pid = killed.process.expect("a process");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the killed worker runs on");
    assert!(launcher.kill(&killed.instance_id).is_err(), "it can't be killed again");
    let causes = causes(&stack).await;
    assert!(causes.iter().any(|cause| cause.contains("health check")), "{causes:#?}");
    let sent = crowd(&stack, 1);
    all_answered(&stack, &sent).await;
    stack.stop().await;
}

#[tokio::test]
async fn without_metric_streamer_nothing_scales() {
    let mut stack = stack(scaling()).await;
    // Until the metric is known: only then does its absence mean something.
    let known = async {
        while alarm_states(&stack).await.iter().all(|(_, state)| *state == StateValue::InsufficientData) {
            evaluations(&stack, 1).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("the alarms have data");
    stack.metric_streamer.0.terminate();
    stack.metric_streamer.0.ended().await.expect("it ends");

    let sent = crowd(&stack, 60);
    let queue = JobQueue::new(aws_sdk_sqs::Client::new(&stack.config), &stack.resources.queue_url);
    let visible = async || queue.depth().await.expect("depth").visible;
    let backlog = async {
        while visible().await < 20 {
            // A poll: a queue tells nobody of its depth.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, backlog).await.expect("a backlog of five times the target");
    // More than the three that an alarm takes.
    evaluations(&stack, 5).await;
    assert!(visible().await > 4, "the backlog is still above the target");
    let group_now = stack.aws.auto_scaling().group(&stack.resources.group).expect("the group");
    assert_eq!((group_now.desired_capacity, group_now.instances.len()), (1, 1));

    // It comes back, and the fleet grows.
    let mut environment = stack.aws.environment();
    for (name, value) in [
        ("SQS_QUEUE_URL", stack.resources.queue_url.as_str()),
        ("ASG_NAME", &stack.resources.group),
        ("DYNAMODB_TABLE", &stack.resources.table),
        ("INTERVAL", "0.5"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
    ] {
        environment.push((name.into(), value.into()));
    }
    let streamer = Child::start(&stack.options().executable, "metric-streamer", environment).expect("it starts");
    let more = crowd(&stack, 40);
    group(&stack, "grown", |group| group.desired_capacity > 1).await;
    all_answered(&stack, &sent).await;
    all_answered(&stack, &more).await;
    streamer.stop(Duration::from_secs(5)).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_worker_that_does_not_stop_in_time_is_killed() {
    // Its photos take a minute each, and it has a second. The policy wants neither more workers nor fewer.
    let scaling = ScalingSettings { backlog_target: 1000.0, drain: Duration::from_secs(1), ..scaling() };
    let options = Options { model: "stand-in:60000".into(), scaling: Some(scaling), ..support::stand_in() };
    let stack = support::stack(options).await;
    let ending = group(&stack, "one", |group| at_rest(group, 1)).await.instances[0].id.clone();
    crowd(&stack, 2);
    let queue = JobQueue::new(aws_sdk_sqs::Client::new(&stack.config), &stack.resources.queue_url);
    let all_in_flight = async {
        while queue.depth().await.expect("depth").in_flight < 2 {
            // A poll: a queue tells nobody of its depth.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_in_flight).await.expect("it is at work");

    let mut troubles = stack.group.as_ref().expect("a group").troubles();
    aws_sdk_autoscaling::Client::new(&stack.config)
        .terminate_instance_in_auto_scaling_group()
        .instance_id(&ending)
        .should_decrement_desired_capacity(false)
        .send()
        .await
        .expect("it is to end");
    let told = troubles.wait_for(|trouble| trouble.as_ref().is_some_and(|trouble| trouble.contains(&ending)));
    let told = tokio::time::timeout(PATIENCE, told).await.expect("in time").expect("a trouble").clone();
    assert!(told.as_ref().is_some_and(|told| told.contains("did not stop in time and was killed")), "{told:?}");
    group(&stack, "another", |group| at_rest(group, 1) && group.instances[0].id != ending).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_worker_that_does_not_start_is_told() {
    let options = Options { model: "nowhere.onnx".into(), scaling: Some(scaling()), ..support::stand_in() };
    let error = LocalFleet::start(options, |step| eprintln!("{step}")).await.expect_err("no such model");
    let said = format!("{error:#}");
    assert!(said.contains("did not start") && said.contains("nowhere.onnx"), "{said}");
}
