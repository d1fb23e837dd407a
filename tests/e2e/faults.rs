//! The fleet under faults: real processes that are killed, an AWS that misbehaves, and in the end an audit of every photo.
//!
//! Here are those whose point is that a process is killed. All others run in one process (`polybot/tests/in_process`).
//!
//! Each scenario prints one line: jobs, answered once, repeated, lost, told failed. None may be lost, ever; a message may be
//! repeated only where a polybot dies between telling the user and marking it. The detector is the stand-in: what is tested
//! here is everything around it.

mod audit;

use std::process::Stdio;
use std::time::Duration;

use embedded_aws::{Action, Fault, Service};
use fleet::PredictionStore;
use local::{LocalFleet, Options};
use polybot::reply;
use tokio::process::Command;

use self::audit::{Burst, PHOTOS};
use crate::support::{self, PATIENCE, stack};

/// Short times, so that what waits for them in production is soon seen here.
fn options(polybots: usize, workers: usize) -> Options {
    let settings =
        [("VISIBILITY_TIMEOUT", "2"), ("RETRY_WAIT", "1"), ("SWEEP_INTERVAL", "1"), ("LEASE", "5"), ("THREADS", "2")];
    Options {
        model: "stand-in:20".into(),
        polybots,
        workers,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..support::stand_in()
    }
}

/// Start the fleet, with a queue that hides messages as briefly as its workers think.
async fn fleet(options: Options) -> LocalFleet {
    let stack = stack(options).await;
    aws_sdk_sqs::Client::new(&stack.config)
        .set_queue_attributes()
        .queue_url(&stack.resources.queue_url)
        .attributes(aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout, "2")
        .send()
        .await
        .expect("the queue takes it");
    stack
}

/// Kill a worker as a machine dies, and start another in its place.
async fn replace_worker(stack: &mut LocalFleet, place: usize) {
    let (mut worker, _) = stack.workers.remove(place);
    worker.kill().await.expect("killed");
    stack.add_worker().await.expect("another worker starts");
}

async fn replace_polybot(stack: &mut LocalFleet, place: usize) {
    stack.polybots[place].0.kill().await.expect("killed");
    stack.restart_polybot(place).await.expect("it starts again");
}

/// `polybot redrive`, to be run.
fn redriving(stack: &LocalFleet) -> Command {
    let mut command = Command::new(&stack.options().executable);
    command
        .args(["service", "polybot", "redrive"])
        .envs(stack.aws.environment())
        .env("SQS_QUEUE_URL", &stack.resources.queue_url)
        .env("DYNAMODB_TABLE", &stack.resources.table)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What `polybot redrive` says.
async fn redrive(stack: &LocalFleet, more: &[&str]) -> String {
    let output = redriving(stack).args(more).output().await.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_killed_every_few_hundred_milliseconds() {
    let mut stack = fleet(options(1, 2)).await;
    let flood = Burst::post(&stack, PHOTOS);
    let mut kills = 0;
    // The time between two kills is what this is about; it is no wait for anything.
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    while flood.answered(&stack) < PHOTOS / 2 && kills < 40 {
        ticks.tick().await;
        replace_worker(&mut stack, 0).await;
        kills += 1;
    }
    assert!(kills > 0);
    let audit = flood.audit(&stack, "kill -9 of workers").await;
    assert_eq!(audit.repeated, 0, "only a polybot that dies can repeat");
    assert!(audit.told_failed < PHOTOS / 2, "{audit:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polybot_is_killed_while_it_delivers() {
    let mut stack = fleet(options(1, 2)).await;
    let flood = Burst::post(&stack, PHOTOS);
    for answered in [5, 20, 40] {
        flood.wait_for(&stack, answered).await;
        replace_polybot(&mut stack, 0).await;
    }
    let audit = flood.audit(&stack, "kill -9 of polybot").await;
    assert_eq!(audit.told_failed, 0);
    stack.stop().await;
}

/// A number that a longer run may set.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |number| number.parse().expect("a number"))
}

/// A message that says "being processed" stays behind only if Telegram took it and the polybot that sent it died before it had
/// recorded the number that Telegram told: the Bot API has no way to find it again. So it is never one whose number is recorded, never
/// more than one for a photo, and no more than one for each kill: a few milliseconds lie between the two.
#[tokio::test(flavor = "multi_thread")]
async fn polybot_is_killed_again_and_again_while_it_tells_people_to_wait() {
    let (kills, chats) = (number("AUDIT_KILLS", 12), number("AUDIT_CHATS", 32));
    let mut options = options(1, 2);
    // The removal of such a message may take a twentieth of the lease before its answer is marked. A polybot that dies between the
    // record of a photo and its job leaves that to the sweep for lost jobs.
    options.settings.extend([("LEASE".into(), "10".into()), ("STALE_AFTER".into(), "5".into())]);
    let mut stack = fleet(options).await;
    let mut burst = Burst::post(&stack, 0);
    for kill in 0..kills {
        burst.post_more(&stack, chats * (kill + 1) / kills - chats * kill / kills);
        // When it dies is what this is about, each time at another moment; it is no wait for anything.
        tokio::time::sleep(Duration::from_millis(20 + (97 * kill as u64) % 480)).await;
        replace_polybot(&mut stack, 0).await;
    }
    let audit = burst.audit(&stack, &format!("{kills} kills of polybot")).await;
    assert_eq!((audit.left_though_known, audit.told_to_wait), (0, 1), "{audit:?}");
    assert!(audit.left_waiting <= kills, "{audit:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_with_two_polybots_and_two_workers() {
    let mut stack = fleet(options(2, 2)).await;
    stack.telegram.deliver_twice(true);
    let faults = stack.aws.faults();
    faults.add(Fault::new(Action::Duplicate).on(Service::Sqs).operation("ReceiveMessage").probability(0.1));
    faults.add(Fault::throttled(Service::DynamoDb).probability(0.1));
    faults.add(Fault::internal_error(Service::S3).probability(0.1));
    faults.add(Fault::new(Action::DropAfter).on(Service::Sqs).operation("DeleteMessage").probability(0.1));
    faults.add(Fault::new(Action::Delay(Duration::from_millis(200))).on(Service::Sqs).probability(0.1));
    let flood = Burst::post(&stack, PHOTOS);
    for (number, answered) in [3, 10, 20, 30, 45, 60].into_iter().enumerate() {
        flood.wait_for(&stack, answered).await;
        replace_worker(&mut stack, 0).await;
        replace_polybot(&mut stack, number % 2).await;
    }
    let audit = flood.audit(&stack, "all at once").await;
    assert!(audit.told_failed < PHOTOS / 4, "{audit:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_is_killed_in_the_middle_loses_nothing() {
    const FEW: usize = 5;
    let mut options = options(1, 1);
    options.settings.extend([("RETRY_WAIT".into(), "0".into()), ("STALE_AFTER".into(), "10".into())]);
    let stack = fleet(options).await;
    let broken = stack.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let flood = Burst::post(&stack, FEW);
    let audit = flood.audit(&stack, "a redrive is killed").await;
    assert_eq!((audit.told_failed, audit.repeated), (FEW, 0));
    for reply in flood.answers(&stack) {
        assert_eq!(reply.words(), reply::failed(reply::KEPT_FAILING));
    }
    let said = redrive(&stack, &["--dry-run"]).await;
    assert!(said.ends_with("5 jobs would be put back onto polybot-jobs\n"), "{said}");
    broken.remove();

    // At the worst moment: a record says that its job is on the queue, and it is not there yet.
    let stuck =
        stack.aws.faults().add(Fault::new(Action::Delay(PATIENCE)).on(Service::Sqs).operation("SendMessage").times(1));
    let mut killed = redriving(&stack).stdout(Stdio::null()).spawn().expect("it starts");
    tokio::time::timeout(PATIENCE, stuck.fired_at_least(1)).await.expect("it sends the first job");
    killed.kill().await.expect("killed");
    stuck.remove();
    let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table);
    assert_eq!(predictions.dead_letters().await.expect("DynamoDB answers").len(), FEW - 1);

    // The second one does the rest, and polybot's sweep sends the one that was caught.
    let said = redrive(&stack, &[]).await;
    assert!(said.ends_with("4 jobs put back onto polybot-jobs\n"), "{said}");
    flood.wait_for_photos(&stack, FEW).await;
    let photos = flood.answers(&stack).into_iter().filter(|message| message.photo().is_some());
    assert_eq!(photos.count(), FEW, "each once");
    assert_eq!(redrive(&stack, &[]).await, "0 jobs put back onto polybot-jobs\n");
    stack.stop().await;
}
