//! Random updates of all kinds, and in the end what became of each photo: answered, refused in words, or rightly passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use telegram_sandbox::{Fault, Forbidden, Post};

use crate::harness::{Bot, PATIENCE, Setup, bot, is_answer, jpeg};

/// How many updates, unless `AUDIT_UPDATES` says another number.
const UPDATES: usize = 300;
/// So many of them go to one bot; more go to others beside it, as a bot sends no more in a second than Telegram takes.
const OF_ONE_BOT: usize = 75;
/// The most bots side by side.
const MOST_BOTS: usize = 10;

/// What became of the photos: how many of each kind, by outcome.
type Counts = BTreeMap<(&'static str, &'static str), usize>;

/// Something that somebody sent.
struct Sent {
    kind: &'static str,
    chat_id: i64,
    /// What the chat became while it waited.
    then: Option<i64>,
    /// Whether it has to be answered.
    is_asked: bool,
}

impl Sent {
    fn is_in(&self, chat_id: i64) -> bool {
        chat_id == self.chat_id || self.then == Some(chat_id)
    }
}

fn photo(rng: &mut Rng) -> Post {
    match rng.u8(0..8) {
        0 => Post::document(jpeg(40, 30), "IMG_1.jpg").mime_type("application/octet-stream"),
        1 => Post::document(jpeg(40, 30), "IMG_1").mime_type(""),
        2 => Post::photo(jpeg(40, 30)).spoiler(),
        3 => Post::document(b"%PDF-1.7".to_vec(), "image.png"),
        4 => Post::photo(b"no photo at all".to_vec()),
        5 => Post::document(transparent(), "drawing.png").mime_type("image/png"),
        6 => Post::document(jpeg(40, 30)[..200].to_vec(), "cut.jpg").mime_type("image/pjpeg"),
        _ => Post::photo(jpeg(40, 30)),
    }
}

/// Black on nothing, of sixteen bits.
fn transparent() -> Vec<u8> {
    let drawing =
        image::ImageBuffer::from_fn(40, 30, |x, _| image::Rgba([0_u16, 0, 0, if x < 20 { u16::MAX } else { 0 }]));
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageRgba16(drawing).write_to(&mut png, image::ImageFormat::Png).expect("encode");
    png.into_inner()
}

fn caption(rng: &mut Rng, post: Post) -> Post {
    const CAPTIONS: [&str; 9] =
        ["", "invert", "predict", "predict bus 60%", "blur bus", "count", "levitate", "concat", "blur 200"];
    post.caption(*rng.choice(CAPTIONS.iter()).expect("some"))
}

/// A message in a group as Telegram brings it, by whoever `more` says.
fn in_group(bot: &Bot, chat_id: i64, more: Value) -> Value {
    let file = bot.telegram.keep_file(jpeg(40, 30));
    let mut message = json!({
        "message_id": 5, "date": 1_795_633_268, "chat": {"id": chat_id, "type": "supergroup", "title": "G"},
        "from": {"id": 303, "is_bot": false, "first_name": "Ann"},
        "photo": [{"file_id": file, "file_unique_id": "u", "width": 40, "height": 30}],
    });
    for (field, value) in more.as_object().expect("fields") {
        message[field] = value.clone();
    }
    message
}

fn send(bot: &Bot, rng: &mut Rng, number: usize) -> Sent {
    let somebody = bot.telegram.user(&format!("somebody {number}"));
    let private = somebody.chat_id();
    let brought = -900_000 - number as i64;
    let mut then = None;
    let (kind, chat_id, is_asked) = match rng.u8(0..18) {
        0..3 => {
            let post = photo(rng);
            somebody.post(caption(rng, post));
            ("a photo in private", private, true)
        }
        3 => {
            let posts = [photo(rng), photo(rng), Post::video(b"mp4".to_vec())];
            let captioned = rng.usize(0..3);
            let posts: Vec<_> = posts.into_iter().enumerate().collect();
            let posts =
                posts.into_iter().map(|(place, post)| if place == captioned { caption(rng, post) } else { post });
            somebody.post_album(posts.collect::<Vec<_>>());
            ("an album with a video", private, true)
        }
        4 => {
            let post = photo(rng);
            let id = somebody.post(caption(rng, post));
            somebody.react(id).expect("reacted");
            ("a photo that somebody reacts to", private, true)
        }
        5 => {
            let (photos, files) = (Forbidden::Photos, Forbidden::Documents);
            bot.telegram.forbid(private, &[photos, files][..rng.usize(1..=2)]);
            let post = photo(rng);
            somebody.post(caption(rng, post));
            ("a photo where no pictures are allowed", private, true)
        }
        6 => {
            somebody.block_bot(true);
            let post = photo(rng);
            somebody.post(caption(rng, post));
            ("a photo by who blocked the bot", private, false)
        }
        7 => {
            let group = bot.telegram.supergroup("G");
            let post = photo(rng).caption("look, @polybot_sandbox_bot_2");
            somebody.in_chat(group).post(post);
            ("a photo in a group, for others", group, false)
        }
        8 => {
            let group = bot.telegram.group("G");
            let post = photo(rng).caption("(@polybot_sandbox_bot) invert");
            let id = somebody.in_chat(group).post(post);
            if rng.bool() {
                somebody.in_chat(group).delete(id).expect("deleted");
            }
            ("a photo in a group, for the bot", group, true)
        }
        9 => {
            let anonymous = json!({
                "from": {"id": 1_087_968_824, "is_bot": true, "username": "GroupAnonymousBot"},
                "sender_chat": {"id": brought, "type": "supergroup"}, "caption": "/predict",
            });
            bot.telegram.bring(json!({"message": in_group(bot, brought, anonymous)}));
            ("a photo by an anonymous admin", brought, true)
        }
        10 => {
            let other_bot = json!({"from": {"id": 5, "is_bot": true}, "caption": "@polybot_sandbox_bot"});
            bot.telegram.bring(json!({"message": in_group(bot, brought, other_bot)}));
            ("a photo by another bot", brought, false)
        }
        11 => {
            let new = json!({"caption": "/invert", "caption_entities": [{"type": "new", "offset": 0, "length": 1}], "new": {}});
            bot.telegram.bring(json!({"message": in_group(bot, brought, new)}));
            ("a photo with fields to come", brought, true)
        }
        12 => {
            let pinned = json!({"photo": null, "pinned_message": in_group(bot, brought, json!({}))});
            bot.telegram.bring(json!({"message": in_group(bot, brought, pinned)}));
            ("a photo that is pinned", brought, false)
        }
        13 => {
            let post = photo(rng).caption("levitate");
            let id = somebody.post(post);
            somebody.edit_text(id, "invert").expect("edited");
            ("a photo whose caption is corrected", private, true)
        }
        14 => {
            let group = bot.telegram.group("G");
            let post = photo(rng).caption("/predict");
            somebody.in_chat(group).post(post);
            then = Some(bot.telegram.migrate(group));
            ("a photo in a group that becomes a supergroup", group, true)
        }
        15 => {
            let group = bot.telegram.group("Slow");
            bot.telegram.slow_mode(group, Some(Duration::from_secs(2)));
            let post = photo(rng).caption("/invert");
            somebody.in_chat(group).post(post);
            ("a photo in a group in slow mode", group, true)
        }
        16 => {
            let group = bot.telegram.group("G");
            let post = photo(rng).caption("/ban spammer");
            somebody.in_chat(group).post(post);
            ("a photo with another bot's command", group, false)
        }
        _ => {
            let group = bot.telegram.supergroup("Forum");
            let post = photo(rng).caption("/invert").in_topic(7);
            somebody.in_chat(group).post(post);
            ("a photo in a topic", group, true)
        }
    };
    Sent { kind, chat_id, then, is_asked }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_photo_ends_in_silence() {
    let updates = std::env::var("AUDIT_UPDATES").ok().and_then(|number| number.parse().ok()).unwrap_or(UPDATES);
    let bots = updates.div_ceil(OF_ONE_BOT).clamp(1, MOST_BOTS);
    let mut audits = tokio::task::JoinSet::new();
    for number in 0..bots {
        let part = updates * (number + 1) / bots - updates * number / bots;
        audits.spawn(audit(16 + number as u64, part));
    }
    let mut counts = Counts::new();
    while let Some(audited) = audits.join_next().await {
        for (what, count) in audited.expect("no photo ends in silence") {
            *counts.entry(what).or_default() += count;
        }
    }
    for ((kind, outcome), count) in &counts {
        eprintln!("{kind:<44} {outcome:<12} {count:>6}");
    }
    assert_eq!(counts.values().sum::<usize>(), updates);
}

/// Have one bot brought so many updates, and look at each.
async fn audit(seed: u64, updates: usize) -> Counts {
    let bot = bot(Setup::default()).await;
    bot.work();
    bot.telegram.hide_file_sizes(seed.is_multiple_of(2));
    let mut rng = Rng::with_seed(seed);
    // Telegram stumbles, too.
    for (method, fault) in [
        ("getFile", Fault::Drop),
        ("download", Fault::refuse(404, "Not Found")),
        ("sendPhoto", Fault::refuse(400, "Bad Request: IMAGE_PROCESS_FAILED")),
        ("sendMessage", Fault::too_many_requests(1)),
        ("sendDocument", Fault::Drop),
    ] {
        bot.telegram.fail_next(method, 5, fault);
    }
    let mut sent = Vec::with_capacity(updates);
    for number in 0..updates {
        sent.push(send(&bot, &mut rng, number));
        // As many as a busy bot gets; more at once wait with Telegram.
        if number % 20 == 19 {
            let most = number.saturating_sub(100);
            answered(&bot, &sent[..most]).await;
        }
    }
    answered(&bot, &sent).await;
    bot.all_done().await;
    let mut counts = Counts::new();
    for Sent { kind, chat_id, then, is_asked } in &sent {
        let mut answers = bot.answers(*chat_id);
        answers.extend(then.iter().flat_map(|chat_id| bot.answers(*chat_id)));
        let outcome = match answers.first() {
            None => "passed over",
            Some(_) if answers.iter().any(|answer| answer.photo().is_some()) => "a photo",
            Some(_) if answers.iter().any(|answer| answer.document().is_some()) => "a file",
            Some(_) => "words",
        };
        *counts.entry((kind, outcome)).or_default() += 1;
        assert_eq!(*is_asked, !answers.is_empty(), "{kind} in {chat_id}: {outcome}");
    }
    counts
}

/// Wait until each of these that is asked has an answer.
async fn answered(bot: &Bot, sent: &[Sent]) {
    let mut open: Vec<&Sent> = sent.iter().filter(|sent| sent.is_asked).collect();
    let done = |event: &telegram_sandbox::Event| {
        if let Some(message) = event.sent().filter(|message| is_answer(message)) {
            open.retain(|sent| !sent.is_in(message.chat_id));
        }
        open.is_empty()
    };
    let waited = bot.telegram.wait_for(done, PATIENCE * 2).await;
    if !sent.is_empty() && waited.is_err() {
        let left: Vec<_> = open.iter().map(|sent| sent.kind).collect();
        panic!("not answered: {left:?}\n{}", bot.troubles());
    }
}
