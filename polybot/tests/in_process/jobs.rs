//! A job: lost and sent anew, a dead letter that is told and redriven, kept by a worker and given back by it.

use std::time::Duration;

use embedded_aws::{Action, Fault, Service};
use fleet::{Prediction, Status};
use polybot::reply;
use telegram_sandbox::Post;

use crate::support::{SWEEP, Setup, World, jpeg};

/// Longer than a queued record may be there before its message is looked for: the setting's default is a quarter of an hour.
const STALE: Duration = Duration::from_secs(901);

async fn purge(world: &World) {
    world.resources.sqs.purge_queue().queue_url(&world.resources.queue_url).send().await.expect("purged");
}

/// Wait until a job is on the queue.
async fn queued(world: &World) {
    world.until(async || (world.queue.depth().await.ok()?.visible == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_message_is_gone_is_sent_anew() {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    queued(&world).await;
    purge(&world).await;
    world.pass(STALE);
    let record = world.record(&ann, photo, |record| record.requeued == 1).await;
    assert_eq!(record.status, Status::Queued);
    world.add_worker().await;
    assert_eq!(world.answer(&ann, photo).await.words(), "I see 1 stand-in.");
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_lost_again_and_again_is_told_as_failed() {
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    queued(&world).await;
    for requeued in 1..=3 {
        purge(&world).await;
        world.pass(STALE);
        world.record(&ann, photo, |record| record.requeued == requeued).await;
    }
    purge(&world).await;
    world.pass(STALE);
    assert_eq!(world.answer(&ann, photo).await.words(), reply::failed(reply::KEPT_FAILING));
    world.all_settled().await;
    assert_eq!(world.redrive().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_keeps_failing_is_told_once_and_can_be_redriven() {
    let world = Setup::default().start().await;
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    assert_eq!(world.answer(&ann, photo).await.words(), reply::failed(reply::KEPT_FAILING));
    let dead = world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    assert!(dead.status == Status::Failed && dead.dead_letter, "{dead:?}");
    world.nobody_waits(&ann).await;
    world.all_settled().await;
    broken.remove();
    assert_eq!(world.redrive().await, (1, 0));
    let is_photo = |message: &telegram_sandbox::ChatMessage| message.photo().is_some();
    world
        .soon(world.telegram.wait_for_message(is_photo, crate::support::PATIENCE))
        .await
        .expect("it is done after all");
    world.all_settled().await;
    assert_eq!((world.answers(&ann).len(), world.redrive().await), (2, (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_dies_between_reviving_and_sending_loses_nothing() {
    let world = Setup::default().start().await;
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    let dead = world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    world.all_settled().await;
    broken.remove();
    let stuck = Fault::new(Action::Delay(crate::support::PATIENCE)).on(Service::Sqs).operation("SendMessage");
    let stuck = world.aws.faults().add(stuck.times(1));
    tokio::select! {
        _ = world.redrive() => panic!("it is stuck"),
        () = stuck.fired_at_least(1) => {}
    }
    stuck.remove();
    let revived = world.record(&ann, photo, |record| record.status == Status::Queued).await;
    assert_eq!(revived.prediction_id, dead.prediction_id);
    world.pass(STALE);
    let is_photo = |message: &telegram_sandbox::ChatMessage| message.photo().is_some();
    world
        .soon(world.telegram.wait_for_message(is_photo, crate::support::PATIENCE))
        .await
        .expect("it is done after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_photos_failed_is_told_as_one_and_redriven_one_by_one() {
    let world = Setup::default().start().await;
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let ann = world.telegram.user("Ann");
    let album = ann.post_album([0, 1].map(|_| Post::photo(jpeg())));
    let failed = reply::failed(reply::KEPT_FAILING);
    assert_eq!(world.answer(&ann, album[0]).await.words(), format!("1. {failed}\n2. {failed}"));
    world.until(async || (world.predictions.dead_letters().await.ok()?.len() == 2).then_some(())).await;
    world.all_settled().await;
    broken.remove();
    assert_eq!(world.redrive().await, (2, 0));
    for message_id in album {
        let is_its = move |message: &telegram_sandbox::ChatMessage| {
            message.reply_to == Some(message_id) && message.photo().is_some()
        };
        world.soon(world.telegram.wait_for_message(is_its, crate::support::PATIENCE)).await.expect("its own answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_record_is_done_and_told() {
    let world = Setup::default().start().await;
    let ann = world.telegram.user("Ann");
    let id = uuid::Uuid::now_v7();
    let key = fleet::images::original_key(id, "jpg");
    world.images.put(&key, jpeg().into(), "image/jpeg").await.expect("stored");
    let record = Prediction::queued(id, ann.chat_id(), 1, key, world.clock.now());
    world.queue.send(&record.job(world.clock.date())).await.expect("queued");
    let is_told = |message: &telegram_sandbox::ChatMessage| message.words() == "I see 1 stand-in.";
    world.soon(world.telegram.wait_for_message(is_told, crate::support::PATIENCE)).await.expect("told");
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_job_stays_among_the_dead_letters() {
    let world = Setup::default().start().await;
    let send = world.resources.sqs.send_message().queue_url(&world.resources.queue_url).message_body("hello");
    send.send().await.expect("sent");
    world
        .until(async || {
            let dead = world.dead_letters.depth().await.ok()?;
            (dead.visible + dead.in_flight == 1).then_some(())
        })
        .await;
    world
        .until(async || {
            world.polybots[0].metrics.handle().render().contains("foreign_dead_letters_total 1").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_finishes_its_photos_and_leaves_the_rest_to_others() {
    let mut world = Setup::of(1, 1).worker("--model=stand-in:50").start().await;
    let people: Vec<_> = (0..12).map(|number| world.telegram.user(&format!("{number}"))).collect();
    let photos: Vec<_> = people.iter().map(|user| user.post_photo(jpeg(), None)).collect();
    for _ in 0..2 {
        let got = world.aws.calls().count(Service::S3, "GetObject");
        world.soon(world.aws.calls().at_least(Service::S3, "GetObject", got + 1)).await;
        let worker = world.workers.remove(0);
        world.add_worker().await;
        world.soon(worker.stop()).await;
    }
    for (user, photo) in people.iter().zip(photos) {
        world.answer(user, photo).await;
    }
    world.all_settled().await;
    // Stored once by polybot and once by a worker: none was done twice.
    assert_eq!(world.aws.calls().count(Service::S3, "PutObject"), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_runs_at_the_end_of_the_drain_timeout_goes_to_another_worker() {
    let mut world = Setup::of(1, 1).worker("--model=stand-in:1500").worker("--drain-timeout=1").start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.soon(world.aws.calls().at_least(Service::S3, "GetObject", 1)).await;
    let worker = world.workers.remove(0);
    world.soon(worker.stop()).await;
    assert!(world.answers(&ann).is_empty());
    world.add_worker().await;
    world.answer(&ann, photo).await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_whose_worker_dies_is_done_by_another() {
    let mut world = Setup::of(1, 1).worker("--model=stand-in:300").start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.soon(world.aws.calls().at_least(Service::S3, "GetObject", 1)).await;
    world.kill_worker(0).await;
    world.add_worker().await;
    world.answer(&ann, photo).await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_longer_than_its_message_is_hidden_is_kept() {
    let world = Setup::of(1, 2).worker("--model=stand-in:2500").start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.answer(&ann, photo).await;
    world.all_settled().await;
    assert_eq!(world.aws.calls().count(Service::S3, "PutObject"), 2, "it was not done twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_back_by_itself_when_sqs_does() {
    let world = Setup::of(1, 0).start().await;
    let mut world = world;
    let gone = world.aws.faults().add(Fault::internal_error(Service::Sqs).operation("ReceiveMessage"));
    world.add_worker().await;
    world.soon(gone.fired_at_least(5)).await;
    gone.remove();
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.pass(SWEEP);
    world.answer(&ann, photo).await;
    world.all_settled().await;
}
