//! Photos and texts through the whole fleet: the real services as processes of their own, on the embedded AWS and the
//! Telegram sandbox, with the real model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_cloudwatch::types::Dimension;
use fleet::{PredictionStore, Status};
use image::GenericImageView;
use local::{Options, Stack};
use polybot::reply;
use telegram_sandbox::{ChatMessage, EventKind, User};

/// Far more than anything here takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

fn photo(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/photos").join(name);
    std::fs::read(path).expect("photo")
}

fn options() -> Options {
    models::locate(models::DEFAULT, &|step| eprintln!("{step}")).expect("model");
    Options {
        executable: PathBuf::from(env!("CARGO_BIN_EXE_local")),
        model: models::DEFAULT.into(),
        polybots: 1,
        workers: 1,
        long_polling: false,
    }
}

async fn stack(options: Options) -> Stack {
    Stack::start(options, |step| eprintln!("{step}")).await.expect("the fleet starts")
}

/// The answer to a user's message, past the one that says to wait.
async fn answer(stack: &Stack, user: &User, message_id: i32) -> ChatMessage {
    let chat_id = user.chat_id();
    let is_answer = move |message: &ChatMessage| {
        message.chat_id == chat_id && message.reply_to == Some(message_id) && message.words() != reply::BEING_PROCESSED
    };
    stack.telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer")
}

#[tokio::test]
async fn a_photo_comes_back_annotated_with_a_summary() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Ada");
    let original = photo("coffee.png");
    let message_id = user.post_photo(original.clone(), Some("Predict"));
    let answer = answer(&stack, &user, message_id).await;

    assert_eq!(answer.words(), "I see 1 cup, 1 dining table, 1 spoon.");
    let annotated = image::load_from_memory(answer.photo().expect("a photo")).expect("an image");
    let original = image::load_from_memory(&original).expect("an image");
    assert_eq!(annotated.dimensions(), original.dimensions());
    // The cup's frame: its left edge, halfway up, is drawn in its class's colour, which the photo has not there.
    let (x, y) = (170, 131);
    let difference =
        |a: [u8; 4], b: [u8; 4]| -> i32 { (0..3).map(|i| (i32::from(a[i]) - i32::from(b[i])).abs()).sum() };
    let most = (x - 4..x + 4).map(|x| difference(annotated.get_pixel(x, y).0, original.get_pixel(x, y).0)).max();
    assert!(most > Some(100), "no frame near {x}, {y}: {most:?}");

    // The user was told to wait, as a reply, and that message is gone now.
    let waiting = stack.telegram.replies_to(user.chat_id(), message_id);
    let waiting = waiting.iter().find(|reply| reply.words() == reply::BEING_PROCESSED).expect("told to wait");
    let is_removal =
        |kind: &EventKind| matches!(kind, EventKind::Deleted { message_id, .. } if *message_id == waiting.message_id);
    stack.telegram.wait_for(|event| is_removal(&event.kind), PATIENCE).await.expect("removed");

    // The queue is empty, the record is complete.
    let queue = fleet::JobQueue::new(aws_sdk_sqs::Client::new(&stack.config), &stack.resources.queue_url);
    stack.aws.calls().at_least(embedded_aws::Service::Sqs, "DeleteMessage", 1).await;
    assert_eq!(queue.depth().await.expect("depth"), fleet::queue::Depth { visible: 0, in_flight: 0 });
    stack.stop().await;
}

#[tokio::test]
async fn users_at_once_get_their_own() {
    let stack = stack(options()).await;
    let photos = [("Ada", "astronaut.png", "I see 1 person."), ("Ben", "chelsea.png", "I see 1 cat.")];
    let sent: Vec<_> = photos
        .iter()
        .map(|(name, file, expected)| {
            let user = stack.telegram.user(name);
            let message_id = user.post_photo(photo(file), None);
            (user, message_id, expected)
        })
        .collect();
    for (user, message_id, expected) in &sent {
        assert_eq!(answer(&stack, user, *message_id).await.words(), **expected);
    }
    let photos_sent =
        stack.telegram.events().iter().filter(|event| event.sent().is_some_and(|m| m.photo().is_some())).count();
    assert_eq!(photos_sent, 2, "nobody got another's photo or one twice");
    stack.stop().await;
}

#[tokio::test]
async fn long_polling_serves_as_the_webhook_does() {
    let stack = stack(Options { long_polling: true, ..options() }).await;
    let user = stack.telegram.user("Ada");
    let message_id = user.post_photo(photo("chelsea.png"), None);
    assert_eq!(answer(&stack, &user, message_id).await.words(), "I see 1 cat.");
    let message_id = user.post_text("/help");
    assert_eq!(answer(&stack, &user, message_id).await.words(), reply::help());
    assert!(stack.telegram.calls("getUpdates") > 0);
    stack.stop().await;
}

#[tokio::test]
async fn texts_and_captions_are_answered() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Ada");
    for asked in ["/start", "/help", "Hello"] {
        let message_id = user.post_text(asked);
        assert_eq!(answer(&stack, &user, message_id).await.words(), reply::help(), "{asked}");
    }
    let message_id = user.post_text("good morning");
    assert_eq!(answer(&stack, &user, message_id).await.words(), reply::unknown_text("good morning"));
    let message_id = user.post_photo(photo("chelsea.png"), Some("levitate"));
    assert_eq!(
        answer(&stack, &user, message_id).await.words(),
        polybot::command::caption(Some("levitate")).expect_err("no command").to_string()
    );
    assert_eq!(stack.aws.calls().count(embedded_aws::Service::Sqs, "SendMessage"), 0, "nothing was queued");
    stack.stop().await;
}

#[tokio::test]
async fn what_is_no_image_costs_one_sentence() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Mallory");
    let bad = user.post_photo(b"this is no photo".to_vec(), None);
    let good = user.post_photo(photo("chelsea.png"), None);
    let words = answer(&stack, &user, bad).await;
    assert!(words.words().contains("not an image"), "{}", words.words());
    assert!(words.photo().is_none());
    assert_eq!(answer(&stack, &user, good).await.words(), "I see 1 cat.");
    stack.stop().await;
}

#[tokio::test]
async fn results_are_for_those_who_know_the_secret() {
    let stack = stack(options()).await;
    let http = reqwest::Client::new();
    let call = async |method: reqwest::Method, query: &str, secret: Option<&str>| {
        let mut request = http.request(method, format!("{}{query}", stack.results_url()));
        if let Some(secret) = secret {
            request = request.bearer_auth(secret);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let secret = Some(stack.results_secret());
    let unknown = format!("?predictionId={}", uuid::Uuid::now_v7());
    for method in [reqwest::Method::GET, reqwest::Method::POST] {
        assert_eq!(call(method.clone(), "", secret).await, 400);
        assert_eq!(call(method.clone(), "?predictionId=", secret).await, 400);
        assert_eq!(call(method.clone(), &unknown, secret).await, 404);
        assert_eq!(call(method.clone(), "?predictionId=../x", secret).await, 404);
        assert_eq!(call(method.clone(), &unknown, None).await, 403);
        assert_eq!(call(method.clone(), &unknown, Some("wrong")).await, 403);
    }
    // The webhook is guarded as well, and every service says that it is alive.
    let polybot = stack.polybots[0].1;
    let status = http.post(format!("http://{polybot}/webhook")).body("{}").send().await.expect("an answer").status();
    assert_eq!(status.as_u16(), 403);
    assert_eq!(http.get(format!("http://{polybot}/")).send().await.expect("an answer").status().as_u16(), 200);
    for (child, address) in stack.children() {
        for path in ["healthz", "metrics"] {
            let answer = http.get(format!("http://{address}/{path}")).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 200, "{} /{path}", child.name());
        }
    }
    assert!(stack.telegram.events().is_empty(), "nobody was spoken to");
    stack.stop().await;
}

#[tokio::test]
async fn a_result_is_told_once_however_often_polybot_is_called() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Ada");
    let message_id = user.post_photo(photo("chelsea.png"), None);
    answer(&stack, &user, message_id).await;
    let queued = stack.polybots[0].0.logged(|line| line.message() == "job queued").await.expect("queued");
    let id = queued.field("prediction_id");
    stack.polybots[0].0.logged(|line| line.message() == "delivered").await.expect("delivered");

    let http = reqwest::Client::new();
    let url = format!("{}?predictionId={id}", stack.results_url());
    for _ in 0..3 {
        let answer = http.get(&url).bearer_auth(stack.results_secret()).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
    }
    let answers = stack.telegram.replies_to(user.chat_id(), message_id);
    assert_eq!(answers.iter().filter(|answer| answer.photo().is_some()).count(), 1);

    let store = PredictionStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table);
    let prediction = store.get(id.parse().expect("an id")).await.expect("read").expect("a record");
    assert_eq!(prediction.status, Status::Done);
    assert_eq!(prediction.model.as_deref(), Some("yolo12n"));
    assert!(prediction.delivered_at.is_some());
    assert_eq!(prediction.labels.len(), 1);
    let undelivered = store.undelivered(Status::Done, i64::MAX, 10).await.expect("query");
    assert!(undelivered.is_empty(), "the sparse index has let go of it");
    stack.stop().await;
}

#[tokio::test]
async fn the_backlog_is_published() {
    let stack = stack(options()).await;
    stack.metric_streamer.0.logged(|line| line.message() == "published").await.expect("published");
    let cloud_watch = aws_sdk_cloudwatch::Client::new(&stack.config);
    let listed = cloud_watch.list_metrics().namespace("Polybot").send().await.expect("metrics");
    let mut names: Vec<_> = listed.metrics().iter().filter_map(|metric| metric.metric_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["BacklogInFlight", "BacklogPerInstance", "BacklogVisible", "InServiceInstances"]);
    let mut dimensions: Vec<_> = listed.metrics()[0].dimensions().iter().filter_map(Dimension::name).collect();
    dimensions.sort_unstable();
    assert_eq!(dimensions, ["AutoScalingGroupName", "QueueName"]);
    stack.stop().await;
}
