//! The fleet under faults: real processes that are killed, an AWS that misbehaves, and in the end an audit of every photo.
//!
//! Each scenario prints one line: jobs, answered once, repeated, lost, told failed. None may be lost, ever; a message may be
//! repeated only where a polybot dies between telling the user and marking it. The detector is the stand-in: what is tested
//! here is everything around it.

mod audit;
mod callback;
mod metadata;

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use embedded_aws::{Action, Fault, Service};
use fleet::{PredictionStore, Status};
use local::{LogLine, Options, Stack};
use polybot::reply;
use telegram_sandbox::{ChatMessage, Post};
use tokio::process::Command;

use self::audit::{Flood, PHOTOS};
use self::callback::Callback;
use self::metadata::Metadata;
use crate::support::{self, PATIENCE, photo, stack};

/// What polybot logs of an answer that it tries no more.
const GIVEN_UP: &str = "answer_given_up";

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
async fn fleet(options: Options) -> Stack {
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
async fn replace_worker(stack: &mut Stack, place: usize) {
    let (mut worker, _) = stack.workers.remove(place);
    worker.kill().await.expect("killed");
    stack.add_worker().await.expect("another worker starts");
}

async fn replace_polybot(stack: &mut Stack, place: usize) {
    stack.polybots[place].0.kill().await.expect("killed");
    stack.restart_polybot(place).await.expect("it starts again");
}

/// `polybot redrive`, to be run.
fn redriving(stack: &Stack) -> Command {
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
async fn redrive(stack: &Stack, more: &[&str]) -> String {
    let output = redriving(stack).args(more).output().await.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The predictions whose answers polybot gave up, once there are so many.
async fn answers_given_up(stack: &Stack, count: usize) -> HashSet<String> {
    let mut given_up = HashSet::new();
    while given_up.len() < count {
        let another = |line: &LogLine| line.event() == GIVEN_UP && !given_up.contains(line.field("prediction_id"));
        let logged = tokio::time::timeout(PATIENCE, stack.polybots[0].0.logged(another));
        let line = logged.await.expect("it ends").expect("polybot runs");
        given_up.insert(line.field("prediction_id").to_owned());
    }
    given_up
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_killed_every_few_hundred_milliseconds() {
    let mut stack = fleet(options(1, 2)).await;
    let flood = Flood::post(&stack, PHOTOS);
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
    let flood = Flood::post(&stack, PHOTOS);
    for answered in [5, 20, 40] {
        flood.wait_for(&stack, answered).await;
        replace_polybot(&mut stack, 0).await;
    }
    let audit = flood.audit(&stack, "kill -9 of polybot").await;
    assert_eq!(audit.told_failed, 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_brings_every_fifth_message_twice() {
    let stack = fleet(options(1, 2)).await;
    let duplicates = stack
        .aws
        .faults()
        .add(Fault::new(Action::Duplicate).on(Service::Sqs).operation("ReceiveMessage").probability(0.2));
    let flood = Flood::post(&stack, PHOTOS);
    let audit = flood.audit(&stack, "SQS duplicates 20 %").await;
    assert!(duplicates.fired() > 0);
    assert_eq!((audit.answered_once, audit.told_failed), (PHOTOS, 0));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_throttles_every_third_call() {
    let stack = fleet(options(1, 2)).await;
    let throttled = stack.aws.faults().add(Fault::throttled(Service::DynamoDb).probability(0.3));
    let flood = Flood::post(&stack, PHOTOS);
    let audit = flood.audit(&stack, "DynamoDB throttles 30 %").await;
    assert!(audit.told_failed < PHOTOS / 4, "{audit:?}");
    assert!(throttled.fired() > 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_fails_every_fifth_call() {
    let stack = fleet(options(1, 2)).await;
    let failed = stack.aws.faults().add(Fault::internal_error(Service::S3).probability(0.2));
    let flood = Flood::post(&stack, PHOTOS);
    let audit = flood.audit(&stack, "S3 fails 20 %").await;
    assert!(failed.fired() > 0);
    assert_eq!(audit.repeated, 0);
    assert!(audit.told_failed < PHOTOS / 4, "{audit:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polybot_can_not_be_called_back_for_ten_seconds() {
    let callback = Callback::closed().await;
    let mut options = options(1, 2);
    options.settings.push(("POLYBOT_RESULTS_URL".into(), callback.url()));
    let stack = fleet(options).await;
    callback.lead_to(stack.polybots[0].1);
    let flood = Flood::post(&stack, PHOTOS);
    // The time that it is unreachable is what this is about.
    tokio::time::sleep(Duration::from_secs(10)).await;
    callback.open().await;
    let audit = flood.audit(&stack, "callback unreachable for 10 s").await;
    assert_eq!((audit.answered_once, audit.told_failed), (PHOTOS, 0));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_told_to_stop_in_full_flight() {
    let mut stack = fleet(options(1, 2)).await;
    let flood = Flood::post(&stack, PHOTOS);
    for answered in [2, 10, 20, 30, 50] {
        flood.wait_for(&stack, answered).await;
        let (mut worker, _) = stack.workers.remove(0);
        worker.terminate();
        let status = worker.ended().await.expect("it ends");
        assert!(status.success(), "{status}");
        stack.add_worker().await.expect("another worker starts");
    }
    let audit = flood.audit(&stack, "SIGTERM in full flight").await;
    assert_eq!((audit.answered_once, audit.told_failed), (PHOTOS, 0));
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
    let flood = Flood::post(&stack, PHOTOS);
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
async fn what_keeps_failing_is_told_once_and_can_be_redriven() {
    const FEW: usize = 5;
    let mut options = options(1, 1);
    options.settings.push(("RETRY_WAIT".into(), "0".into()));
    let stack = fleet(options).await;
    let broken = stack.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let flood = Flood::post(&stack, FEW);
    let audit = flood.audit(&stack, "S3 down for good").await;
    assert_eq!((audit.told_failed, audit.repeated), (FEW, 0));
    for reply in flood.answers(&stack) {
        assert_eq!(reply.words(), reply::failed(reply::KEPT_FAILING));
    }

    let said = redrive(&stack, &["--dry-run"]).await;
    assert!(said.ends_with("5 jobs would be put back onto polybot-jobs\n"), "{said}");
    broken.remove();
    let said = redrive(&stack, &[]).await;
    assert!(said.ends_with("5 jobs put back onto polybot-jobs\n"), "{said}");
    flood.wait_for_photos(&stack, FEW).await;
    let said = redrive(&stack, &[]).await;
    assert_eq!(said, "0 jobs put back onto polybot-jobs\n");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_is_killed_in_the_middle_loses_nothing() {
    const FEW: usize = 5;
    let mut options = options(1, 1);
    options.settings.extend([("RETRY_WAIT".into(), "0".into()), ("STALE_AFTER".into(), "10".into())]);
    let stack = fleet(options).await;
    let broken = stack.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let flood = Flood::post(&stack, FEW);
    let audit = flood.audit(&stack, "a redrive is killed").await;
    assert_eq!((audit.told_failed, audit.repeated), (FEW, 0));
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

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_telegram_is_survived() {
    const FEW: usize = 5;
    let stack = fleet(options(2, 1)).await;
    let methods = ["sendPhoto", "sendMediaGroup"];
    for method in methods {
        stack.telegram.fail_next(method, 1000, telegram_sandbox::Fault::Drop);
    }
    let user = stack.telegram.user("Ada");
    let album = user.post_album(["chelsea.png", "coffee.png"].map(|name| Post::photo(photo(name))));
    let flood = Flood::post(&stack, FEW);
    // Calls that fail are no events. So many of them mean that the sweep failed, too, after polybot was called back.
    let called = |method: &str| stack.telegram.calls(method);
    let tried = async {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while called("sendPhoto") < 3 * FEW || called("sendMediaGroup") < 3 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("it is tried again");
    for method in methods {
        stack.telegram.fail_no_more(method);
    }
    let audit = flood.audit(&stack, "Telegram was gone for a while").await;
    assert_eq!((audit.answered_once, audit.told_failed), (FEW, 0));
    assert!(support::answer(&stack, &user, album[0]).await.media_group.is_some());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_never_taken_is_tried_ever_more_rarely_and_given_up() {
    // Nobody calls back, so each try is the sweep's, which looks every second.
    let callback = Callback::closed().await;
    let mut options = options(1, 1);
    options.settings.extend([("POLYBOT_RESULTS_URL".into(), callback.url()), ("GIVE_UP_AFTER".into(), "10".into())]);
    let stack = fleet(options).await;
    let methods = ["sendPhoto", "sendMediaGroup"];
    for method in methods {
        stack.telegram.fail_next(method, 1000, telegram_sandbox::Fault::Drop);
    }
    let user = stack.telegram.user("Ada");
    let album = user.post_album(["chelsea.png", "coffee.png"].map(|name| Post::photo(photo(name))));
    let flood = Flood::post(&stack, 1);
    // Of the photo, and of each of the album's two.
    let given_up = answers_given_up(&stack, 3).await;
    // At 0, 1, 2, 4, 8 and 16 seconds, or a little later; not every second.
    for method in methods {
        let tries = stack.telegram.calls(method);
        assert!((3..=8).contains(&tries), "{tries} times {method} in more than 10 s");
    }
    let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table);
    let undeliverable = predictions.undeliverable().await.expect("DynamoDB answers");
    assert_eq!(undeliverable.iter().map(ToString::to_string).collect::<HashSet<_>>(), given_up);
    assert!(predictions.undelivered(Status::Done, i64::MAX, 10).await.expect("DynamoDB answers").is_empty());
    let lines = stack.polybots[0].0.log().into_iter().filter(|line| line.event() == GIVEN_UP);
    assert_eq!(lines.count(), 3, "each once");

    // Not lost: when Telegram takes it again, an operator has it sent.
    for method in methods {
        stack.telegram.fail_no_more(method);
    }
    let said = redrive(&stack, &["--dry-run"]).await;
    assert!(said.contains("\n3 answers would be left to polybot to send\n0 jobs would be put back"), "{said}");
    let said = redrive(&stack, &[]).await;
    assert!(said.contains("\n3 answers left to polybot to send\n0 jobs put back"), "{said}");
    let audit = flood.audit(&stack, "Telegram takes one too late").await;
    assert_eq!((audit.answered_once, audit.told_failed), (1, 0));
    assert!(support::answer(&stack, &user, album[0]).await.media_group.is_some());
    assert_eq!(redrive(&stack, &[]).await, "0 jobs put back onto polybot-jobs\n");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_photos_failed_is_told_of_as_one_and_redriven_one_by_one() {
    let mut options = options(1, 1);
    let settings = [("RETRY_WAIT", "0"), ("GIVE_UP_AFTER", "10")];
    options.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let stack = fleet(options).await;
    let broken = stack.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    stack.telegram.fail_next("sendMessage", 1000, telegram_sandbox::Fault::Drop);
    let user = stack.telegram.user("Ada");
    let album = user.post_album(["chelsea.png", "coffee.png"].map(|name| Post::photo(photo(name))));
    answers_given_up(&stack, 2).await;
    stack.telegram.fail_no_more("sendMessage");

    // What nobody was told of yet is told first, and not revived out of its album.
    let said = redrive(&stack, &[]).await;
    assert!(said.contains("\n2 answers left to polybot to send\n0 jobs put back"), "{said}");
    let answer = support::answer(&stack, &user, album[0]).await;
    let failed = reply::failed(reply::KEPT_FAILING);
    assert_eq!(answer.words(), format!("1. {failed}\n2. {failed}"));

    broken.remove();
    let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table);
    let marked = async {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while predictions.dead_letters().await.expect("DynamoDB answers").len() < 2 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, marked).await.expect("both are marked as told");
    let said = redrive(&stack, &[]).await;
    assert!(said.ends_with("2 jobs put back onto polybot-jobs\n"), "{said}");
    for message_id in album {
        let is_photo = move |message: &ChatMessage| message.reply_to == Some(message_id) && message.photo().is_some();
        stack.telegram.wait_for_message(is_photo, PATIENCE).await.expect("its own answer");
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_message_is_gone_is_sent_anew() {
    let mut options = options(1, 0);
    options.settings.push(("STALE_AFTER".into(), "1".into()));
    let mut stack = fleet(options).await;
    let flood = Flood::post(&stack, 1);
    stack.polybots[0].0.logged(|line| line.event() == "job_queued").await.expect("queued");
    let sqs = aws_sdk_sqs::Client::new(&stack.config);
    sqs.purge_queue().queue_url(&stack.resources.queue_url).send().await.expect("purged");
    stack.add_worker().await.expect("a worker starts");
    let audit = flood.audit(&stack, "the queue was purged").await;
    assert_eq!((audit.answered_once, audit.told_failed), (1, 0));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_longer_than_its_message_is_hidden_is_kept() {
    let mut options = options(1, 2);
    options.model = "stand-in:5000".into();
    let stack = fleet(options).await;
    let flood = Flood::post(&stack, 2);
    let audit = flood.audit(&stack, "jobs of 5 s, hidden for 2 s").await;
    assert_eq!((audit.answered_once, audit.told_failed), (2, 0));
    // Each photo was stored once by polybot and once by a worker: none was worked on twice.
    assert_eq!(stack.aws.calls().count(Service::S3, "PutObject"), 4);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_back_by_itself_when_sqs_does() {
    let stack = fleet(options(1, 1)).await;
    let gone = stack.aws.faults().add(Fault::new(Action::Drop).on(Service::Sqs).operation("ReceiveMessage"));
    let flood = Flood::post(&stack, 3);
    stack.workers[0].0.logged(|line| line.event() == "receive_failed").await.expect("it goes on");
    gone.remove();
    let audit = flood.audit(&stack, "SQS was gone for a while").await;
    assert_eq!((audit.answered_once, audit.told_failed), (3, 0));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_runs_at_the_end_of_the_drain_timeout_goes_to_another_worker() {
    let mut options = options(1, 1);
    options.model = "stand-in:3000".into();
    options.settings.push(("DRAIN_TIMEOUT".into(), "1".into()));
    let mut stack = fleet(options).await;
    let flood = Flood::post(&stack, 4);
    let busy = |event: &telegram_sandbox::Event| event.sent().is_some();
    stack.telegram.wait_for(busy, PATIENCE).await.expect("the photos are under way");
    let received = stack.aws.calls().at_least(Service::S3, "GetObject", 2);
    tokio::time::timeout(PATIENCE, received).await.expect("jobs run");
    let (mut worker, _) = stack.workers.remove(0);
    worker.terminate();
    assert!(worker.ended().await.expect("it ends").success());
    stack.add_worker().await.expect("another worker starts");
    let audit = flood.audit(&stack, "drain timeout in the middle").await;
    assert_eq!((audit.answered_once, audit.told_failed), (4, 0));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_scaled_in_drains_and_says_so() {
    let metadata = Metadata::start().await;
    let mut options = options(1, 1);
    options.model = "stand-in:1000".into();
    options.settings.extend([
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), metadata.url()),
        ("ASG_NAME".into(), "polybot-workers".into()),
        ("LIFECYCLE_HOOK".into(), "drain".into()),
        ("SCALE_IN_PROTECTION".into(), "true".into()),
    ]);
    let mut stack = fleet(options).await;
    let group = stack.resources.group.clone();
    aws_sdk_autoscaling::Client::new(&stack.config)
        .put_lifecycle_hook()
        .auto_scaling_group_name(&group)
        .lifecycle_hook_name("drain")
        .lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING")
        .heartbeat_timeout(300)
        .send()
        .await
        .expect("the hook");
    let auto_scaling = stack.aws.auto_scaling().clone();
    let instance = auto_scaling.group(&group).expect("the group").instances[0].id.clone();
    metadata.is_about(&instance, &auto_scaling);
    let protected = |wished| {
        let (auto_scaling, group) = (auto_scaling.clone(), group.clone());
        async move {
            let seen = auto_scaling.wait_for(&group, |group| group.instances[0].protected_from_scale_in == wished);
            tokio::time::timeout(PATIENCE, seen).await.expect("the protection changes");
        }
    };

    // A job that is over before the worker knows who it is gets no protection and needs none, so work goes on until one does.
    let user = stack.telegram.user("someone");
    let work = async {
        loop {
            let message = user.post_photo(photo("chelsea.png"), None);
            support::answer(&stack, &user, message).await;
        }
    };
    tokio::select! {
        () = protected(true) => {}
        () = work => {}
    }
    protected(false).await;

    auto_scaling.terminating(&instance).expect("it may be ended");
    let status = tokio::time::timeout(PATIENCE, stack.workers[0].0.ended()).await.expect("it drains").expect("it ends");
    assert!(status.success(), "{status}");
    let proceeds = auto_scaling.wait_for(&group, |group| {
        group.instances.iter().all(|it| it.id != instance || it.state.to_string() == "Terminating:Proceed")
    });
    tokio::time::timeout(PATIENCE, proceeds).await.expect("Auto Scaling does not wait for the hook's timeout");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ec2_takes_back_drains() {
    const FEW: usize = 8;
    let metadata = Metadata::start().await;
    let mut options = options(1, 1);
    options.model = "stand-in:3000".into();
    options.settings.extend([
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), metadata.url()),
        ("ASG_NAME".into(), "polybot-workers".into()),
        ("LIFECYCLE_HOOK".into(), "drain".into()),
    ]);
    let mut stack = fleet(options).await;
    let auto_scaling = stack.aws.auto_scaling().clone();
    let instance = auto_scaling.group(&stack.resources.group).expect("the group").instances[0].id.clone();
    metadata.is_about(&instance, &auto_scaling);

    let flood = Flood::post(&stack, FEW);
    let received = stack.aws.calls().at_least(Service::S3, "GetObject", 2);
    tokio::time::timeout(PATIENCE, received).await.expect("jobs run");
    // It is seen within 5 s; until then the two threads do four photos and begin two more.
    metadata.take_back(true);
    let status = tokio::time::timeout(PATIENCE, stack.workers[0].0.ended()).await.expect("it drains").expect("it ends");
    assert!(status.success(), "{status}");
    let (worker, _) = stack.workers.remove(0);
    let noticed = worker.log().into_iter().find(|line| line.event() == "instance_ending");
    assert_eq!(noticed.expect("it saw the notice").field("notice"), "Spot");
    // No hook waits yet, so none is completed.
    assert_eq!(stack.aws.calls().count(Service::AutoScaling, "CompleteLifecycleAction"), 0);
    let answered = flood.answered(&stack);
    assert!(answered < FEW, "it should have stopped before the last photo");

    // Another instance, whose metadata says nothing.
    metadata.take_back(false);
    stack.add_worker().await.expect("another worker starts");
    let audit = flood.audit(&stack, "a spot interruption").await;
    assert_eq!((audit.answered_once, audit.told_failed), (FEW, 0));
    // Each photo was stored once by polybot and once by a worker: what ran was finished, what waited was not begun.
    assert_eq!(stack.aws.calls().count(Service::S3, "PutObject"), 2 * FEW as u64);
    stack.stop().await;
}
