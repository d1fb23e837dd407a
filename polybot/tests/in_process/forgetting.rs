//! `/forget`: what is left of a photo is a tombstone, wherever the photo is at that moment.

use aws_sdk_dynamodb::types::AttributeValue::S;
use std::time::Duration;

use embedded_aws::{Action, Fault, Service};
use polybot::reply;
use telegram_sandbox::Fault as TelegramFault;

use crate::support::{LEASE_IS_OVER, PATIENCE, SWEEP, Setup, World, jpeg};

async fn nothing_is_left(world: &World) {
    world.all_settled().await;
    world.until(async || (world.objects().await == 0).then_some(())).await;
    assert!(world.records().await.iter().all(fleet::Prediction::is_forgotten), "{:?}", world.records().await);
}

async fn forget(world: &World, user: &telegram_sandbox::User) -> String {
    let asked = user.post_text("/forget");
    world.answer(user, asked).await.words().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_was_answered_becomes_a_tombstone() {
    let world = Setup::default().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.answer(&ann, photo).await;
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    let said = forget(&world, &ann).await;
    assert_eq!(said, reply::forgotten(false));
    nothing_is_left(&world).await;
    assert_eq!(world.records().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_waits_for_a_worker_is_not_done_any_more() {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status_message_id.is_some()).await;
    let said = forget(&world, &ann).await;
    assert_eq!(said, reply::forgotten(false));
    world.nobody_waits(&ann).await;
    world.add_worker().await;
    nothing_is_left(&world).await;
    assert_eq!(world.answers(&ann).len(), 1, "only what /forget says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_a_worker_is_looking_at_leaves_nothing() {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    let record = world.record(&ann, photo, |record| record.status_message_id.is_some()).await;
    // The worker comes as far as its result.
    let slow = Fault::new(Action::Delay(std::time::Duration::from_millis(500))).on(Service::S3).operation("PutObject");
    let slow = world.aws.faults().add(slow.times(1));
    world.add_worker().await;
    world.soon(slow.fired_at_least(1)).await;
    let said = forget(&world, &ann).await;
    assert_eq!(said, reply::forgotten(false));
    nothing_is_left(&world).await;
    let left = world.records().await;
    assert_eq!(left.iter().map(|left| left.prediction_id).collect::<Vec<_>>(), [record.prediction_id]);
    assert_eq!(world.answers(&ann).len(), 1, "only what /forget says");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_is_acted_on_while_it_is_forgotten_leaves_nothing() {
    let world = Setup::of(1, 0).polybot("--album-quiet=60").start().await;
    let ann = world.telegram.user("Ann");
    ann.post_album([0, 1].map(|_| telegram_sandbox::Post::photo(jpeg())));
    let has_both = async || {
        let album = world.items_of("album#").await.pop()?;
        (album.keys().filter(|name| name.starts_with("photo_")).count() == 2).then_some(())
    };
    world.until(has_both).await;
    world.all_handled().await;
    let slow = |seconds, service, operation: &str| {
        let fault = Fault::new(Action::Delay(Duration::from_secs(seconds))).on(service).operation(operation);
        world.aws.faults().add(fault.times(1))
    };
    // The album was found before its photos have ids, is closed before it is deleted, and its photos are stored after that.
    let deleting = slow(2, Service::DynamoDb, "DeleteItem");
    let storing = slow(4, Service::S3, "PutObject");
    let asked = ann.post_text("/forget");
    world.soon(deleting.fired_at_least(1)).await;
    world.pass(Duration::from_secs(61));
    world.soon(storing.fired_at_least(1)).await;
    world.answer(&ann, asked).await;
    // One is stored after the other.
    world.until(async || (world.aws.calls().count(Service::S3, "PutObject") == 2).then_some(())).await;
    nothing_is_left(&world).await;
    assert_eq!(world.answers(&ann).len(), 1, "only what /forget says");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_of_an_album_that_is_being_forgotten() {
    let mut world = Setup::of(1, 0).without_callback().start().await;
    let ann = world.telegram.user("Ann");
    ann.post_album([0, 1].map(|_| telegram_sandbox::Post::photo(jpeg())));
    let is_queued = async || world.items_of("album#").await.first()?.get("status_message_id").map(|_| ());
    world.until(is_queued).await;
    world.add_worker().await;
    let is_done = |record: &fleet::Prediction| record.status == fleet::Status::Done;
    world.until(async || (world.records().await.iter().filter(|it| is_done(it)).count() == 2).then_some(())).await;
    // It begins, and comes to no end.
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("DeleteObject"));
    let asked = ann.post_text("/forget");
    world.until(async || world.items_of("album#").await.is_empty().then_some(())).await;
    world.pass(2 * SWEEP);
    world.all_looked().await;
    assert!(world.answers(&ann).is_empty(), "{:?}", world.answers(&ann));
    broken.remove();
    world.answer_by_sweep(&ann, asked).await;
    nothing_is_left(&world).await;
    assert_eq!(world.answers(&ann).len(), 1, "only what /forget says");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_it_is_true_also_if_it_is_done_again() {
    let world = Setup::default().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.answer(&ann, photo).await;
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    world.telegram.fail_next("sendMessage", 1, TelegramFault::Drop);
    assert_eq!(forget(&world, &ann).await, reply::forgotten(false));
    nothing_is_left(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_not_be_forgotten_for_a_week_hears_it() {
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status_message_id.is_some()).await;
    world.aws.faults().add(Fault::internal_error(Service::S3).operation("DeleteObject"));
    let asked = ann.post_text("/forget");
    let updates = async || world.items_of("update#").await.into_iter();
    let is_deferred = async || updates().await.any(|update| update.contains_key("failing_since")).then_some(());
    world.until(is_deferred).await;
    world.pass(LEASE_IS_OVER * 5100);
    assert_eq!(world.answer_by_sweep(&ann, asked).await.words(), reply::NOT_FORGOTTEN);
}

/// Fill the table with what is nobody's. Returns in how many pages it is read then.
async fn fill(world: &World) -> u64 {
    let (dynamodb, table) = (&world.resources.dynamodb, crate::support::resources::TABLE);
    for number in 0..12 {
        let put = dynamodb.put_item().table_name(table).item("prediction_id", S(format!("filler#{number}")));
        put.item("filler", S("x".repeat(350_000))).send().await.expect("stored");
    }
    let mut pages = dynamodb.scan().table_name(table).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        page.expect("a page");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_through_a_large_table_goes_on_where_the_last_polybot_came_to() {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status_message_id.is_some()).await;
    let pages = fill(&world).await;
    let scans = || world.aws.calls().count(Service::DynamoDb, "Scan");
    let before = scans();
    let slow = Fault::new(Action::Delay(std::time::Duration::from_millis(300))).on(Service::DynamoDb).operation("Scan");
    let slow = world.aws.faults().add(slow);
    let asked = ann.post_text("/forget");
    // Two pages are behind it.
    world.until(async || (scans() >= before + 3).then_some(())).await;
    world.kill_polybot(0).await;
    slow.remove();
    let killed_at = world.aws.calls().count(Service::DynamoDb, "Scan");
    world.add_polybot().await;
    world.pass(LEASE_IS_OVER);
    assert_eq!(world.answer(&ann, asked).await.words(), reply::forgotten(false));
    let again = world.aws.calls().count(Service::DynamoDb, "Scan") - killed_at;
    assert!(pages > 3 && again <= 2 * pages - 2, "{again} looks at {pages} pages");
    assert_eq!(world.objects().await, 0);
}

/// Whoever took it died between the photo and its record, and nobody will come that far any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_has_no_record_yet_leaves_nothing() {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let stuck = Fault::new(Action::Delay(PATIENCE)).on(Service::DynamoDb).operation("PutItem").times(1);
    let stuck = world.aws.faults().add(stuck);
    ann.post_photo(jpeg(), None);
    world.soon(stuck.fired_at_least(1)).await;
    assert_eq!(world.objects().await, 1);
    world.kill_polybot(0).await;
    stuck.remove();
    world.add_polybot().await;
    assert_eq!(forget(&world, &ann).await, reply::forgotten(false));
    nothing_is_left(&world).await;
}

/// A fingerprint of its caption is kept, so that a reaction is not taken for a corrected one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_photo_asked_is_forgotten_and_a_reaction_brings_nothing_back() {
    let world = Setup::default().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), Some("predict"));
    world.answer(&ann, photo).await;
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    assert!(world.items_of("message#").await[0].contains_key("fingerprint"));
    assert_eq!(forget(&world, &ann).await, reply::forgotten(false));
    let message = world.items_of("message#").await.remove(0);
    let mut left: Vec<_> = message.keys().map(String::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["expires_at", "forgotten", "prediction_id"]);
    let jobs = world.aws.calls().count(Service::Sqs, "SendMessage");
    ann.react(photo).expect("her message");
    let text = ann.post_text("/help");
    world.answer(&ann, text).await;
    nothing_is_left(&world).await;
    assert_eq!(world.aws.calls().count(Service::Sqs, "SendMessage"), jobs);
}
