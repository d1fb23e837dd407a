//! Photos and texts through the whole fleet: the real services as processes of their own, on the embedded AWS and the
//! Telegram sandbox, with the real model.

use std::process::Command;

use aws_sdk_cloudwatch::types::Dimension;
use fleet::{PredictionStore, Status};
use image::GenericImageView;
use local::Options;
use polybot::reply;
use telegram_sandbox::EventKind;

use crate::support::{EXECUTABLE, PATIENCE, answer, options, photo, stack, stand_in};

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
async fn each_service_says_what_it_was_built_from() {
    let stack = stack(stand_in()).await;
    let version = Command::new(EXECUTABLE).arg("--version").output().expect("the program runs");
    let version = String::from_utf8(version.stdout).expect("text");
    for (child, address) in stack.children() {
        let ready = child.logged(|line| line.event() == "ready").await.expect("it is ready");
        let (release, commit) = (ready.field("version"), ready.field("commit"));
        assert_eq!(version, format!("local {release} (commit {commit})\n"), "{ready}");
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.expect("an answer");
        let metrics = metrics.text().await.expect("text");
        let line = format!("build_info{{version=\"{release}\",commit=\"{commit}\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{}: {metrics}", child.name());
    }
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
    assert_eq!(answer(&stack, &user, message_id).await.words(), reply::help(true));
    assert!(stack.telegram.calls("getUpdates") > 0);
    stack.stop().await;
}

#[tokio::test]
async fn texts_and_captions_are_answered() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Ada");
    for asked in ["/start", "/help", "Hello"] {
        let message_id = user.post_text(asked);
        assert_eq!(answer(&stack, &user, message_id).await.words(), reply::help(true), "{asked}");
    }
    let message_id = user.post_text("good morning");
    assert_eq!(answer(&stack, &user, message_id).await.words(), reply::unknown_text("good morning"));
    let message_id = user.post_photo(photo("chelsea.png"), Some("levitate"));
    assert_eq!(
        answer(&stack, &user, message_id).await.words(),
        reply::caption_error(&polybot::command::caption(Some("levitate")).expect_err("no command"))
    );
    assert_eq!(stack.aws.calls().count(embedded_aws::Service::Sqs, "SendMessage"), 0, "nothing was queued");
    stack.stop().await;
}

#[tokio::test]
async fn what_is_no_image_costs_one_sentence() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Mallory");
    let bad = user.post_photo(b"this is not a photo".to_vec(), None);
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
async fn who_knows_no_secret_is_refused_before_the_body() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let settings = [("LOAD_TEST", "true"), ("LOAD_TEST_SECRET", "load")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let stack = stack(Options { workers: 0, settings, ..stand_in() }).await;
    let post = async |path: &str, header: &str| {
        let mut stream = tokio::net::TcpStream::connect(stack.polybots[0].1).await.expect("polybot listens");
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{header}content-length: 1000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("the head is taken");
        // Nothing of the body is sent: whoever waits for it says 408 in the end.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    for (path, wrong) in [
        ("/webhook", "x-telegram-bot-api-secret-token: wrong\r\n"),
        ("/results", "authorization: Bearer wrong\r\n"),
        ("/loadTest", "authorization: Bearer wrong\r\n"),
    ] {
        for header in ["", wrong] {
            assert_eq!(post(path, header).await, "HTTP/1.1 403", "{path} {header}");
        }
    }
    assert_eq!(post("/nowhere", "").await, "HTTP/1.1 404");
    stack.stop().await;
}

#[tokio::test]
async fn a_result_is_told_once_however_often_polybot_is_called() {
    let stack = stack(options()).await;
    let user = stack.telegram.user("Ada");
    let message_id = user.post_photo(photo("chelsea.png"), None);
    answer(&stack, &user, message_id).await;
    let queued = stack.polybots[0].0.logged(|line| line.event() == "job_queued").await.expect("queued");
    let id = queued.field("prediction_id");
    stack.polybots[0].0.logged(|line| line.event() == "delivered").await.expect("delivered");

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
    let undelivered = store.undelivered(Status::Done, fleet::Timestamp::MAX, 10).await.expect("query");
    assert!(undelivered.is_empty(), "the sparse index has let go of it");
    stack.stop().await;
}

#[tokio::test]
async fn the_backlog_is_published() {
    let stack = stack(options()).await;
    stack.metric_streamer.0.logged(|line| line.event() == "published").await.expect("published");
    let cloud_watch = aws_sdk_cloudwatch::Client::new(&stack.config);
    let listed = cloud_watch.list_metrics().namespace("Polybot").send().await.expect("metrics");
    let mut names: Vec<_> = listed.metrics().iter().filter_map(|metric| metric.metric_name()).collect();
    names.sort_unstable();
    // No time for a photo was measured yet.
    assert_eq!(
        names,
        [
            "ArrivalRate",
            "BacklogInFlight",
            "BacklogPerInstance",
            "BacklogVisible",
            "InServiceInstances",
            "WorkerDemand",
            "WorkersKeepingUp",
            "WorkersNeeded"
        ]
    );
    let mut dimensions: Vec<_> = listed.metrics()[0].dimensions().iter().filter_map(Dimension::name).collect();
    dimensions.sort_unstable();
    assert_eq!(dimensions, ["AutoScalingGroupName", "QueueName"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_look_that_fails_is_not_the_last() {
    let settings = vec![("INTERVAL".to_owned(), "0.1".to_owned())];
    let stack = stack(Options { workers: 0, settings, ..options() }).await;
    let streamer = &stack.metric_streamer.0;
    let sqs = embedded_aws::Service::Sqs;
    let broken = stack.aws.faults().add(embedded_aws::Fault::internal_error(sqs).on(sqs));
    streamer.logged(|line| line.event() == "not_published").await.expect("logged");
    broken.remove();
    let published = stack.aws.calls().count(embedded_aws::Service::CloudWatch, "PutMetricData");
    stack.aws.calls().at_least(embedded_aws::Service::CloudWatch, "PutMetricData", published + 2).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_photo_in_the_bucket_is_predicted_on_request() {
    let stack = stack(Options { polybots: 1, ..options() }).await;
    let images = fleet::ImageStore::new(aws_sdk_s3::Client::new(&stack.config), &stack.resources.bucket);
    images.put("images/original/street.png", photo("chelsea.png").into(), "image/png").await.expect("stored");
    images.put("images/original/notes.jpg", "a text".into(), "image/jpeg").await.expect("stored");
    let worker = stack.workers[0].1;
    let http = reqwest::Client::new();
    let predict = async |query: &str| {
        let answer = http.post(format!("http://{worker}/predict{query}")).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.expect("JSON"))
    };
    let (status, found) = predict("?imgName=street.png").await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["labels"][0]["class"], "cat");
    assert_eq!(found["original_img_path"], "images/original/street.png");
    let id: uuid::Uuid = found["prediction_id"].as_str().expect("an id").parse().expect("an id");
    let store = PredictionStore::new(aws_sdk_dynamodb::Client::new(&stack.config), &stack.resources.table);
    let record = store.get(id).await.expect("read").expect("a record");
    assert_eq!((record.status, record.labels.len()), (Status::Done, 1));
    let annotated =
        images.get(record.predicted_img_path.as_deref().expect("a path"), 10_000_000).await.expect("stored");
    assert_eq!(image::load_from_memory(&annotated).expect("an image").dimensions(), (451, 300));

    for (query, expected) in [
        ("", 400),
        ("?imgName=", 400),
        ("?imgName=../predicted/x.jpg", 400),
        ("?imgName=%2Fetc%2Fpasswd", 400),
        ("?imgName=missing.jpg", 404),
        ("?imgName=notes.jpg", 415),
    ] {
        assert_eq!(predict(query).await.0, expected, "{query}");
    }
    assert!(stack.telegram.events().is_empty(), "nobody in Telegram hears of it");
    stack.stop().await;
}

#[tokio::test]
async fn a_busy_worker_says_so() {
    let settings = vec![("THREADS".to_owned(), "1".to_owned())];
    let stack = stack(Options { settings, ..options() }).await;
    let images = fleet::ImageStore::new(aws_sdk_s3::Client::new(&stack.config), &stack.resources.bucket);
    images.put("images/original/street.png", photo("chelsea.png").into(), "image/png").await.expect("stored");
    // The first one is held up while it reads its photo.
    let s3 = embedded_aws::Service::S3;
    let slow = embedded_aws::Action::Delay(std::time::Duration::from_secs(2));
    stack.aws.faults().add(embedded_aws::Fault::new(slow).on(s3).operation("GetObject").times(1));
    let url = format!("http://{}/predict?imgName=street.png", stack.workers[0].1);
    let first = tokio::spawn(reqwest::Client::new().post(&url).send());
    stack.aws.calls().at_least(s3, "GetObject", 1).await;
    let second = reqwest::Client::new().post(&url).send().await.expect("an answer");
    assert_eq!(second.status().as_u16(), 503);
    assert_eq!(first.await.expect("it runs").expect("an answer").status().as_u16(), 200);
    stack.stop().await;
}

/// Longer than a JPEG may be. What is found is said all the same, and the picture is made smaller.
#[tokio::test]
async fn a_photo_too_long_for_a_jpeg_is_answered_with_a_smaller_picture() {
    let stack = stack(stand_in()).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(70_000, 40, image::Rgb([90, 120, 60]))
        .write_to(&mut png, image::ImageFormat::Png)
        .expect("encode");
    let png = png.into_inner();
    for (caption, words) in [(None, "I see 1 stand-in."), (Some("invert"), "invert")] {
        let user = stack.telegram.user(words);
        let message_id = user.post_document(png.clone(), "panorama.png", caption);
        let answer = answer(&stack, &user, message_id).await;
        assert_eq!(answer.words(), words);
        // Telegram takes nothing of these proportions as a photo.
        let picture = image::load_from_memory(answer.document().expect("a file")).expect("an image");
        assert_eq!((picture.width(), picture.height()), (65_535, 37), "{words}");
    }
    stack.stop().await;
}
