//! The worker on the embedded AWS, in this process: what becomes of a message, whatever fails meanwhile.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use detector::{DetectError, Detection, RgbImage, Timings};
use embedded_aws::{Action, Fault, Service};
use fleet::predictions::Written;
use fleet::{FailureReason, Job, Status, images};
use yolo_worker::Detect;

use crate::support::{RECEIVES, World, in_time, measured, photo};

#[tokio::test]
async fn a_photo_is_detected_recorded_deleted_and_polybot_hears_of_it() {
    let world = World::start().await;
    let worker = world.worker(&[]);
    let id = world.queued(photo()).await;
    assert_eq!(world.polybot.heard(1).await, [id]);
    world.is_empty().await;
    let record = world.record(id).await;
    assert_eq!((record.status, record.model.as_deref(), record.labels.len()), (Status::Done, Some("stand-in"), 1));
    let key = record.predicted_img_path.expect("a picture");
    let picture = world.images.get(&key, 1 << 20).await.expect("it is stored");
    assert_eq!(image::guess_format(&picture).expect("an image"), image::ImageFormat::Jpeg);
    assert_eq!((worker.outcomes("done"), worker.measured("worker_messages_in_flight")), (1, 0));
    worker.stop().await;
}

#[tokio::test]
async fn what_can_not_succeed_is_recorded_with_its_reason_and_polybot_hears_of_it() {
    let world = World::start().await;
    let worker = world.worker(&[]);
    let gone = world.accepted(photo()).await;
    world.images.delete(&gone.image_key).await.expect("deleted");
    let large = world.accepted(vec![0; (20 << 20) + 1]).await;
    let text = world.accepted(b"no photo".to_vec()).await;
    let damaged = world.accepted(photo()[..50].to_vec()).await;
    let expected = [
        (gone, FailureReason::PhotoGone),
        (large, FailureReason::TooManyBytes { bytes: (20 << 20) + 1, limit: 20 << 20 }),
        (text, FailureReason::NotAnImage),
        (damaged, FailureReason::Damaged),
    ];
    for (number, (job, reason)) in expected.into_iter().enumerate() {
        world.queue.send(&job).await.expect("queued");
        assert_eq!(world.polybot.heard(number + 1).await.last(), Some(&job.prediction_id));
        let record = world.record(job.prediction_id).await;
        assert_eq!((record.status, record.failure_reason()), (Status::Failed, Some(reason.clone())));
        // For a polybot of an older version.
        assert_eq!(record.failure, Some(reason.to_string()));
    }
    world.is_empty().await;
    assert_eq!(worker.outcomes("failed"), 4);
    worker.stop().await;
}

/// Panics at the first photo, finds nothing in others.
#[derive(Debug, Default)]
struct Fragile(AtomicUsize);

impl Detect for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    fn detect(&self, _: &RgbImage) -> Result<(Vec<Detection>, Timings), DetectError> {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "on purpose");
        Ok((Vec::new(), Timings::default()))
    }
}

#[tokio::test]
async fn a_panic_in_the_detector_costs_only_its_own_photo() {
    let world = World::start().await;
    let worker = world.worker_with(Arc::new(Fragile::default()), &[]);
    let broken = world.queued(photo()).await;
    world.polybot.heard(1).await;
    let well = world.queued(photo()).await;
    assert_eq!(world.polybot.heard(2).await, [broken, well]);
    let record = world.record(broken).await;
    assert_eq!((record.status, record.failure_reason()), (Status::Failed, Some(FailureReason::DetectorPanicked)));
    assert_eq!(world.record(well).await.status, Status::Done);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_is_retried_until_aws_answers_again() {
    // Each would fail the attempt: reading the record, the photo, storing the picture, recording.
    let calls = [
        (Service::DynamoDb, "GetItem"),
        (Service::S3, "GetObject"),
        (Service::S3, "PutObject"),
        (Service::DynamoDb, "UpdateItem"),
    ];
    for (service, operation) in calls {
        let world = World::start().await;
        let job = world.accepted(photo()).await;
        let fault = world.aws.faults().add(Fault::internal_error(service).operation(operation).times(2));
        let worker = world.worker(&["--report-interval=3600"]);
        world.queue.send(&job).await.expect("queued");
        assert_eq!(world.polybot.heard(1).await, [job.prediction_id], "{operation}");
        assert_eq!((fault.fired(), worker.outcomes("retry"), worker.outcomes("done")), (2, 2, 1), "{operation}");
        assert_eq!(world.record(job.prediction_id).await.status, Status::Done);
        world.is_empty().await;
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_worker_receives_again_when_sqs_does_not_answer() {
    let world = World::start().await;
    let fault = world.aws.faults().add(Fault::throttled(Service::Sqs).operation("ReceiveMessage").times(1));
    let worker = world.worker(&[]);
    let id = world.queued(photo()).await;
    assert_eq!(world.polybot.heard(1).await, [id]);
    assert_eq!((fault.fired(), worker.measured("worker_receive_failures_total")), (1, 1));
    worker.stop().await;
}

#[tokio::test]
async fn a_finished_job_that_comes_again_is_only_told_again() {
    let world = World::start().await;
    let worker = world.worker(&[]);
    let job = world.accepted(photo()).await;
    world.queue.send(&job).await.expect("queued");
    world.polybot.heard(1).await;
    let stored = world.aws.calls().count(Service::S3, "PutObject");
    world.queue.send(&job).await.expect("queued");
    assert_eq!(world.polybot.heard(2).await, [job.prediction_id; 2]);
    assert_eq!(world.aws.calls().count(Service::S3, "PutObject"), stored);
    assert_eq!((worker.outcomes("done"), worker.outcomes("repeated")), (1, 1));
    world.is_empty().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_result_whose_message_could_not_be_deleted_is_found_finished() {
    let world = World::start().await;
    let fault = world.aws.faults().add(Fault::new(Action::Drop).on(Service::Sqs).operation("DeleteMessage").times(1));
    let worker = world.worker(&[]);
    let id = world.queued(photo()).await;
    world.polybot.heard(1).await;
    assert_eq!((world.record(id).await.status, fault.fired()), (Status::Done, 1));
    // It stays in flight until its visibility timeout ends.
    assert_eq!(world.queue.depth().await.expect("SQS answers").in_flight, 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_callback_that_fails_is_tried_again_and_holds_no_message() {
    let world = World::start().await;
    world.polybot.answer(StatusCode::SERVICE_UNAVAILABLE);
    let worker = world.worker(&[]);
    let id = world.queued(photo()).await;
    world.polybot.heard(1).await;
    // Settled before polybot is called.
    world.is_empty().await;
    assert_eq!(world.record(id).await.status, Status::Done);
    world.polybot.answer(StatusCode::OK);
    assert_eq!(world.polybot.heard(2).await, [id; 2]);
    // What polybot refuses is not retried.
    world.polybot.answer(StatusCode::FORBIDDEN);
    let refused = world.queued(photo()).await;
    world.polybot.heard(3).await;
    worker.stop().await;
    assert_eq!(world.polybot.calls(), 3);
    assert_eq!(world.record(refused).await.status, Status::Done);
}

/// Detects when it is told to.
#[derive(Debug, Default)]
struct Held {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
    begun: tokio::sync::Notify,
}

impl Held {
    fn let_go(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        self.changed.notify_all();
    }
}

impl Detect for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn detect(&self, _: &RgbImage) -> Result<(Vec<Detection>, Timings), DetectError> {
        self.begun.notify_one();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(state, |(let_go, _)| !*let_go).unwrap_or_else(PoisonError::into_inner);
        drop(waited);
        Ok((Vec::new(), Timings::default()))
    }
}

#[tokio::test]
async fn a_worker_that_stops_finishes_what_runs_and_gives_back_what_waits() {
    let world = World::start().await;
    let detector = Arc::new(Held::default());
    let (runs, waits) = (world.queued(photo()).await, world.queued(photo()).await);
    let worker = world.worker_with(detector.clone(), &[]);
    in_time(detector.begun.notified()).await;
    in_time(world.aws.calls().at_least(Service::S3, "GetObject", 2)).await;
    worker.shut_down();
    // One of the two is released; which one runs is not said.
    in_time(world.aws.calls().at_least(Service::Sqs, "ChangeMessageVisibility", 1)).await;
    detector.let_go();
    let finished = world.polybot.heard(1).await;
    worker.stop().await;
    assert_eq!(world.polybot.calls(), 1);
    let left = if finished == [runs] { waits } else { runs };
    assert_eq!(
        (world.record(finished[0]).await.status, world.record(left).await.status),
        (Status::Done, Status::Queued)
    );
    let depth = world.queue.depth().await.expect("SQS answers");
    assert_eq!((depth.visible, depth.in_flight), (1, 0));
    // Another worker has it at once.
    let other = world.worker(&[]);
    assert_eq!(world.polybot.heard(2).await[1], left);
    other.stop().await;
}

/// Each worker that stops may still receive a message. If each gave it back, they would pass it on until it is a dead letter.
#[tokio::test]
async fn a_fleet_that_shrinks_does_not_pass_a_photo_on_until_it_is_a_dead_letter() {
    let world = World::start().await;
    let workers: Vec<_> = (0..=RECEIVES).map(|_| world.worker(&["--receive-wait=3"])).collect();
    // The first receive of each is short; the second waits.
    in_time(world.aws.calls().at_least(Service::Sqs, "ReceiveMessage", 2 * workers.len() as u64)).await;
    for worker in &workers {
        worker.shut_down();
    }
    let id = world.queued(photo()).await;
    assert_eq!(world.polybot.heard(1).await, [id]);
    let outcomes = |outcome| workers.iter().map(|worker| worker.outcomes(outcome)).sum::<u64>();
    assert_eq!((outcomes("released"), outcomes("done")), (1, 1));
    for worker in workers {
        worker.stop().await;
    }
    world.is_empty().await;
    assert_eq!(world.dead_letters.depth().await.expect("SQS answers").visible, 0);
}

/// It fails far faster than the other works, and would take most of what waits.
#[tokio::test]
async fn a_worker_that_can_do_nothing_leaves_the_jobs_to_one_that_can() {
    let world = World::start().await;
    let mut queued = Vec::new();
    for _ in 0..24 {
        queued.push(world.queued(photo()).await);
    }
    let ill = world.worker(&["--dynamodb-table=nowhere"]);
    in_time(world.aws.calls().at_least(Service::Sqs, "ChangeMessageVisibility", 1)).await;
    let well = world.worker(&[]);
    let mut heard = world.polybot.heard(queued.len()).await;
    heard.sort_unstable();
    queued.sort_unstable();
    assert_eq!(heard, queued);
    assert_eq!((well.outcomes("done"), world.dead_letters.depth().await.expect("SQS answers").visible), (24, 0));
    ill.stop().await;
    well.stop().await;
}

#[tokio::test]
async fn a_job_is_logged_as_finished_whatever_becomes_of_its_callback() {
    let world = World::start().await;
    world.polybot.answer(StatusCode::SERVICE_UNAVAILABLE);
    // Less than the callback's tries take.
    let worker = world.worker(&["--drain-timeout=1", "--receive-wait=0"]);
    world.queued(photo()).await;
    world.polybot.heard(1).await;
    let metrics = worker.stop().await;
    let jobs = |name| measured(metrics, name);
    assert_eq!((jobs("worker_job_seconds_count"), jobs("worker_jobs_total{outcome=\"done\"}")), (1, 1));
}

#[tokio::test]
async fn a_worker_that_stops_reports_the_work_of_its_last_seconds() {
    let world = World::start().await;
    let stretch = world.work.stretch_at(SystemTime::now());
    let worker = world.worker(&[]);
    world.queued(photo()).await;
    world.polybot.heard(1).await;
    worker.stop().await;
    // The hour may have changed.
    let work = world.work.read(stretch..stretch + 2).await.expect("DynamoDB answers");
    assert_eq!(work.iter().map(|work| (work.photos, work.turns)).max(), Some((1, 1)));
}

#[tokio::test]
async fn what_still_runs_when_the_drain_timeout_is_over_is_given_back() {
    let world = World::start().await;
    let detector = Arc::new(Held::default());
    let id = world.queued(photo()).await;
    let worker = world.worker_with(detector.clone(), &["--drain-timeout=1", "--receive-wait=0"]);
    in_time(detector.begun.notified()).await;
    worker.shut_down();
    in_time(world.aws.calls().at_least(Service::Sqs, "ChangeMessageVisibility", 1)).await;
    detector.let_go();
    worker.stop().await;
    assert_eq!(world.queue.depth().await.expect("SQS answers").visible, 1);
    assert_eq!((world.record(id).await.status, world.polybot.calls()), (Status::Queued, 0));
}

#[tokio::test]
async fn a_job_of_another_version_is_told_if_it_names_a_prediction() {
    let world = World::start().await;
    let worker = world.worker(&[]);
    let job = world.accepted(photo()).await;
    world.send(&format!(r#"{{"version":99,"prediction_id":"{}","photo":"x"}}"#, job.prediction_id)).await;
    assert_eq!(world.polybot.heard(1).await, [job.prediction_id]);
    assert_eq!(world.record(job.prediction_id).await.failure_reason(), Some(FailureReason::JobVersion));
    world.is_empty().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_message_that_is_no_job_becomes_a_dead_letter_and_holds_nobody_up() {
    let world = World::start().await;
    let worker = world.worker(&[]);
    world.send("poison").await;
    // Received as often as the queue allows, and given back each time.
    in_time(world.aws.calls().at_least(Service::Sqs, "ChangeMessageVisibility", 3)).await;
    let id = world.queued(photo()).await;
    assert_eq!(world.polybot.heard(1).await, [id]);
    let dead = in_time(world.dead_letters.receive(1, Duration::from_secs(20))).await.expect("SQS answers");
    assert_eq!(dead.iter().map(|message| message.body.as_str()).collect::<Vec<_>>(), ["poison"]);
    worker.stop().await;
    assert_eq!(worker_is_quiet(&world).await, (0, 0));
}

async fn worker_is_quiet(world: &World) -> (u64, u64) {
    let depth = world.queue.depth().await.expect("SQS answers");
    (depth.visible, depth.in_flight)
}

#[tokio::test]
async fn a_heartbeat_keeps_a_long_job_invisible() {
    let world = World::start().await;
    let detector = Arc::new(Held::default());
    // With two seconds it is extended each half second.
    let worker = world.worker_with(detector.clone(), &["--visibility-timeout=2"]);
    let id = world.queued(photo()).await;
    in_time(detector.begun.notified()).await;
    in_time(world.aws.calls().at_least(Service::Sqs, "ChangeMessageVisibility", 1)).await;
    detector.let_go();
    assert_eq!(world.polybot.heard(1).await, [id]);
    worker.stop().await;
}

#[tokio::test]
async fn a_message_that_can_not_be_extended_is_left_to_others() {
    let world = World::start().await;
    let detector = Arc::new(Held::default());
    let refusal = Action::Fail { status: 400, code: "MessageNotInflight".into() };
    let fault = world.aws.faults().add(Fault::new(refusal).on(Service::Sqs).operation("ChangeMessageVisibility"));
    let worker = world.worker_with(detector.clone(), &["--visibility-timeout=2"]);
    let id = world.queued(photo()).await;
    in_time(detector.begun.notified()).await;
    in_time(fault.fired_at_least(1)).await;
    worker.stop().await;
    detector.let_go();
    // Neither deleted nor recorded nor told.
    assert_eq!(world.queue.depth().await.expect("SQS answers").in_flight, 1);
    assert_eq!((world.record(id).await.status, world.polybot.calls()), (Status::Queued, 0));
}

#[tokio::test]
async fn nothing_is_left_of_a_photo_that_was_forgotten_while_it_was_detected() {
    let world = World::start().await;
    let detector = Arc::new(Held::default());
    let worker = world.worker_with(detector.clone(), &[]);
    let id = world.queued(photo()).await;
    in_time(detector.begun.notified()).await;
    let found = world.predictions.belonging(&id.to_string()).await.expect("DynamoDB answers").expect("it is there");
    let now = fleet::Clock::system().now();
    assert!(world.predictions.forget(&found, now).await.expect("DynamoDB answers").is_some());
    detector.let_go();
    world.polybot.heard(1).await;
    assert!(world.record(id).await.is_forgotten());
    world.images.get(&images::predicted_key(id), 1 << 20).await.expect_err("it was deleted");
    worker.stop().await;
}

#[tokio::test]
async fn a_job_without_a_record_gets_one() {
    let world = World::start().await;
    let worker = world.worker(&[]);
    let stored = world.accepted(photo()).await;
    let job = Job {
        prediction_id: uuid::Uuid::now_v7(),
        image_key: images::shared_key(stored.prediction_id, "png"),
        ..stored
    };
    world.images.put(&job.image_key, photo().into(), "image/png").await.expect("stored");
    world.queue.send(&job).await.expect("queued");
    assert_eq!(world.polybot.heard(1).await, [job.prediction_id]);
    assert_eq!(world.record(job.prediction_id).await.status, Status::Done);
    let again = fleet::Prediction::queued(job.prediction_id, 5, 6, job.image_key, fleet::Timestamp::from_secs(0));
    assert_eq!(world.predictions.insert(&again).await.expect("DynamoDB answers"), Written::NotAsExpected);
    worker.stop().await;
}
