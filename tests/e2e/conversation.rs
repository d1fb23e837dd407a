//! What a person can say to the bot and what it answers, through the real polybot (two of them where it matters) and,
//! where a photo is detected, a real worker.

use std::collections::BTreeMap;

use image::{GenericImageView, Rgb, RgbImage};
use local::{LocalFleet, Options};
use polybot::command::{self, Command, TABLE};
use polybot::reply;
use telegram_sandbox::{ChatMessage, EventKind, Fault, Post, RateLimits, User};

use crate::support::{PATIENCE, answer, options, photo, stack};

/// A photo of one colour, as PNG.
fn plain(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb(colour)).write_to(&mut png, image::ImageFormat::Png).expect("encode");
    png.into_inner()
}

/// The bot without workers: for all that it does by itself.
async fn bots(polybots: usize) -> LocalFleet {
    stack(Options { polybots, workers: 0, ..options() }).await
}

/// What the user gets for a photo with this caption.
async fn asked(stack: &LocalFleet, user: &User, caption: &str) -> ChatMessage {
    let message_id = user.post_photo(photo("chelsea.png"), Some(caption));
    answer(stack, user, message_id).await
}

#[tokio::test]
async fn every_filter_answers_with_a_changed_photo() {
    let stack = bots(1).await;
    let original = image::load_from_memory(&photo("chelsea.png")).expect("an image");
    let filters = TABLE.iter().filter(|entry| matches!(entry.example.1, Command::Filter(_)));
    let mut tried = 0;
    for entry in filters {
        let (caption, command) = entry.example;
        // One user each: Telegram takes one message a second in one chat.
        let user = stack.telegram.user(entry.name);
        let answer = asked(&stack, &user, caption).await;
        let changed = answer.photo().unwrap_or_else(|| panic!("{caption}: {}", answer.words()));
        let changed = image::load_from_memory(changed).expect("an image");
        let (width, height) = original.dimensions();
        let turned = matches!(changed.dimensions(), size if size == (height, width));
        assert!(turned || changed.dimensions() == (width, height), "{caption}: {:?}", changed.dimensions());
        assert_ne!(changed.to_rgb8(), original.to_rgb8(), "{caption}");
        assert_eq!(answer.words(), command.to_string(), "{caption}");
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
    stack.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_told_exactly() {
    let stack = bots(1).await;
    for caption in ["blurr", "blur 200", "blur much", "rotate 45", "levitate", "concat vertical left-to-right"] {
        let expected = reply::caption_error(&command::caption(Some(caption)).expect_err(caption));
        let user = stack.telegram.user(caption);
        assert_eq!(asked(&stack, &user, caption).await.words(), expected);
    }
    let ada = stack.telegram.user("Ada");
    assert_eq!(asked(&stack, &ada, "concat").await.words(), reply::CONCAT_NEEDS_AN_ALBUM);
    let posts = [
        (Post::document(b"\0\0\0\x18ftypheic".to_vec(), "photo.heic"), "a HEIC image"),
        (Post::document(b"%PDF-1.7".to_vec(), "paper.pdf"), "a file that is no image"),
        (Post::sticker(b"RIFF".to_vec()), "a sticker"),
        (Post::voice(b"OggS".to_vec()), "a sound"),
    ];
    for (number, (post, what)) in posts.into_iter().enumerate() {
        let user = stack.telegram.user(&format!("user {number}"));
        let message_id = user.post(post);
        assert_eq!(answer(&stack, &user, message_id).await.words(), reply::not_an_image(what));
    }
    let broken = stack.telegram.user("broken");
    let message_id = broken.post_photo(b"no photo at all".to_vec(), Some("blur"));
    let words = answer(&stack, &broken, message_id).await;
    assert!(words.words().contains("not an image"), "{}", words.words());
    stack.stop().await;
}

#[tokio::test]
async fn documents_and_confidences_and_corrected_captions() {
    let stack = stack(options()).await;
    let ada = stack.telegram.user("Ada");
    let message_id = ada.post_document(photo("chelsea.png"), "chelsea.png", Some("predict confidence"));
    let words = answer(&stack, &ada, message_id).await;
    assert!(words.words().starts_with("I see 1 cat.\ncat: 8"), "{}", words.words());

    let ben = stack.telegram.user("Ben");
    let message_id = ben.post_photo(photo("chelsea.png"), Some("predit"));
    assert!(answer(&stack, &ben, message_id).await.photo().is_none());
    ben.edit_text(message_id, "predict").expect("edited");
    let chat_id = ben.chat_id();
    let is_answer = |message: &ChatMessage| {
        message.chat_id == chat_id && message.reply_to == Some(message_id) && message.photo().is_some()
    };
    let words = stack.telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer");
    assert_eq!(words.words(), "I see 1 cat.");
    stack.stop().await;
}

#[tokio::test]
async fn in_a_group_only_who_speaks_to_the_bot_is_answered() {
    let stack = bots(1).await;
    let group = stack.telegram.group("Friends");
    let ada = stack.telegram.user("Ada").in_chat(group);
    let silent =
        [ada.post_text("hello"), ada.post_photo(photo("chelsea.png"), Some("blur")), ada.post_text("/help@other_bot")];
    let spoken = ada.post_text("/help@polybot_sandbox_bot");
    // Updates of one chat come in order: when this is answered, the others were passed over.
    assert_eq!(answer(&stack, &ada, spoken).await.words(), reply::help(true));
    for message_id in silent {
        assert!(stack.telegram.replies_to(group, message_id).is_empty());
    }
    stack.stop().await;
}

#[tokio::test]
async fn buttons_work_on_any_instance() {
    let stack = bots(2).await;
    let ada = stack.telegram.user("Ada");
    let message_id = ada.post_photo(photo("chelsea.png"), Some("invert"));
    let result = answer(&stack, &ada, message_id).await;
    let data = |message: &ChatMessage, text: &str| {
        message
            .button(text)
            .and_then(|button| button.callback_data.clone())
            .unwrap_or_else(|| panic!("no button {text}"))
    };
    // The original as a file, byte by byte.
    ada.press_button(result.message_id, &data(&result, "Original file")).expect("pressed");
    let is_document = |message: &ChatMessage| message.reply_to == Some(message_id) && message.document().is_some();
    let document = stack.telegram.wait_for_message(is_document, PATIENCE).await.expect("the original");
    assert_eq!(document.document().expect("a document").to_vec(), photo("chelsea.png"));
    // The menu, then another filter from it on the same photo.
    ada.press_button(result.message_id, &data(&result, "Another filter…")).expect("pressed");
    let id = result.message_id;
    let is_menu = |message: &ChatMessage| message.message_id == id && message.button("grayscale").is_some();
    let menu = stack.telegram.wait_for_message(is_menu, PATIENCE).await.expect("the menu");
    ada.press_button(menu.message_id, &data(&menu, "grayscale")).expect("pressed");
    let is_gray = |message: &ChatMessage| message.reply_to == Some(message_id) && message.words() == "grayscale";
    let gray = stack.telegram.wait_for_message(is_gray, PATIENCE).await.expect("the filtered photo");
    let gray = image::load_from_memory(gray.photo().expect("a photo")).expect("an image").to_rgb8();
    assert!(gray.pixels().all(|pixel| pixel[0].abs_diff(pixel[1]) < 8 && pixel[1].abs_diff(pixel[2]) < 8));
    stack.stop().await;
}

#[tokio::test]
async fn an_update_brought_twice_is_handled_once() {
    let stack = bots(2).await;
    stack.telegram.deliver_twice(true);
    let users: Vec<_> = (0..10).map(|number| stack.telegram.user(&format!("user {number}"))).collect();
    let sent: Vec<_> = users.iter().map(|user| (user, user.post_text("hello"))).collect();
    for (user, message_id) in &sent {
        answer(&stack, user, *message_id).await;
    }
    // Everything was brought and confirmed: whatever a second delivery would have caused has happened.
    stack.telegram.wait_for_webhook(|webhook| webhook.pending == 0, PATIENCE).await.expect("all delivered");
    for (user, message_id) in &sent {
        assert_eq!(stack.telegram.replies_to(user.chat_id(), *message_id).len(), 1);
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_album_is_detected_and_answered_as_one() {
    let stack = stack(Options { polybots: 2, ..options() }).await;
    let ada = stack.telegram.user("Ada");
    let album = [Post::photo(photo("chelsea.png")), Post::photo(photo("astronaut.png")).caption("predict")];
    let ids = ada.post_album(album);
    let first = answer(&stack, &ada, ids[0]).await;
    assert_eq!(first.words(), "1. I see 1 cat.\n2. I see 1 person.");
    assert!(first.media_group.is_some());
    let group = first.media_group.clone();
    let is_second = |message: &ChatMessage| message.media_group == group && message.message_id != first.message_id;
    let second = stack.telegram.wait_for_message(is_second, PATIENCE).await.expect("the second photo");
    assert!(second.photo().is_some());
    // The message that says to wait is gone.
    let is_removal = |kind: &EventKind| matches!(kind, EventKind::Deleted { .. });
    stack.telegram.wait_for(|event| is_removal(&event.kind), PATIENCE).await.expect("removed");
    stack.stop().await;
}

/// The predecessor's concat failed exactly here: the photos of an album reach different instances.
#[tokio::test]
async fn fifty_albums_at_once_on_two_instances_are_each_answered_once() {
    const ALBUMS: usize = 50;
    let stack = bots(2).await;
    let sent: Vec<(User, Vec<i32>)> = (0..ALBUMS)
        .map(|number| {
            let user = stack.telegram.user(&format!("user {number}"));
            // Of one height and different widths; the caption comes with any of them.
            let photos = (0..3).map(|part| {
                let post = Post::photo(plain(20 + 10 * part, 40, [40 * u8::try_from(part).expect("small"), 0, 200]));
                if part as usize == number % 3 { post.caption("concat") } else { post }
            });
            let ids = user.post_album(photos);
            (user, ids)
        })
        .collect();
    let mut answered = BTreeMap::new();
    for (user, ids) in &sent {
        let joined = answer(&stack, user, ids[0]).await;
        let photo = joined.photo().unwrap_or_else(|| panic!("{}", joined.words()));
        assert_eq!(image::load_from_memory(photo).expect("an image").dimensions(), (20 + 30 + 40, 40));
        answered.insert(user.chat_id(), joined.message_id);
    }
    assert_eq!(answered.len(), ALBUMS);
    let events = stack.telegram.events();
    assert_eq!(events.iter().filter(|event| event.sent().is_some()).count(), ALBUMS, "nobody was answered twice");
    // The photos did go to both.
    let acted = |number: usize| stack.polybots[number].0.log().iter().any(|line| line.event() == "album_acted_on");
    assert!(acted(0) && acted(1));
    stack.stop().await;
}

#[tokio::test]
async fn what_telegram_takes_as_no_photo_is_sent_as_a_file() {
    let stack = bots(1).await;
    let ada = stack.telegram.user("Ada");
    // More than twenty times as wide as high.
    let message_id = ada.post_document(plain(2100, 100, [200, 30, 30]), "banner.png", Some("invert"));
    let answer = answer(&stack, &ada, message_id).await;
    let file = answer.document().unwrap_or_else(|| panic!("{}", answer.words()));
    assert_eq!(image::load_from_memory(file).expect("an image").dimensions(), (2100, 100));
    stack.stop().await;
}

#[tokio::test]
async fn the_bot_introduces_itself_to_telegram() {
    let dir = tempfile::tempdir().expect("tempdir");
    let certificate = dir.path().join("certificate.pem");
    std::fs::write(&certificate, "a certificate").expect("write");
    let settings = vec![("TELEGRAM_CERTIFICATE".to_owned(), certificate.to_str().expect("a path").to_owned())];
    let stack = stack(Options { polybots: 2, workers: 0, settings, ..options() }).await;
    let menu: Vec<_> = stack.telegram.commands().into_iter().map(|c| (c.command, c.description)).collect();
    assert_eq!(menu, command::menu());
    let webhook = stack.telegram.webhook();
    let mut allowed = webhook.allowed_updates.expect("allowed updates");
    allowed.sort_unstable();
    assert_eq!(allowed, ["callback_query", "edited_message", "message"]);
    assert_eq!(webhook.certificate.as_deref(), Some(b"a certificate".as_slice()));
    let url = webhook.url.expect("a webhook");
    assert!(!url.contains(stack.telegram.token()), "no token in {url}");
    assert!(!webhook.secret.expect("a secret").contains(stack.telegram.token()));
    stack.stop().await;
}

#[tokio::test]
async fn telegrams_limits_are_kept() {
    let stack = bots(1).await;
    stack.telegram.limit(Some(RateLimits::default()));
    let ada = stack.telegram.user("Ada");
    // Faster than a bot may answer in one chat: the answers come all the same, later.
    let sent: Vec<i32> = (0..4).map(|number| ada.post_text(format!("text {number}"))).collect();
    for (number, message_id) in sent.into_iter().enumerate() {
        assert_eq!(answer(&stack, &ada, message_id).await.words(), reply::unknown_text(&format!("text {number}")));
    }
    // Telegram says when to come back, and the bot does.
    stack.telegram.fail_next("sendMessage", 1, Fault::too_many_requests(1));
    let ben = stack.telegram.user("Ben");
    let message_id = ben.post_text("hello");
    assert_eq!(answer(&stack, &ben, message_id).await.words(), reply::help(true));
    // More than a bot may download.
    let cleo = stack.telegram.user("Cleo");
    let mut huge = photo("chelsea.png");
    huge.resize(21_000_000, 0);
    let message_id = cleo.post_document(huge, "huge.png", Some("blur"));
    assert_eq!(answer(&stack, &cleo, message_id).await.words(), reply::TOO_LARGE);
    stack.stop().await;
}

#[tokio::test]
async fn a_command_without_a_photo_gets_a_hint() {
    let stack = bots(1).await;
    let ada = stack.telegram.user("Ada");
    let message_id = ada.post_text("/blur 20");
    assert_eq!(answer(&stack, &ada, message_id).await.words(), reply::caption_without_photo("blur 20"));
    stack.stop().await;
}

#[tokio::test]
async fn load_tests_are_for_those_who_know_the_secret() {
    let settings = [("LOAD_TEST", "true"), ("LOAD_TEST_SECRET", "load")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let closed = bots(1).await;
    let open = stack(Options { workers: 0, settings, ..options() }).await;
    let ada = open.telegram.user("Ada");
    let message = serde_json::json!({
        "message_id": 1, "date": 0, "text": "hello",
        "chat": {"id": ada.chat_id(), "type": "private", "first_name": "Ada"},
        "from": {"id": ada.id(), "is_bot": false, "first_name": "Ada"},
    });
    let http = reqwest::Client::new();
    let post = async |stack: &LocalFleet, secret: &str, body: String| {
        let url = format!("http://{}/loadTest", stack.polybots[0].1);
        http.post(url).bearer_auth(secret).body(body).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(post(&closed, "load", message.to_string()).await, 404);
    assert_eq!(post(&open, "wrong", message.to_string()).await, 403);
    assert_eq!(post(&open, "load", "{}".into()).await, 400);
    assert_eq!(post(&open, "load", message.to_string()).await, 200);
    let chat_id = ada.chat_id();
    let is_help = |message: &ChatMessage| message.chat_id == chat_id && message.words() == reply::help(true);
    open.telegram.wait_for_message(is_help, PATIENCE).await.expect("answered");
    closed.stop().await;
    open.stop().await;
}

#[tokio::test]
async fn no_secret_is_logged() {
    let settings = vec![("RUST_LOG".to_owned(), "debug".to_owned())];
    let stack = stack(Options { settings, ..options() }).await;
    let ada = stack.telegram.user("Ada");
    stack.telegram.fail_next("getFile", 1, Fault::Drop);
    let message_id = ada.post_photo(photo("chelsea.png"), None);
    assert_eq!(answer(&stack, &ada, message_id).await.words(), "I see 1 cat.");
    let webhook_secret = stack.telegram.webhook().secret.expect("a secret");
    for (child, _) in stack.children() {
        let log: String = child.log().iter().map(|line| format!("{line}\n")).collect();
        assert!(!log.is_empty());
        for secret in [stack.telegram.token(), &webhook_secret, stack.results_secret()] {
            assert!(!log.contains(secret), "{} logs a secret", child.name());
        }
    }
    stack.stop().await;
}

/// A label of the detector's for a test photo, in whole pixels of it: left, top, right, bottom.
fn box_of(file: &str, image: &RgbImage) -> [u32; 4] {
    let found: serde_json::Value = serde_json::from_slice(&photo("yolo12n.json")).expect("JSON");
    let label = &found["images"][file]["labels"][0];
    let number = |name: &str| label[name].as_f64().expect("a number");
    let side = |centre: &str, size: &str, all: u32, sign: f64| {
        ((number(centre) + sign * number(size) / 2.0) * f64::from(all)).clamp(0.0, f64::from(all)) as u32
    };
    [
        side("cx", "width", image.width(), -1.0),
        side("cy", "height", image.height(), -1.0),
        side("cx", "width", image.width(), 1.0),
        side("cy", "height", image.height(), 1.0),
    ]
}

/// How much neighbours in a row differ on average in this part of a picture: its detail.
fn detail(image: &RgbImage, [left, top, right, bottom]: [u32; 4]) -> f64 {
    let (mut sum, mut count) = (0, 0);
    for y in top..bottom {
        for x in left..right - 1 {
            let (one, other) = (image.get_pixel(x, y), image.get_pixel(x + 1, y));
            sum += (0..3).map(|channel| u64::from(one[channel].abs_diff(other[channel]))).sum::<u64>();
            count += 3;
        }
    }
    sum as f64 / f64::from(count)
}

/// With the real model: what it finds is unrecognisable, or all that is left, and nothing else is touched.
#[tokio::test]
async fn what_is_found_is_blurred_or_cut_out_and_nothing_else() {
    let stack = stack(options()).await;
    let original = image::load_from_memory(&photo("astronaut.png")).expect("an image").to_rgb8();
    let user = stack.telegram.user("Ada");
    let message_id = user.post_photo(photo("astronaut.png"), Some("blur people"));
    let blurred = answer(&stack, &user, message_id).await;
    assert_eq!(blurred.words(), "I blurred 1 person.");
    let picture = image::load_from_memory(blurred.photo().expect("a photo")).expect("an image").to_rgb8();
    keep_for_a_look("blurred.png", &picture);
    assert_eq!(picture.dimensions(), original.dimensions());
    let [left, top, right, bottom] = box_of("astronaut.png", &original);
    let inside = [left + 4, top + 4, right - 4, bottom - 4];
    // Blocks: hardly any detail is left of the person.
    assert!(detail(&picture, inside) < detail(&original, inside) / 3.0, "{}", detail(&picture, inside));
    // Beside the person there is what a JPEG changes, and no more.
    let (mut sum, mut count) = (0.0, 0.0);
    for y in 0..original.height() {
        for x in right + 10..original.width() {
            let (one, other) = (picture.get_pixel(x, y), original.get_pixel(x, y));
            sum += (0..3).map(|channel| f64::from(one[channel].abs_diff(other[channel]))).sum::<f64>();
            count += 3.0;
        }
    }
    assert!(count > 10_000.0 && sum / count < 4.0, "{}", sum / count);

    let cat = image::load_from_memory(&photo("chelsea.png")).expect("an image").to_rgb8();
    let ben = stack.telegram.user("Ben");
    let message_id = ben.post_photo(photo("chelsea.png"), Some("crop cat"));
    let cropped = answer(&stack, &ben, message_id).await;
    assert_eq!(cropped.words(), "I cut out 1 cat.");
    let picture = image::load_from_memory(cropped.photo().expect("a photo")).expect("an image").to_rgb8();
    keep_for_a_look("cropped.png", &picture);
    // The box, and a 25th of its size around it where the photo goes on.
    let [left, top, right, bottom] = box_of("chelsea.png", &cat);
    let (across, down) = ((right - left) / 25, (bottom - top) / 25);
    let expected = [left.saturating_sub(across), top.saturating_sub(down)];
    let size = [(right + across).min(cat.width()) - expected[0], (bottom + down).min(cat.height()) - expected[1]];
    assert!(picture.width().abs_diff(size[0]) <= 8 && picture.height().abs_diff(size[1]) <= 8, "{size:?}");
    // It is that part of the photo: its middle is the part's middle.
    let (x, y) = (picture.width() / 2, picture.height() / 2);
    let there = image::imageops::crop_imm(&cat, expected[0] + x - 8, expected[1] + y - 8, 16, 16).to_image();
    let here = image::imageops::crop_imm(&picture, x - 8, y - 8, 16, 16).to_image();
    let mean = |image: &RgbImage| image.pixels().map(|pixel| f64::from(pixel[0])).sum::<f64>() / 256.0;
    assert!((mean(&here) - mean(&there)).abs() < 12.0, "{} {}", mean(&here), mean(&there));
    stack.stop().await;
}

/// Where `KEEP_PICTURES` names a folder, pictures are kept there for people to look at.
fn keep_for_a_look(name: &str, picture: &RgbImage) {
    if let Some(folder) = std::env::var_os("KEEP_PICTURES") {
        picture.save(std::path::Path::new(&folder).join(name)).expect("written");
    }
}
