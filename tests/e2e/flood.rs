//! Floods through every door of a real fleet, and as a program that is interrupted.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded_aws::Service;
use flood::{
    Door, FleetStores, Flood, LoadTestDoor, Phase, Photo, Plan, Progress, QueueDoor, Report, Shape, Spacing,
    TelegramFiles,
};
use local::{LocalFleet, Options};

use crate::support::{EXECUTABLE, PATIENCE, stack, stand_in};

const SECRET: &str = "for-this-test-only";

/// One of each service, with the detector that detects nothing: what is tested is what is around it.
fn options(workers: usize) -> Options {
    let settings = [("LOAD_TEST", "true"), ("LOAD_TEST_SECRET", SECRET)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Options { workers, settings, ..stand_in() }
}

fn fleet(stack: &LocalFleet) -> FleetStores {
    let resources = &stack.resources;
    FleetStores::new(&stack.config, &resources.bucket, &resources.queue_url, &resources.table).group(&resources.group)
}

fn load_test(stack: &LocalFleet, secret: &str) -> Door {
    Door::LoadTest(LoadTestDoor {
        fleet: fleet(stack),
        url: format!("http://{}/loadTest", stack.polybots[0].1).parse().expect("an address"),
        secret: secret.into(),
        chat_id: stack.telegram.user("Ada").chat_id(),
        files: TelegramFiles::Upload {
            api_url: stack.telegram.api_url().parse().expect("an address"),
            token: stack.telegram.token().into(),
        },
    })
}

fn plan(shape: Shape) -> Plan {
    Plan { spacing: Spacing::Even, drain: PATIENCE, ..Plan::new(shape) }
}

/// What has to be true of every report and every look at a flood.
fn is_accounted_for(report: &Report) {
    assert_eq!(report.sent, report.answered + report.failed + report.outstanding, "{}", report.text());
    assert_eq!(report.failed, report.failures.values().sum::<u64>(), "{}", report.text());
    assert_eq!(report.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), report.answered);
    assert_eq!(report.timeline.iter().map(|slice| slice.sent).sum::<u64>(), report.sent);
    assert_eq!(report.timeline.last().map(|slice| slice.outstanding), Some(report.outstanding));
    let text = report.text();
    let sum = format!(
        "{} sent = {} answered + {} failed + {} outstanding",
        report.sent, report.answered, report.failed, report.outstanding
    );
    assert!(text.contains(&sum), "{text}");
}

#[tokio::test]
async fn straight_to_the_queue_every_job_is_answered() {
    let stack = stack(options(1)).await;
    let shape = Shape::Constant { rate: 200.0, duration: Duration::from_millis(300) };
    let flood = Flood::start(plan(shape), Door::queue(fleet(&stack)), Photo::samples()).await.expect("it begins");
    let mut progress = flood.progress();
    let looks = tokio::spawn(async move {
        let mut looks: Vec<Progress> = vec![progress.borrow_and_update().clone()];
        while progress.changed().await.is_ok() {
            looks.push(progress.borrow_and_update().clone());
        }
        looks
    });
    let report = flood.finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.answered), (60, 60), "{}", report.text());
    let looks = looks.await.expect("looks");
    assert!(looks.iter().all(|look| look.sent == look.answered + look.failed + look.outstanding), "{looks:?}");
    assert!(looks.is_sorted_by_key(|look| look.answered), "{looks:?}");
    let last = looks.last().expect("a last one");
    assert_eq!((last.phase, last.planned, last.answered), (Phase::Ended, 60, 60));

    // Its photos were stored once, its jobs went in together, nobody in Telegram heard of it, and nothing is left to tell.
    assert_eq!(stack.aws.calls().count(Service::S3, "PutObject"), 3 + 60, "three photos, and an annotated one a job");
    assert!(stack.aws.calls().count(Service::Sqs, "SendMessageBatch") >= 6);
    assert!(stack.telegram.calls("sendPhoto") == 0 && stack.telegram.events().is_empty());
    stack.aws.calls().at_least(Service::Sqs, "DeleteMessage", 60).await;
    let predictions = fleet::PredictionStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table);
    let untold = predictions.undelivered(fleet::Status::Done, fleet::Timestamp::MAX, 100).await.expect("query");
    assert!(untold.is_empty(), "{untold:?}");
    assert!(report.sightings.iter().all(|seen| seen.instances == Some(1)), "{:?}", report.sightings);
    stack.stop().await;
}

#[tokio::test]
async fn straight_to_the_queue_for_a_chat_it_is_told() {
    let stack = stack(options(1)).await;
    let chat_id = stack.telegram.user("Ada").chat_id();
    let door = Door::Queue(QueueDoor { fleet: fleet(&stack), chat_id: Some(chat_id) });
    let flood = Flood::start(plan(Shape::Count { jobs: 1 }), door, Photo::samples()).await.expect("it begins");
    let report = flood.finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.answered), (1, 1), "{}", report.text());
    let told = stack.telegram.wait_for_message(|message| message.chat_id == chat_id, PATIENCE).await.expect("told");
    assert!(told.photo().is_some(), "{told:?}");
    stack.stop().await;
}

#[tokio::test]
async fn through_load_test_every_chat_is_told() {
    let stack = stack(options(1)).await;
    let shape = Shape::Count { jobs: 6 };
    let flood = Flood::start(plan(shape), load_test(&stack, SECRET), Photo::samples()).await.expect("it begins");
    let report = flood.finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.answered), (6, 6), "{}", report.text());
    // Three photos were brought to Telegram first, by sendPhoto as well.
    assert_eq!(stack.telegram.calls("sendPhoto"), 3 + 6);

    let flood = Flood::start(plan(Shape::Count { jobs: 3 }), load_test(&stack, "wrong"), Photo::samples()).await;
    let report = flood.expect("it begins").finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.failed), (3, 3), "{}", report.text());
    assert!(report.text().contains("403 Forbidden") && !report.text().contains("wrong\""), "{}", report.text());
    stack.stop().await;
}

#[tokio::test]
async fn as_people_in_telegram_everybody_is_answered() {
    let stack = stack(options(1)).await;
    let shape = Shape::Constant { rate: 10.0, duration: Duration::from_secs(1) };
    // One photo each: the bot sends no more than a message a second to a chat.
    let door = Door::telegram(&stack.telegram, 10, Some(fleet(&stack)));
    let flood = Flood::start(plan(shape), door, Photo::samples()).await.expect("it begins");
    let report = flood.finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.answered), (10, 10), "{}", report.text());
    assert_eq!(report.uncertainty, None, "answers are seen as they come");

    // What is not a photo to the fleet is answered with a sentence, which is not a success.
    let no_photo = Photo::new(vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 0].into()).expect("it begins as one");
    let door = Door::telegram(&stack.telegram, 2, None);
    let flood = Flood::start(plan(Shape::Count { jobs: 2 }), door, vec![no_photo]).await.expect("it begins");
    let report = flood.finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.failed), (2, 2), "{}", report.text());
    assert!(report.failures.keys().all(|reason| reason.starts_with("the bot says: ")), "{:?}", report.failures);
    stack.stop().await;
}

#[tokio::test]
async fn photos_that_are_none_fail_and_are_counted() {
    let stack = stack(options(1)).await;
    let no_photo = Photo::new(vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 0].into()).expect("it begins as one");
    let flood = Flood::start(plan(Shape::Count { jobs: 12 }), Door::queue(fleet(&stack)), vec![no_photo]).await;
    let report = flood.expect("it begins").finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.failed), (12, 12), "{}", report.text());
    assert_eq!(report.failures.len(), 1, "the same reason is one: {:?}", report.failures);
    stack.stop().await;
}

#[tokio::test]
async fn without_a_worker_all_is_outstanding_and_arrivals_do_not_wait() {
    let stack = stack(options(0)).await;
    let shape = Shape::Constant { rate: 30.0, duration: Duration::from_secs(1) };
    let plan = Plan { drain: Duration::from_millis(200), ..plan(shape) };
    let flood = Flood::start(plan, Door::queue(fleet(&stack)), Photo::samples()).await.expect("it begins");
    let report = flood.finish().await;
    is_accounted_for(&report);
    // Nobody answered, and all were sent all the same.
    assert_eq!((report.sent, report.outstanding), (30, 30), "{}", report.text());
    assert_eq!((report.outstanding_jobs.len(), report.latency), (20, None));
    stack.stop().await;
}

#[tokio::test]
async fn what_sqs_does_not_take_is_failed() {
    let stack = stack(options(0)).await;
    let sqs = Service::Sqs;
    // No error that another try could help.
    let refused = embedded_aws::Action::Fail { status: 403, code: "AccessDenied".into() };
    stack.aws.faults().add(embedded_aws::Fault::new(refused).on(sqs).operation("SendMessageBatch"));
    let flood = Flood::start(plan(Shape::Count { jobs: 20 }), Door::queue(fleet(&stack)), Photo::samples()).await;
    let report = flood.expect("it begins").finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.failed), (20, 20), "{}", report.text());
    assert!(report.failures.keys().all(|reason| reason.starts_with("not sent: ") && reason.contains("AccessDenied")));
    stack.stop().await;
}

#[tokio::test]
async fn stopped_it_waits_for_answers_and_stopped_twice_it_does_not() {
    let stack = stack(options(0)).await;
    let shape = Shape::Constant { rate: 20.0, duration: Duration::from_secs(3600) };
    let flood = Flood::start(plan(shape), Door::queue(fleet(&stack)), Photo::samples()).await.expect("it begins");
    let (mut progress, stopper) = (flood.progress(), flood.stopper());
    progress.wait_for(|progress| progress.sent >= 3).await.expect("it runs");
    stopper.stop();
    let sent = progress.wait_for(|progress| progress.phase == Phase::Draining).await.expect("it drains").sent;
    progress.changed().await.expect("it still waits");
    flood.stop();
    let report = flood.finish().await;
    is_accounted_for(&report);
    assert_eq!((report.sent, report.outstanding, report.planned), (sent, sent, 72_000), "{}", report.text());
    assert!(report.text().contains("stopped before the other"), "{}", report.text());
    stack.stop().await;
}

/// The program, flooding this fleet by the settings that the services have.
fn program(stack: &LocalFleet, args: &[&str]) -> Command {
    let resources = &stack.resources;
    let mut program = Command::new(EXECUTABLE);
    program
        .arg("flood")
        .args(args)
        .envs(stack.aws.environment())
        .env("BUCKET_NAME", &resources.bucket)
        .env("SQS_QUEUE_URL", &resources.queue_url)
        .env("DYNAMODB_TABLE", &resources.table)
        .env("ASG_NAME", &resources.group)
        .env_remove("LOAD_TEST_SECRET")
        .env_remove("TELEGRAM_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_program_and_it_still_reports() {
    let stack = stack(options(0)).await;
    let out = tempfile::tempdir().expect("tempdir");
    let dir = out.path().join("new").to_str().expect("a path").to_owned();
    let mut flood = program(&stack, &["--rate", "20", "--for", "1h", "--out", &dir]).spawn().expect("it starts");
    let interrupt = |flood: &std::process::Child| {
        let killed = Command::new("kill").args(["-INT", &flood.id().to_string()]).status().expect("kill runs");
        assert!(killed.success());
    };
    stack.aws.calls().at_least(Service::Sqs, "SendMessage", 5).await;
    interrupt(&flood);
    let mut said = BufReader::new(flood.stderr.take().expect("piped")).lines();
    let draining = said.by_ref().map_while(Result::ok).find(|line| line.contains("no more arrivals"));
    assert!(draining.is_some(), "it says that it waits");
    interrupt(&flood);
    let mut text = String::new();
    flood.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    assert_eq!(flood.wait().expect("it ends").code(), Some(1), "not all was answered");
    assert!(text.contains(" sent = 0 answered + 0 failed + "), "{text}");
    let json = std::fs::read_to_string(out.path().join("new/flood.json")).expect("the report");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["sent"], json["outstanding"]);
    assert!(json["sent"].as_u64() >= Some(5));
    let html = std::fs::read_to_string(out.path().join("new/flood.html")).expect("the report");
    assert!(html.contains("<svg") && html.contains("outstanding"));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_answers_in_json_and_says_what_is_wrong() {
    let stack = stack(options(1)).await;
    let output = program(&stack, &["--count", "20", "--json"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&json["sent"], &json["answered"]), (&20.into(), &20.into()));

    let dir = tempfile::tempdir().expect("tempdir");
    let trace = dir.path().join("trace.csv");
    std::fs::write(&trace, "seconds,rate\n0,5\n10,fast\n").expect("written");
    let trace = trace.to_str().expect("a path");
    for (args, expected) in [
        (&["--trace", trace][..], "trace.csv: line 3: the rate \"fast\" is not a number"),
        (&["--trace", "missing.csv"], "can't read missing.csv"),
        (&["--rate=-1", "--for", "1s"], "-1 jobs a second is not a rate"),
        (&["--count", "1", "--photos", trace], "trace.csv is not a photo"),
        (&["--count", "1", "--door", "load-test", "--file-id", "x"], "LOAD_TEST_URL is not set"),
        (&["--count", "1", "--door", "load-test"], "TELEGRAM_TOKEN is not set"),
        (&["--count", "1", "--door", "telegram"], "local flood --door telegram"),
    ] {
        let output = program(&stack, args).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{args:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    stack.stop().await;
}
