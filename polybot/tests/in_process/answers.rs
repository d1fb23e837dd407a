//! A prediction from its photo to its answer, and what may come between.

use std::time::Duration;

use embedded_aws::{Action, Fault, Service};
use fleet::predictions::Written;
use fleet::{DetectionResult, Label, Status};
use telegram_sandbox::Fault as TelegramFault;
use uuid::Uuid;

use crate::support::{LEASE_IS_OVER, PATIENCE, SWEEP, Setup, World, jpeg};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn two_polybots_and_two_workers_answer_in_one_process() {
    let world = Setup::of(2, 2).start().await;
    let people: Vec<_> = (0..8).map(|number| world.telegram.user(&format!("somebody {number}"))).collect();
    let photos: Vec<_> = people.iter().map(|user| user.post_photo(jpeg(), None)).collect();
    for (user, photo) in people.iter().zip(photos) {
        let answer = world.answer(user, photo).await;
        assert_eq!((answer.words(), answer.photo().is_some()), ("I see 1 stand-in.", true));
        world.nobody_waits(user).await;
    }
    world.all_settled().await;
    for record in world.records().await {
        assert_eq!(record.status, Status::Done);
        assert!(record.delivered_at.is_some() && record.predicted_img_path.is_some(), "{record:?}");
    }
    // Each measures what it did, and nothing of the others.
    let measured = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        line.unwrap_or_default()
    };
    let each = |name| {
        let instances = world.polybots.iter().chain(&world.workers);
        instances.map(|instance| measured(&instance.metrics.handle().render(), name)).collect::<Vec<_>>()
    };
    let queued = each("polybot_jobs_total");
    assert_eq!((queued[0], queued[1], queued[2] + queued[3]), (4, 4, 0), "updates go to both in turn");
    assert_eq!(each("polybot_delivered_total")[..2], [8, 0], "the first is called back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_is_failed_and_told() {
    let world = Setup::default().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(b"no photo at all".to_vec(), None);
    let answer = world.answer(&ann, photo).await;
    assert!(answer.words().starts_with("Sorry, I could not process your photo: "), "{}", answer.words());
    let record = world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    assert_eq!((record.status, record.labels.len(), record.predicted_img_path), (Status::Failed, 0, None));
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_calls_back_for_is_found_by_the_sweep() {
    let world = Setup::default().without_callback().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status == Status::Done).await;
    assert!(world.answers(&ann).is_empty());
    world.pass(2 * SWEEP);
    assert_eq!(world.answer(&ann, photo).await.words(), "I see 1 stand-in.");
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_telegram_does_not_take_is_deferred_and_sent_later() {
    let world = Setup::default().start().await;
    world.telegram.fail_next("sendPhoto", 1000, TelegramFault::Drop);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    let record = world.record(&ann, photo, |record| record.first_failed_at.is_some()).await;
    assert!(record.delivered_at.is_none() && record.next_attempt_at >= record.first_failed_at, "{record:?}");
    world.telegram.fail_no_more("sendPhoto");
    for _ in 0..3 {
        world.pass(SWEEP);
    }
    world.answer(&ann, photo).await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_never_taken_is_given_up_after_a_week_and_can_be_redriven() {
    // A worker that calls back again after the week would have it tried once more.
    let world = Setup::default().without_callback().start().await;
    world.telegram.fail_next("sendPhoto", 100_000, TelegramFault::Drop);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status == Status::Done).await;
    world.pass(SWEEP);
    world.record(&ann, photo, |record| record.first_failed_at.is_some()).await;
    let is_given_up = async || world.predictions.undeliverable().await.expect("DynamoDB answers").len() == 1;
    // After each day it is tried, and deferred once more.
    for day in 1..7 {
        world.pass(DAY);
        let now = world.clock.now();
        world.record(&ann, photo, |record| record.next_attempt_at.is_some_and(|next| next > now)).await;
        assert!(!is_given_up().await, "day {day}");
    }
    world.pass(DAY);
    world.until(async || is_given_up().await.then_some(())).await;
    let tries = world.telegram.calls("sendPhoto");
    world.pass(DAY);
    world.pass(DAY);
    world.telegram.fail_no_more("sendPhoto");
    world.all_settled().await;
    assert_eq!(world.telegram.calls("sendPhoto"), tries, "it is tried no more");
    assert_eq!(world.redrive().await, (0, 1));
    world.pass(2 * SWEEP);
    assert_eq!(world.answer(&ann, photo).await.words(), "I see 1 stand-in.");
    world.all_settled().await;
    assert_eq!(world.redrive().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polybot_that_dies_before_it_sends_is_taken_over_when_its_lease_is_over() {
    let mut world = Setup::default().without_callback().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status == Status::Done).await;
    // Leased, and stuck at the picture.
    let stuck = world.aws.faults().add(Fault::new(Action::Delay(PATIENCE)).on(Service::S3).operation("GetObject"));
    world.pass(SWEEP);
    world.soon(stuck.fired_at_least(1)).await;
    world.kill_polybot(0).await;
    stuck.remove();
    world.add_polybot().await;
    world.pass(2 * SWEEP);
    world.all_looked().await;
    assert!(world.answers(&ann).is_empty(), "the lease is not over");
    world.pass(LEASE_IS_OVER);
    world.answer(&ann, photo).await;
    world.all_settled().await;
    world.nobody_waits(&ann).await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polybot_that_dies_between_sending_and_marking_may_repeat_and_loses_nothing() {
    let mut world = Setup::default().start().await;
    world.telegram.fail_next("sendPhoto", 1, TelegramFault::HoldAnswer);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.answer(&ann, photo).await;
    let record = world.record(&ann, photo, |record| record.status == Status::Done).await;
    assert_eq!(record.delivered_at, None);
    world.kill_polybot(0).await;
    world.add_polybot().await;
    world.pass(LEASE_IS_OVER);
    world.all_settled().await;
    world.nobody_waits(&ann).await;
    assert_eq!(world.answers(&ann).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_blocked_the_bot_is_not_told_and_not_asked_again() {
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status_message_id.is_some()).await;
    ann.block_bot(true);
    let mut world = world;
    world.add_worker().await;
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    world.all_settled().await;
    assert!(world.answers(&ann).is_empty());
}

/// What a worker does that finds a crowd.
pub(crate) async fn complete(world: &World, id: Uuid, crowd: usize) {
    let person = Label { class: "person".into(), cx: 0.5, cy: 0.5, width: 0.1, height: 0.1, confidence: 0.9 };
    let predicted_img_path = fleet::images::predicted_key(id);
    world.images.put(&predicted_img_path, jpeg().into(), "image/jpeg").await.expect("stored");
    let result = DetectionResult { predicted_img_path, labels: vec![person; crowd], model: "by hand".into() };
    let completed = world.predictions.complete(id, &result, world.clock.now()).await.expect("DynamoDB answers");
    assert_eq!(completed, Written::Now);
}

/// A crowd, and how sure the detector is of each: more than fits under a photo, or into one message.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_with_much_to_say_of_is_answered_whole() {
    const CROWD: usize = 500;
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), Some("predict with confidence"));
    complete(&world, world.record(&ann, photo, |_| true).await.prediction_id, CROWD).await;
    world.pass(2 * SWEEP);
    let shown = world.answer(&ann, photo).await;
    assert!(shown.photo().is_some() && shown.words().is_empty(), "{}", shown.words());
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    let answers = world.answers(&ann);
    let words: Vec<_> = answers.iter().flat_map(|answer| answer.words().lines()).collect();
    assert_eq!(words[0], format!("I see {CROWD} persons."));
    assert_eq!(words[1..], ["person: 90 %"; CROWD]);
}
