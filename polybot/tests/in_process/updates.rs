//! An update from "ok" to its end: kept, handled, deferred, taken over, given up.

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_aws::{Action, Fault, Service};
use polybot::reply;
use telegram_sandbox::Fault as TelegramFault;

use crate::support::{LEASE, LEASE_IS_OVER, PATIENCE, SWEEP, Setup, World, jpeg};

/// Longer than an update may take.
const NEARLY_A_LEASE: std::time::Duration = std::time::Duration::from_secs(LEASE - 10);

type Item = std::collections::HashMap<String, AttributeValue>;

fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The one update, once it is so.
async fn update(world: &World, is_so: impl Fn(&Item) -> bool) -> Item {
    world.until(async || world.items_of("update#").await.into_iter().find(&is_so)).await
}

fn is_handled(item: &Item) -> bool {
    item.contains_key("handled")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_kept_and_then_handled_and_what_it_asked_is_forgotten() {
    let world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("sendMessage", 1, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let text = ann.post_text("/help");
    let kept = update(&world, |_| true).await;
    assert!(kept.contains_key("asked") && kept.contains_key("lease_until"), "{kept:?}");
    assert_eq!(kept["undelivered"].as_s().map(String::as_str), Ok("update"));
    update(&world, |item| number(item, "deaths") == Some(1)).await;
    world.until(async || (world.telegram.calls("sendMessage") == 1).then_some(())).await;
    // Telegram is told "ok" meanwhile.
    world.soon(world.telegram.wait_for_webhook(|webhook| webhook.pending == 0, PATIENCE)).await.expect("it is told");
    world.pass(LEASE_IS_OVER);
    world.answer_by_sweep(&ann, text).await;
    let handled = update(&world, is_handled).await;
    for gone in ["asked", "asker", "chat_id", "undelivered", "lease_until", "time", "deaths"] {
        assert!(!handled.contains_key(gone), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_telegram_brings_twice_is_handled_once() {
    let world = Setup::of(2, 1).start().await;
    world.telegram.deliver_twice(true);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.answer(&ann, photo).await;
    world.all_settled().await;
    assert_eq!((world.answers(&ann).len(), world.records().await.len()), (1, 1));
    assert_eq!(world.aws.calls().count(Service::Sqs, "SendMessage"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_is_deferred_and_tried_again() {
    let world = Setup::of(1, 1).start().await;
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("PutObject"));
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    let deferred = update(&world, |item| item.contains_key("failing_since")).await;
    assert!(!deferred.contains_key("lease_until") && deferred.contains_key("asked"), "{deferred:?}");
    assert_eq!(number(&deferred, "deaths"), Some(0), "that was no death");
    broken.remove();
    assert_eq!(world.answer_by_sweep(&ann, photo).await.words(), "I see 1 stand-in.");
    update(&world, is_handled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_for_a_week_is_given_up_and_its_sender_told() {
    let world = Setup::of(1, 0).start().await;
    world.aws.faults().add(Fault::internal_error(Service::S3).operation("PutObject"));
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    update(&world, |item| item.contains_key("failing_since")).await;
    world.pass(LEASE_IS_OVER * 5100);
    assert_eq!(world.answer_by_sweep(&ann, photo).await.words(), reply::failed(reply::KEPT_FAILING));
    update(&world, is_handled).await;
    assert!(world.records().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_telegram_does_not_give_is_told_after_two_minutes() {
    let world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("download", 1000, TelegramFault::refuse(404, "Not Found"));
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    update(&world, |item| item.contains_key("failing_since")).await;
    world.pass(LEASE_IS_OVER);
    assert_eq!(world.answer_by_sweep(&ann, photo).await.words(), reply::failed(reply::GONE_REASON));
    update(&world, is_handled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_whose_polybot_dies_is_taken_over_when_its_lease_is_over() {
    let mut world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("getFile", 1, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.until(async || (world.telegram.calls("getFile") == 1).then_some(())).await;
    world.kill_polybot(0).await;
    world.add_polybot().await;
    world.pass(SWEEP);
    world.all_looked().await;
    assert_eq!(world.telegram.calls("getFile"), 1, "the lease is not over");
    world.pass(LEASE_IS_OVER);
    world.add_worker().await;
    world.answer(&ann, photo).await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_kills_three_polybots_is_given_up_by_the_fourth() {
    let mut world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("getFile", 1000, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    for deaths in 1..=3 {
        world.until(async || (world.telegram.calls("getFile") == deaths).then_some(())).await;
        world.kill_polybot(0).await;
        world.add_polybot().await;
        world.pass(LEASE_IS_OVER);
    }
    assert_eq!(world.answer(&ann, photo).await.words(), reply::failed(reply::KEPT_FAILING));
    update(&world, is_handled).await;
    assert_eq!(world.telegram.calls("getFile"), 3);
}

/// Its own waiting is no death of an instance: each of the first is held for as long as an update may take.
#[tokio::test(flavor = "multi_thread")]
async fn photos_that_wait_for_others_of_their_chat_for_many_leases_are_done() {
    const SLOW: usize = 6;
    let world = Setup::of(1, 1).start().await;
    world.telegram.fail_next("getFile", SLOW, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let photos: Vec<i32> = (0..SLOW + 2).map(|_| ann.post_photo(jpeg(), None)).collect();
    let kept = async || world.items_of("update#").await;
    world.until(async || (kept().await.len() == photos.len()).then_some(())).await;
    for slow in 1..=SLOW {
        world.until(async || (world.telegram.calls("getFile") == slow).then_some(())).await;
        let begun = kept().await.iter().filter(|update| number(update, "deaths") > Some(0)).count();
        assert!(begun <= 1, "only what is worked on may be what kills an instance: {begun}");
        world.all_looked().await;
        world.pass(LEASE_IS_OVER);
    }
    world.in_the_end(async || world.is_settled().await.then_some(())).await;
    let answers = world.answers(&ann);
    assert!(answers.iter().all(|answer| answer.words() == "I see 1 stand-in."), "{answers:?}");
    assert_eq!(answers.len(), photos.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_alone_what_its_own_polybot_has_queued() {
    let world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("getFile", 2, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let photos = [(); 3].map(|()| ann.post_photo(jpeg(), None));
    let last = format!(r#""message_id":{},"#, photos[2]);
    let is_last =
        |update: &Item| update.get("asked").is_some_and(|asked| asked.as_s().is_ok_and(|it| it.contains(&last)));
    let lease = async || number(&update(&world, is_last).await, "lease_until").expect("it is held");
    let held_until = lease().await;
    world.until(async || (world.telegram.calls("getFile") == 1).then_some(())).await;
    world.pass(NEARLY_A_LEASE);
    world.until(async || (world.telegram.calls("getFile") == 2).then_some(())).await;
    world.pass(SWEEP);
    assert!(world.clock.now().as_secs() > held_until);
    world.all_looked().await;
    assert_eq!(lease().await, held_until);
}

/// More than may wait in memory: what is beyond waits in the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_chat_is_answered_to_the_last_and_holds_nobody() {
    const TEXTS: usize = 210;
    let world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("getFile", 1, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    ann.post_photo(jpeg(), Some("invert"));
    for _ in 0..TEXTS {
        ann.post_text("/privacy");
    }
    let is_kept = async || (world.items_of("update#").await.len() == 1 + TEXTS).then_some(());
    world.until(is_kept).await;
    let ben = world.telegram.user("Ben");
    let asked = ben.post_text("/help");
    world.answer(&ben, asked).await;
    world.in_the_end(async || world.is_settled().await.then_some(())).await;
    assert_eq!(world.answers(&ann).len(), 1 + TEXTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_given_once_after_other_failures_is_asked_for_again() {
    let world = Setup::of(1, 1).start().await;
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("PutObject"));
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    update(&world, |item| item.contains_key("failing_since")).await;
    world.telegram.fail_next("download", 1, TelegramFault::refuse(404, "Not Found"));
    broken.remove();
    world.pass(5 * LEASE_IS_OVER);
    let is_asked_again = |item: &Item| item.contains_key("gone_since") || is_handled(item);
    world.in_the_end(async || world.items_of("update#").await.into_iter().find(is_asked_again)).await;
    assert_eq!(world.answer_by_sweep(&ann, photo).await.words(), "I see 1 stand-in.");
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

/// Where a polybot can die with a photo in hand.
#[derive(Clone, Copy, Debug)]
enum Point {
    Telegram(&'static str, fn() -> TelegramFault),
    Aws(Service, &'static str),
}

async fn dies_at(point: Point) {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = match point {
        Point::Telegram(method, fault) => {
            world.telegram.fail_next(method, 1, fault());
            let photo = ann.post_photo(jpeg(), None);
            world.until(async || (world.telegram.calls(method) > 0).then_some(())).await;
            photo
        }
        Point::Aws(service, operation) => {
            let stuck = Fault::new(Action::Delay(PATIENCE)).on(service).operation(operation).times(1);
            let stuck = world.aws.faults().add(stuck);
            let photo = ann.post_photo(jpeg(), None);
            world.soon(stuck.fired_at_least(1)).await;
            photo
        }
    };
    world.kill_polybot(0).await;
    world.aws.faults().clear();
    world.add_polybot().await;
    world.add_worker().await;
    world.pass(LEASE_IS_OVER);
    let answer = world.answer(&ann, photo).await;
    assert_eq!(answer.words(), "I see 1 stand-in.", "{point:?}");
    world.all_settled().await;
    assert_eq!((world.answers(&ann).len(), world.records().await.len()), (1, 1), "{point:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_polybot_dies_a_photo_is_answered_once() {
    let points = [
        Point::Telegram("getFile", || TelegramFault::Hold),
        Point::Telegram("download", || TelegramFault::Hold),
        Point::Aws(Service::S3, "PutObject"),
        Point::Aws(Service::DynamoDb, "PutItem"),
        Point::Aws(Service::Sqs, "SendMessage"),
        Point::Telegram("sendMessage", || TelegramFault::Hold),
        Point::Telegram("sendMessage", || TelegramFault::HoldAnswer),
    ];
    let mut dying = tokio::task::JoinSet::new();
    for point in points {
        dying.spawn(dies_at(point));
    }
    dying.join_all().await;
}
