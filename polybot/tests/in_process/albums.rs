//! An album: gathered, closed, acted on, answered; taken over where a polybot dies.

use std::time::Duration;

use embedded_aws::{Action, Fault, Service};
use polybot::reply;
use serde_json::{Value, json};
use telegram_sandbox::{ChatMessage, Fault as TelegramFault, Forbidden, Post, User};

use crate::answers::complete;
use crate::support::{LEASE_IS_OVER, PATIENCE, SWEEP, Setup, World, jpeg};

fn post(user: &User, caption: Option<&str>) -> Vec<i32> {
    let mut captions = [caption, None].into_iter();
    let photo = || {
        let photo = Post::photo(jpeg());
        match captions.next().flatten() {
            Some(caption) => photo.caption(caption),
            None => photo,
        }
    };
    user.post_album(std::iter::repeat_with(photo).take(2).collect::<Vec<_>>())
}

/// Wait until both photos are in the album.
async fn gathered(world: &World) {
    world
        .until(async || {
            let albums = world.items_of("album#").await;
            let album = albums.first()?;
            (album.keys().filter(|name| name.starts_with("photo_")).count() == 2).then_some(())
        })
        .await;
}

async fn has(world: &World, attribute: &str) {
    let is_there = async || world.items_of("album#").await.first().is_some_and(|album| album.contains_key(attribute));
    world.until(async || is_there().await.then_some(())).await;
}

/// One more photo of the one album, brought by Telegram only now. Its message's number.
fn bring_late(world: &World, user: &User, media_group: &str, more: Value) -> i32 {
    const MESSAGE_ID: i32 = 900;
    let file = world.telegram.keep_file(jpeg());
    let mut message = json!({
        "message_id": MESSAGE_ID, "date": 1_795_633_268, "media_group_id": media_group,
        "chat": {"id": user.chat_id(), "type": if user.chat_id() < 0 { "supergroup" } else { "private" }},
        "from": {"id": user.id(), "is_bot": false, "first_name": "Ann"},
        "photo": [{"file_id": file, "file_unique_id": "u", "width": 40, "height": 30}],
    });
    for (field, value) in more.as_object().expect("fields") {
        message[field] = value.clone();
    }
    world.telegram.bring(json!({"message": message}));
    MESSAGE_ID
}

/// Telegram's name for the one album.
async fn media_group(world: &World) -> String {
    let album = world.items_of("album#").await.remove(0);
    let key = album["prediction_id"].as_s().expect("a key");
    key.rsplit_once('#').expect("album#chat#group").1.to_owned()
}

fn size(answer: &ChatMessage) -> (u32, u32) {
    let photo = image::load_from_memory(answer.photo().expect("a photo")).expect("it can be read");
    (photo.width(), photo.height())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_waits_for_nothing_else_in_its_chat() {
    let world = Setup::of(2, 0).start().await;
    world.telegram.fail_next("download", 1, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let held = ann.post_photo(jpeg(), Some("invert"));
    world.until(async || (world.telegram.calls("download") > 0).then_some(())).await;
    let captions = [Some("concat"), None, None, None];
    let album = ann.post_album(captions.map(|caption| match caption {
        Some(caption) => Post::photo(jpeg()).caption(caption),
        None => Post::photo(jpeg()),
    }));
    assert_eq!(size(&world.answer(&ann, album[0]).await), (4 * 40, 30));
    has(&world, "delivered_at").await;
    world.pass(LEASE_IS_OVER);
    world.answer_by_sweep(&ann, held).await;
    world.all_settled().await;
    let answers = world.answers(&ann);
    assert_eq!(answers.len(), 2, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_comes_too_late_for_its_album_is_done_as_the_album_asks() {
    let world = Setup::of(1, 0).start().await;
    let group = world.telegram.supergroup("G");
    let ann = world.telegram.user("Ann").in_chat(group);
    let album = post(&ann, Some("@polybot_sandbox_bot invert"));
    has(&world, "delivered_at").await;
    world.answer(&ann, album[0]).await;
    let late = bring_late(&world, &ann, &media_group(&world).await, json!({}));
    let answer = world.answer(&ann, late).await;
    assert_eq!((answer.words(), size(&answer)), ("invert", (40, 30)));
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_comes_too_late_to_be_joined_is_told_so() {
    let world = Setup::of(1, 0).start().await;
    let group = world.telegram.supergroup("G");
    let ann = world.telegram.user("Ann").in_chat(group);
    let album = post(&ann, Some("@polybot_sandbox_bot concat"));
    has(&world, "delivered_at").await;
    assert_eq!(size(&world.answer(&ann, album[0]).await), (2 * 40, 30));
    let media_group = media_group(&world).await;
    let late = bring_late(&world, &ann, &media_group, json!({}));
    assert_eq!(world.answer(&ann, late).await.words(), reply::TOO_LATE_TO_BE_JOINED);
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_for_others_becomes_the_bots_when_a_part_of_it_speaks_to_the_bot() {
    let world = Setup::of(2, 0).start().await;
    let group = world.telegram.supergroup("G");
    let ann = world.telegram.user("Ann").in_chat(group);
    let album = post(&ann, None);
    gathered(&world).await;
    // It is passed over.
    world.all_settled().await;
    assert!(world.answers(&ann).is_empty());
    let media_group = media_group(&world).await;
    bring_late(&world, &ann, &media_group, json!({"caption": "@polybot_sandbox_bot concat"}));
    assert_eq!(size(&world.answer(&ann, album[0]).await), (3 * 40, 30));
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

/// An album of three files, of which the second can't be read.
fn post_with(user: &User, unreadable: Vec<u8>, caption: &str) -> Vec<i32> {
    let file = |bytes: Vec<u8>| Post::document(bytes, "photo.jpg");
    user.post_album([file(jpeg()).caption(caption), file(unreadable), file(jpeg())])
}

const A_HEIC_IMAGE: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0";

fn second_failed(reason: &str) -> String {
    format!("2. {}", reply::failed(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_can_not_be_read_costs_a_filtered_album_no_other() {
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let album = post_with(&ann, A_HEIC_IMAGE.to_vec(), "invert");
    let answer = world.answer(&ann, album[0]).await;
    assert_eq!(answer.words(), second_failed(&reply::no_image_reason("a HEIC image")));
    world.all_settled().await;
    let answers = world.answers(&ann);
    assert_eq!(answers.iter().filter(|answer| answer.photo().is_some()).count(), 2, "{answers:?}");
    assert_eq!(answers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_can_not_be_read_is_left_out_where_an_album_is_joined() {
    let world = Setup::of(1, 0).start().await;
    // Its header can be read.
    let mut damaged = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(40, 30).write_to(&mut damaged, image::ImageFormat::Png).expect("encode");
    let mut damaged = damaged.into_inner();
    damaged.truncate(60);
    let reasons = [
        (A_HEIC_IMAGE.to_vec(), reply::no_image_reason("a HEIC image")),
        (damaged, reply::reason(&fleet::FailureReason::Damaged)),
    ];
    for (unreadable, reason) in reasons {
        let ann = world.telegram.user("Ann");
        let album = post_with(&ann, unreadable, "concat");
        let answer = world.answer(&ann, album[0]).await;
        assert_eq!((answer.words(), size(&answer)), (second_failed(&reason).as_str(), (2 * 40, 30)));
        world.all_settled().await;
        assert_eq!(world.answers(&ann).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_photo_of_an_album_can_be_read_each_is_told() {
    let world = Setup::of(1, 0).start().await;
    let reason = reply::failed(&reply::no_image_reason("a HEIC image"));
    for caption in ["invert", "concat"] {
        let ann = world.telegram.user("Ann");
        let file = || Post::document(A_HEIC_IMAGE.to_vec(), "photo.jpg");
        let album = ann.post_album([file().caption(caption), file()]);
        assert_eq!(world.answer(&ann, album[0]).await.words(), format!("1. {reason}\n2. {reason}"), "{caption}");
    }
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_photos_come_to_two_polybots_is_answered_as_one() {
    let world = Setup::of(2, 2).start().await;
    let ann = world.telegram.user("Ann");
    let album = post(&ann, None);
    let answer = world.answer(&ann, album[0]).await;
    assert!(answer.media_group.is_some());
    assert_eq!(answer.words(), "1. I see 1 stand-in.\n2. I see 1 stand-in.");
    world.nobody_waits(&ann).await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 2, "one message for each photo, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_open_until_it_is_quiet() {
    let world = Setup::of(1, 0).polybot("--album-quiet=60").start().await;
    let ann = world.telegram.user("Ann");
    let album = post(&ann, Some("invert"));
    gathered(&world).await;
    world.all_looked().await;
    assert!(!world.items_of("album#").await[0].contains_key("closed"));
    world.pass(Duration::from_secs(61));
    has(&world, "delivered_at").await;
    assert!(world.answer(&ann, album[0]).await.photo().is_some());
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_polybot_dies_before_it_is_closed_is_taken_over() {
    let mut world = Setup::of(1, 0).polybot("--album-quiet=60").start().await;
    let ann = world.telegram.user("Ann");
    let album = post(&ann, None);
    gathered(&world).await;
    world.kill_polybot(0).await;
    world.add_polybot().await;
    world.pass(2 * SWEEP);
    has(&world, "status_message_id").await;
    world.add_worker().await;
    world.answer(&ann, album[0]).await;
    has(&world, "delivered_at").await;
    // An update may have been in the album, and not marked as handled.
    world.pass(LEASE_IS_OVER);
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_polybot_dies_over_it_is_taken_over_when_its_lease_is_over() {
    let mut world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("download", 1, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let album = post(&ann, Some("concat"));
    world.until(async || (world.telegram.calls("download") > 0).then_some(())).await;
    world.kill_polybot(0).await;
    world.add_polybot().await;
    world.pass(2 * SWEEP);
    world.all_looked().await;
    assert!(world.answers(&ann).is_empty(), "the lease is not over");
    world.pass(LEASE_IS_OVER);
    assert!(world.answer(&ann, album[0]).await.photo().is_some());
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_kills_polybots_is_given_up() {
    let mut world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("download", 1000, TelegramFault::Hold);
    let ann = world.telegram.user("Ann");
    let album = post(&ann, Some("concat"));
    // By whoever closed it, and by three who took it over.
    for deaths in 1..=4 {
        world.until(async || (world.telegram.calls("download") == deaths).then_some(())).await;
        world.kill_polybot(0).await;
        world.add_polybot().await;
        world.pass(LEASE_IS_OVER);
    }
    assert_eq!(world.answer(&ann, album[0]).await.words(), reply::failed(reply::KEPT_FAILING));
    has(&world, "delivered_at").await;
    assert_eq!(world.telegram.calls("download"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_sender_can_not_be_told_is_given_up_after_a_week() {
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    world.telegram.forbid(ann.chat_id(), &[Forbidden::Texts, Forbidden::Photos, Forbidden::Documents]);
    post(&ann, Some("levitate"));
    has(&world, "failing_since").await;
    world.pass(LEASE_IS_OVER * 5100);
    has(&world, "delivered_at").await;
    world.all_settled().await;
    let measured = world.polybots[0].metrics.handle().render();
    assert!(measured.lines().any(|line| line == "polybot_updates_given_up_total 1"), "{measured}");
    assert!(world.answers(&ann).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_fails_is_deferred_and_acted_on_later() {
    let world = Setup::of(1, 1).start().await;
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("PutObject"));
    let ann = world.telegram.user("Ann");
    let album = post(&ann, None);
    has(&world, "failing_since").await;
    broken.remove();
    world.pass(2 * SWEEP);
    world.answer(&ann, album[0]).await;
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_albums_file_that_is_not_given_once_after_other_failures_is_asked_for_again() {
    let world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("sendPhoto", 1, TelegramFault::too_many_requests(600));
    let ann = world.telegram.user("Ann");
    let album = post(&ann, Some("concat"));
    has(&world, "failing_since").await;
    world.telegram.fail_next("download", 1, TelegramFault::refuse(404, "Not Found"));
    world.pass(Duration::from_secs(610));
    let is_told_or_waits = async || {
        let waits = world.items_of("album#").await.first().is_some_and(|album| album.contains_key("gone_since"));
        (waits || !world.answers(&ann).is_empty()).then_some(())
    };
    world.until(is_told_or_waits).await;
    world.pass(2 * SWEEP);
    let answer = world.answer(&ann, album[0]).await;
    assert!(answer.photo().is_some(), "{}", answer.words());
    world.all_settled().await;
}

/// More bytes than are kept between the look at the photos' sizes and the work.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_of_large_files_is_joined_though_one_has_to_be_downloaded_again() {
    let mut bmp = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(2500, 2000).write_to(&mut bmp, image::ImageFormat::Bmp).expect("encode");
    let bmp = bmp.into_inner();
    assert!(2 * bmp.len() < 40 << 20 && 3 * bmp.len() > 40 << 20);
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let album = ann.post_album([1, 2, 3].map(|number| {
        let photo = Post::document(bmp.clone(), format!("{number}.bmp"));
        if number == 1 { photo.caption("concat") } else { photo }
    }));
    has(&world, "closed").await;
    assert!(world.answer(&ann, album[0]).await.photo().is_some());
    assert_eq!(world.telegram.calls("getFile"), 4);
}

/// What does not fit under the photos follows them.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_with_much_to_say_of_is_answered_whole() {
    const CROWD: usize = 60;
    let world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let album = post(&ann, Some("predict with confidence"));
    has(&world, "status_message_id").await;
    for record in world.records().await {
        complete(&world, record.prediction_id, CROWD).await;
    }
    world.pass(2 * SWEEP);
    let shown = world.answer(&ann, album[0]).await;
    assert!(shown.media_group.is_some() && shown.words().is_empty(), "{}", shown.words());
    has(&world, "delivered_at").await;
    let answers = world.answers(&ann);
    assert_eq!(answers.iter().filter(|answer| answer.media_group.is_some()).count(), 2);
    let words: Vec<_> = answers.iter().flat_map(|answer| answer.words().lines()).collect();
    let expected = [1, 2].map(|number| {
        let first = format!("{number}. I see {CROWD} persons.");
        std::iter::once(first).chain(vec!["person: 90 %".to_owned(); CROWD])
    });
    assert_eq!(words, expected.into_iter().flatten().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_telegram_says_to_try_later_is_tried_when_that_is_and_not_before() {
    let world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("sendPhoto", 1, TelegramFault::too_many_requests(600));
    let ann = world.telegram.user("Ann");
    let album = post(&ann, Some("concat"));
    has(&world, "failing_since").await;
    for _ in 0..3 {
        world.all_looked().await;
    }
    assert_eq!(world.telegram.calls("sendPhoto"), 1);
    world.pass(Duration::from_secs(600));
    assert!(world.answer(&ann, album[0]).await.photo().is_some());
    world.all_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joined_album_is_sent_once_where_dynamodb_throttles_what_says_that_it_was_sent() {
    let world = Setup::of(1, 0).polybot("--album-quiet=60").start().await;
    let ann = world.telegram.user("Ann");
    world.telegram.fail_next("sendPhoto", 1, TelegramFault::Drop);
    let album = post(&ann, Some("concat"));
    gathered(&world).await;
    world.all_handled().await;
    world.pass(Duration::from_secs(61));
    // The clock stands still from here, and with it whoever waits to send it again.
    let is_tried = async {
        while world.telegram.calls("sendPhoto") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_tried).await.expect("it is sent");
    // As often as the SDK tries.
    let throttled = Fault::throttled(Service::DynamoDb).operation("UpdateItem").times(4);
    let throttled = world.aws.faults().add(throttled);
    world.answer(&ann, album[0]).await;
    world.soon(throttled.fired_at_least(4)).await;
    world.pass(2 * SWEEP);
    world.all_looked().await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_albums_answer_that_telegram_does_not_take_is_deferred_and_sent_later() {
    let world = Setup::of(1, 1).start().await;
    world.telegram.fail_next("sendMediaGroup", 1000, TelegramFault::Drop);
    let ann = world.telegram.user("Ann");
    let album = post(&ann, None);
    has(&world, "untold_since").await;
    world.telegram.fail_no_more("sendMediaGroup");
    for _ in 0..3 {
        world.pass(SWEEP);
    }
    world.answer(&ann, album[0]).await;
    world.all_settled().await;
    assert_eq!(world.answers(&ann).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_whose_polybot_dies_before_it_sends_is_answered_by_another() {
    let mut world = Setup::of(1, 0).start().await;
    let ann = world.telegram.user("Ann");
    let album = post(&ann, None);
    has(&world, "status_message_id").await;
    // The workers' two pass; the polybot that is called back gets stuck.
    world.add_worker().await;
    let stuck = Fault::new(Action::Delay(PATIENCE)).on(Service::S3).operation("GetObject");
    world.until(async || (world.aws.calls().count(Service::S3, "GetObject") >= 2).then_some(())).await;
    let stuck = world.aws.faults().add(stuck);
    world.pass(2 * SWEEP);
    let is_stuck = async || (stuck.fired() > 0 || !world.answers(&ann).is_empty()).then_some(());
    world.until(is_stuck).await;
    world.kill_polybot(0).await;
    stuck.remove();
    world.add_polybot().await;
    world.pass(LEASE_IS_OVER);
    world.answer(&ann, album[0]).await;
    world.pass(LEASE_IS_OVER);
    world.all_settled().await;
    world.nobody_waits(&ann).await;
}
