//! One polybot with everything around it.

use std::io::Cursor;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedded_aws::EmbeddedAws;
use fleet::predictions::Written;
use fleet::{DetectionResult, ImageStore, Job, JobQueue, Label, PredictionStore, images};
use image::{ImageFormat, Rgb, RgbImage};
use polybot::reply;
use serde_json::Value;
use telegram_sandbox::{ChatMessage, Fault, RateLimits, Sandbox, SandboxOptions, User};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Far more than anything here takes, also on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const BUCKET: &str = "images";
const TABLE: &str = "predictions";
const SECRET: &str = "results-secret";

/// How a bot is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) polling: bool,
    pub(crate) sandbox: SandboxOptions,
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Calls that go wrong from the start.
    pub(crate) faults: Vec<(&'static str, Fault)>,
}

impl Setup {
    pub(crate) fn setting(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    pub(crate) fn fault(mut self, method: &'static str, fault: Fault) -> Self {
        self.faults.push((method, fault));
        self
    }

    pub(crate) fn polling(self) -> Self {
        Self { polling: true, ..self }
    }

    pub(crate) fn with_limits(mut self) -> Self {
        self.sandbox.limits = Some(RateLimits::default());
        self
    }
}

/// A bot that runs.
pub(crate) struct Bot {
    /// Does what a worker does; it ends first.
    worker: Mutex<JoinSet<()>>,
    pub(crate) telegram: Sandbox,
    pub(crate) queue: JobQueue,
    pub(crate) predictions: PredictionStore,
    pub(crate) images: ImageStore,
    s3: aws_sdk_s3::Client,
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
    log: watch::Receiver<Vec<Value>>,
    /// Dropped last.
    _aws: EmbeddedAws,
}

pub(crate) async fn bot(setup: Setup) -> Bot {
    let aws = EmbeddedAws::start().await.expect("AWS");
    let telegram = Sandbox::start(setup.sandbox.clone()).await.expect("Telegram");
    for (method, fault) in setup.faults {
        telegram.fail_next(method, 1, fault);
    }
    let config = aws.sdk_config().await;
    aws_sdk_s3::Client::new(&config).create_bucket().bucket(BUCKET).send().await.expect("a bucket");
    let sqs = aws_sdk_sqs::Client::new(&config);
    let queue = sqs.create_queue().queue_name("jobs").send().await.expect("a queue");
    let queue_url = queue.queue_url.expect("its address");
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    fleet::table::creation(&dynamodb, TABLE).send().await.expect("a table");

    let mut command = Command::new(env!("CARGO_BIN_EXE_polybot"));
    command
        .env_clear()
        .envs(aws.environment())
        .envs([
            ("TELEGRAM_TOKEN", telegram.token()),
            ("TELEGRAM_API_URL", &telegram.api_url()),
            ("BUCKET_NAME", BUCKET),
            ("SQS_QUEUE_URL", &queue_url),
            ("DYNAMODB_TABLE", TABLE),
            ("RESULTS_SECRET", SECRET),
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("SWEEP_INTERVAL", "1"),
            ("ALBUM_QUIET", "0.3"),
            ("RUST_LOG", "info,polybot=debug"),
        ])
        .envs(setup.settings.iter().map(|(name, value)| (*name, value.as_str())));
    if !setup.polling {
        command.env("TELEGRAM_APP_URL", "https://polybot.invalid/");
    }
    let mut process =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("polybot starts");
    let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines();
    let (seen, log) = watch::channel(Vec::<Value>::new());
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            seen.send_modify(|lines| lines.push(line));
        }
    });
    let mut starting = log.clone();
    let ready = starting.wait_for(|lines| lines.iter().any(|line| is_ready(line).is_some()));
    let found = tokio::time::timeout(PATIENCE, ready).await.expect("it is ready in time").map(|lines| {
        lines.iter().find_map(is_ready).and_then(|address| address.parse::<SocketAddr>().ok()).expect("an address")
    });
    let Ok(address) = found else { panic!("polybot ended") };
    if !setup.polling {
        telegram.deliver_to(vec![format!("http://{address}/webhook")]);
    }
    Bot {
        worker: Mutex::default(),
        telegram,
        queue: JobQueue::new(sqs, queue_url),
        predictions: PredictionStore::new(dynamodb, TABLE),
        images: ImageStore::new(aws_sdk_s3::Client::new(&config), BUCKET),
        s3: aws_sdk_s3::Client::new(&config),
        address,
        process,
        log,
        _aws: aws,
    }
}

fn is_ready(line: &Value) -> Option<&str> {
    line["message"].as_str().filter(|message| message.starts_with("ready; "))?;
    line["listen_addr"].as_str()
}

impl Bot {
    /// The answer to a person's message, past the one that says to wait.
    pub(crate) async fn answer(&self, user: &User, message_id: i32) -> ChatMessage {
        self.answer_in(user.chat_id(), message_id).await
    }

    pub(crate) async fn answer_in(&self, chat_id: i64, message_id: i32) -> ChatMessage {
        let is_wanted = move |message: &ChatMessage| {
            message.chat_id == chat_id && message.reply_to == Some(message_id) && is_answer(message)
        };
        match self.telegram.wait_for_message(is_wanted, PATIENCE).await {
            Ok(answer) => answer,
            Err(error) => panic!("{error}\n{}", self.troubles()),
        }
    }

    /// What was answered so far.
    pub(crate) fn answers(&self, chat_id: i64) -> Vec<ChatMessage> {
        let events = self.telegram.events();
        let sent = events.iter().filter_map(|event| event.sent());
        sent.filter(|message| message.chat_id == chat_id && is_answer(message)).cloned().collect()
    }

    /// Wait until all that was brought so far is done: this person's question comes last and is answered.
    pub(crate) async fn all_done(&self) {
        self.telegram.wait_for_webhook(|webhook| webhook.pending == 0, PATIENCE).await.expect("all delivered");
        let last = self.telegram.user("the last");
        let message_id = last.post_text("/help");
        self.answer(&last, message_id).await;
    }

    /// Do what a worker does with each job, until the test ends: find one bus.
    pub(crate) fn work(&self) {
        let (queue, images, predictions) = (self.queue.clone(), self.images.clone(), self.predictions.clone());
        let results = format!("http://{}/results", self.address);
        let picture = Arc::new(jpeg(64, 48));
        let work = async move {
            let http = reqwest::Client::new();
            while let Ok(messages) = queue.receive(10, Duration::from_secs(20)).await {
                for message in messages {
                    let job = Job::from_json(&message.body).expect("a job");
                    let key = images::predicted_key(job.prediction_id);
                    images.put(&key, picture.as_ref().clone().into(), "image/jpeg").await.expect("stored");
                    let bus = Label { class: "bus".into(), cx: 0.5, cy: 0.5, width: 0.5, height: 0.5, confidence: 0.9 };
                    let record = predictions.get(job.prediction_id).await.expect("DynamoDB answers").expect("a record");
                    let labels = Some(bus).filter(|bus| record.wish.wants(&bus.class, bus.confidence));
                    let labels = labels.into_iter().collect();
                    let result = DetectionResult { predicted_img_path: key, labels, model: "the test".into() };
                    let done = predictions.complete(job.prediction_id, &result, fleet::Timestamp::now()).await;
                    let (Written::Now | Written::NotAsExpected) = done.expect("recorded");
                    queue.ack(&message.receipt).await.expect("acknowledged");
                    let query = [("predictionId", job.prediction_id.to_string())];
                    // The test may be at its end, and polybot with it.
                    let _ = http.post(&results).query(&query).bearer_auth(SECRET).send().await;
                }
            }
        };
        self.worker.lock().expect("no panic").spawn(work);
    }

    /// How many photos and results are stored.
    pub(crate) async fn stored_images(&self) -> usize {
        let listed = self.s3.list_objects_v2().bucket(BUCKET).send().await.expect("a list");
        listed.contents().len()
    }

    /// The most memory that the process ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let id = self.process.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// Whether it logged such a line.
    pub(crate) fn has_logged(&self, event: &str) -> bool {
        self.log.borrow().iter().any(|line| line["event"] == event)
    }

    pub(crate) fn troubles(&self) -> String {
        let lines = self.log.borrow();
        let troubles = lines.iter().filter(|line| line["level"] != "DEBUG").rev().take(15);
        troubles.map(|line| format!("{line}\n")).collect()
    }
}

pub(crate) fn is_answer(message: &ChatMessage) -> bool {
    message.words() != reply::BEING_PROCESSED && message.words() != reply::ALBUM_BEING_PROCESSED
}

/// A photo of this size, with something in it.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 3) as u8, (y * 5) as u8, ((x ^ y) * 7) as u8]))
}

pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(&picture(width, height), ImageFormat::Jpeg)
}

pub(crate) fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("encode");
    bytes.into_inner()
}
