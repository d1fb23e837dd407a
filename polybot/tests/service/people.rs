//! Updates as people and their apps really make them.

use polybot::reply;
use serde_json::{Value, json};
use telegram_sandbox::{EventKind, Fault, Post, SandboxOptions};

use crate::harness::{Bot, Setup, bot, jpeg};

/// A photo as Telegram shows it in a message.
fn photo_sizes(bot: &Bot) -> Value {
    let (small, large) = (bot.telegram.keep_file(jpeg(9, 6)), bot.telegram.keep_file(jpeg(90, 60)));
    json!([
        {"file_id": small, "file_unique_id": "s", "width": 9, "height": 6, "file_size": 900},
        {"file_id": large, "file_unique_id": "l", "width": 90, "height": 60, "file_size": 1000},
    ])
}

/// A message in a group, by Ann.
fn in_group(chat_id: i64, message_id: i32, more: Value) -> Value {
    let mut message = json!({
        "message_id": message_id, "date": 1_795_633_268,
        "chat": {"id": chat_id, "type": "group", "title": "G"},
        "from": {"id": 303, "is_bot": false, "first_name": "Ann"},
    });
    for (field, value) in more.as_object().expect("fields") {
        message[field] = value.clone();
    }
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_as_the_group_or_as_a_channel_is_answered() {
    let bot = bot(Setup::default()).await;
    bot.work();
    let anonymous = json!({
        "from": {"id": 1_087_968_824, "is_bot": true, "first_name": "Group", "username": "GroupAnonymousBot"},
        "sender_chat": {"id": -201, "type": "group", "title": "G"},
        "photo": photo_sizes(&bot), "caption": "@polybot_sandbox_bot predict",
    });
    let message = in_group(-201, 3, anonymous);
    bot.telegram.bring(json!({"message": message}));
    let answer = bot.answer_in(-201, 3).await;
    assert_eq!(answer.words(), "I see 1 bus.");
    // With a button, too.
    let mut shown = in_group(-201, answer.message_id, json!({"photo": photo_sizes(&bot)}));
    shown["from"] = json!({"id": 7_000_000_001_i64, "is_bot": true, "username": "polybot_sandbox_bot"});
    shown["reply_to_message"] = message;
    let press = json!({"id": "4200", "from": {"id": 303, "is_bot": false}, "message": shown, "data": "filter invert"});
    bot.telegram.bring(json!({"callback_query": press}));
    let is_inverted = |message: &telegram_sandbox::ChatMessage| message.words() == "invert";
    bot.telegram.wait_for_message(is_inverted, crate::harness::PATIENCE).await.expect("the filter's result");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_changes_nothing_is_not_answered_again() {
    let bot = bot(Setup::default()).await;
    let ann = bot.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(40, 30), Some("invert"));
    bot.answer(&ann, photo).await;
    ann.react(photo).expect("reacted");
    ann.react(photo).expect("reacted");
    ann.edit_text(photo, "grayscale").expect("edited");
    ann.react(photo).expect("reacted");
    let last = ann.post_text("/help");
    assert_eq!(bot.answer(&ann, last).await.words(), reply::help(true));
    let words: Vec<_> = bot.answers(ann.chat_id()).into_iter().map(|answer| answer.words().to_owned()).collect();
    assert_eq!(words, ["invert", "grayscale", &reply::help(true)]);
    // An album is done once; that is said.
    let ben = bot.telegram.user("Ben");
    let album = ben.post_album([Post::photo(jpeg(40, 30)).caption("concat"), Post::photo(jpeg(50, 30))]);
    bot.answer(&ben, album[0]).await;
    ben.react(album[0]).expect("reacted");
    ben.edit_text(album[0], "concat vertical").expect("edited");
    let is_said = |message: &telegram_sandbox::ChatMessage| message.words() == reply::ALBUM_IS_CLOSED;
    bot.telegram.wait_for_message(is_said, crate::harness::PATIENCE).await.expect("said");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_album_every_parts_caption_counts_and_what_can_not_be_read_is_said_once() {
    let bot = bot(Setup::default()).await;
    let group = bot.telegram.group("Friends");
    let ann = bot.telegram.user("Ann").in_chat(group);
    let ids = ann.post_album([
        Post::video(b"mp4".to_vec()).caption("@polybot_sandbox_bot invert"),
        Post::photo(jpeg(40, 30)),
        Post::photo(jpeg(50, 30)).caption("look at this"),
    ]);
    let first = bot.answer(&ann, ids[0]).await;
    assert_eq!(first.words(), reply::left_out(&["a video".into()]));
    let is_picture = |message: &telegram_sandbox::ChatMessage| message.chat_id == group && message.photo().is_some();
    let pictures = bot.telegram.wait_for_message(is_picture, crate::harness::PATIENCE).await.expect("the photos");
    assert!(pictures.media_group.is_some());
    // Without a word for the bot it is passed over.
    let silent = ann.post_album([Post::video(b"mp4".to_vec()), Post::photo(jpeg(40, 30))]);
    bot.all_done().await;
    assert!(silent.iter().all(|id| bot.telegram.replies_to(group, *id).is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_are_found_wherever_they_stand_and_others_commands_are_not_ours() {
    let bot = bot(Setup::default()).await;
    let mut expected = Vec::new();
    let captions = [
        ("(@polybot_sandbox_bot) invert", true),
        ("@polybot_sandbox_bot😀 invert", true),
        ("invert,@polybot_sandbox_bot;", true),
        ("/invert", true),
        ("@polybot_sandbox_bot2 invert", false),
        ("invert", false),
        ("/ban spammer", false),
    ];
    for (number, (caption, is_answered)) in captions.into_iter().enumerate() {
        let (chat_id, message_id) = (-310 - number as i64, 15 + number as i32);
        let message = in_group(chat_id, message_id, json!({"photo": photo_sizes(&bot), "caption": caption}));
        bot.telegram.bring(json!({"message": message}));
        expected.push((chat_id, message_id, caption, is_answered));
    }
    let ban = in_group(
        -303,
        12,
        json!({"text": "/ban spammer", "entities": [{"type": "bot_command", "offset": 0, "length": 4}]}),
    );
    bot.telegram.bring(json!({"message": ban}));
    expected.push((-303, 12, "/ban spammer", false));
    for &(chat_id, message_id, caption, _) in expected.iter().filter(|expected| expected.3) {
        assert!(bot.answer_in(chat_id, message_id).await.photo().is_some(), "{caption}");
    }
    bot.all_done().await;
    for (chat_id, _, caption, _) in expected.into_iter().filter(|expected| !expected.3) {
        assert!(bot.answers(chat_id).is_empty(), "{caption}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_a_chat_is_not_answered() {
    let bot = bot(Setup::default()).await;
    let happenings = [
        json!({"pinned_message": {"message_id": 1, "text": "x"}}),
        json!({"message_auto_delete_timer_changed": {"message_auto_delete_time": 86_400}}),
        json!({"chat_background_set": {"type": {}}}),
        json!({"new_chat_members": [{"id": 5, "is_bot": false, "first_name": "B"}]}),
        json!({"something_of_a_version_to_come": {}}),
    ];
    for (number, happening) in happenings.into_iter().enumerate() {
        let mut message = in_group(900 + number as i64, 14, happening);
        message["chat"] = json!({"id": 900 + number, "type": "private", "first_name": "Ann"});
        bot.telegram.bring(json!({"message": message}));
    }
    bot.all_done().await;
    assert!((900..905).all(|chat_id| bot.answers(chat_id).is_empty()));
    assert!(bot.has_logged("message_not_understood"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_api_to_come_breaks_nothing() {
    let bot = bot(Setup::default()).await;
    bot.work();
    bot.telegram.be_newer(true);
    let ann = bot.telegram.user("Ann");
    for (caption, words) in [(None, "I see 1 bus."), (Some("invert"), "invert")] {
        let photo = ann.post_photo(jpeg(40, 30), caption);
        assert_eq!(bot.answer(&ann, photo).await.words(), words);
        let answers = bot.telegram.replies_to(ann.chat_id(), photo);
        assert_eq!(answers.iter().filter(|answer| answer.photo().is_some()).count(), 1, "sent once");
    }
    let entity = json!([{"type": "date_time", "offset": 8, "length": 8, "unix_time": 1_790_000_000}]);
    let message = in_group(
        -104,
        5,
        json!({
            "photo": photo_sizes(&bot), "caption": "/predict tomorrow", "caption_entities": entity,
        }),
    );
    bot.telegram.bring(json!({"message": message}));
    assert!(
        bot.answer_in(-104, 5).await.words().contains("tomorrow"),
        "its caption is understood, and refused in words"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_transparent_lies_on_white() {
    let bot = bot(Setup::default()).await;
    let drawing = image::RgbaImage::from_fn(60, 40, |x, _| image::Rgba([0, 0, 0, if x < 30 { 255 } else { 0 }]));
    let mut png = std::io::Cursor::new(Vec::new());
    drawing.write_to(&mut png, image::ImageFormat::Png).expect("encode");
    let ann = bot.telegram.user("Ann");
    let photo = ann.post_document(png.into_inner(), "silhouette.png", Some("grayscale"));
    let answer = bot.answer(&ann, photo).await;
    let shown = image::load_from_memory(answer.photo().expect("a photo")).expect("an image").to_rgb8();
    assert!(shown.get_pixel(5, 20)[0] < 30 && shown.get_pixel(55, 20)[0] > 225);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_groups_tell_little_says_so() {
    let sandbox = SandboxOptions { privacy_mode: true, ..SandboxOptions::default() };
    let bot = bot(Setup { sandbox, ..Setup::default() }).await;
    let ann = bot.telegram.user("Ann");
    let start = ann.post_text("/start");
    let words = bot.answer(&ann, start).await.words().to_owned();
    assert!(words.contains("/setprivacy"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn less_is_asked_for_and_given() {
    let bot = bot(Setup::default()).await;
    bot.work();
    let ask = async |caption: &str| {
        let user = bot.telegram.user(caption);
        let photo = user.post_photo(jpeg(40, 30), Some(caption));
        bot.answer(&user, photo).await
    };
    // The test's worker finds one bus, 90 % sure, as far as it is wanted.
    assert_eq!(ask("predict dogs and buses 60%").await.words(), "I see 1 bus.");
    let none = ask("predict person dog 60%").await;
    assert_eq!(none.words(), "I see no person or dog in this photo that I am 60 % sure of.");
    let count = ask("count").await;
    assert_eq!((count.words(), count.photo()), ("I see 1 bus.", None));
    let blurred = ask("blur bus").await;
    assert!(blurred.words() == "I blurred 1 bus." && blurred.photo().is_some());
    let nothing = ask("crop people").await;
    assert_eq!((nothing.words(), nothing.photo()), ("I see no person in this photo, so nothing is cut out.", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_be_forgotten_is() {
    let bot = bot(Setup::default().setting("IMAGE_DAYS", "7")).await;
    let ann = bot.telegram.user("Ann");
    let asked = ann.post_text("/privacy");
    let privacy = bot.answer(&ann, asked).await.words().to_owned();
    assert!(privacy.contains("for 7 days") && privacy.contains("for 30 days"), "{privacy}");

    // One that is answered and one that waits for a worker; somebody else's stays.
    bot.work();
    let photo = ann.post_photo(jpeg(40, 30), None);
    bot.answer(&ann, photo).await;
    let group = bot.telegram.group("Friends");
    let in_group = ann.in_chat(group).post_photo(jpeg(40, 30), Some("/predict"));
    bot.answer_in(group, in_group).await;
    let ben = bot.telegram.user("Ben");
    let other = ben.post_photo(jpeg(40, 30), None);
    bot.answer(&ben, other).await;
    let kept = async |person: i64| bot.predictions.belongings(person, None, None).await.expect("a scan").0.len();
    assert!(kept(ann.id()).await >= 2);

    let asked = ann.in_chat(group).post_text("/forget");
    let said = bot.answer_in(group, asked).await.words().to_owned();
    assert_eq!(said, reply::forgotten(true));
    assert!(kept(ann.id()).await >= 1, "what was sent elsewhere stays");
    let asked = ann.post_text("/forget");
    let said = bot.answer(&ann, asked).await.words().to_owned();
    assert_eq!(said, reply::forgotten(false));
    assert_eq!(bot.stored_images().await, 2, "Ben's photo and its result");
    assert!(kept(ben.id()).await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_while_it_waits_is_not_done_any_more() {
    let bot = bot(Setup::default()).await;
    let ann = bot.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(40, 30), None);
    let is_status = |message: &telegram_sandbox::ChatMessage| message.words() == reply::BEING_PROCESSED;
    bot.telegram.wait_for_message(is_status, crate::harness::PATIENCE).await.expect("told to wait");
    let asked = ann.post_text("/forget");
    bot.answer(&ann, asked).await;
    let is_removal = |event: &telegram_sandbox::Event| matches!(event.kind, EventKind::Deleted { .. });
    bot.telegram.wait_for(is_removal, crate::harness::PATIENCE).await.expect("nobody is told to wait any more");
    let waiting = bot.queue.receive(1, std::time::Duration::from_secs(20)).await.expect("the job");
    let job = fleet::Job::from_json(&waiting[0].body).expect("a job");
    let record = bot.predictions.get(job.prediction_id).await.expect("DynamoDB answers").expect("a record is left");
    assert_eq!((record.status, record.chat_id, record.delivered_at.is_some()), (fleet::Status::Failed, 0, true));
    assert_eq!(bot.stored_images().await, 0);
    assert!(bot.telegram.replies_to(ann.chat_id(), photo).len() <= 1, "nothing but that it had to wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_after_it_is_not_forgotten_and_it_is_answered_although_telegram_fails() {
    let bot = bot(Setup::default()).await;
    bot.work();
    let ann = bot.telegram.user("Ann");
    let before = ann.post_photo(jpeg(40, 30), None);
    bot.answer(&ann, before).await;
    // All of this waits for one another in one chat; the answer fails longer than it is tried at once.
    bot.telegram.fail_next("sendMessage", 4, Fault::Drop);
    let asked = ann.post_text("/forget");
    let after = ann.post_photo(jpeg(50, 30), None);
    assert_eq!(bot.answer(&ann, asked).await.words(), reply::forgotten(false));
    assert_eq!(bot.answer(&ann, after).await.words(), "I see 1 bus.");
}
