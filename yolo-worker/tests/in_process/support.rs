//! One worker with everything around it: the embedded AWS, and a stand-in of polybot's `/results` that writes down what it hears.

use std::ffi::OsString;
use std::future::Future;
use std::io::Cursor;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use aws_config::imds;
use aws_config::retry::RetryConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use clap::{Args, Parser};
use detector::RgbImage;
use embedded_aws::{EmbeddedAws, redrive_policy};
use fleet::telemetry::Metrics;
use fleet::{
    BuildInfo, Clock, ImageStore, Job, JobQueue, Platform, Prediction, PredictionStore, WorkStore, images, service,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use yolo_worker::{Detect, Settings};

/// Far more than anything here takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
const BUCKET: &str = "images";
const TABLE: &str = "predictions";
const SECRET: &str = "results-secret";
const BUILD: BuildInfo = BuildInfo { version: "0.0.0", commit: "in-process" };
/// How often a job is received before it is a dead letter.
pub(crate) const RECEIVES: u32 = 3;
/// Longer than any test takes.
const REPORT_INTERVAL: Duration = Duration::from_secs(3600);
/// As much as a program's first thread has, which a service's `run` is made for.
const STACK: usize = 8 << 20;

/// What a worker finds.
pub(crate) struct World {
    pub(crate) aws: EmbeddedAws,
    pub(crate) predictions: PredictionStore,
    pub(crate) work: WorkStore,
    pub(crate) images: ImageStore,
    pub(crate) queue: JobQueue,
    pub(crate) dead_letters: JobQueue,
    pub(crate) polybot: Polybot,
    queue_url: String,
    sqs: aws_sdk_sqs::Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        if std::env::var_os("RUST_LOG").is_some() {
            fleet::telemetry::log_to_stderr("pretty");
        }
        let aws = EmbeddedAws::start().await.expect("AWS");
        let config = aws.sdk_config().await;
        let (s3, sqs) = (aws_sdk_s3::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        s3.create_bucket().bucket(BUCKET).send().await.expect("a bucket");
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        fleet::table::creation(&dynamodb, TABLE).send().await.expect("a table");
        let queue = async |name: &str, policy: Option<String>| {
            // Longer than any test takes: what reappears was given back.
            let call = sqs.create_queue().queue_name(name).attributes(QueueAttributeName::VisibilityTimeout, "120");
            let call = match policy {
                Some(policy) => call.attributes(QueueAttributeName::RedrivePolicy, policy),
                None => call,
            };
            call.send().await.expect("a queue").queue_url.expect("its address")
        };
        let dead_letters = queue("dead-letters", None).await;
        let queue_url = queue("jobs", Some(redrive_policy("dead-letters", RECEIVES))).await;
        Self {
            predictions: PredictionStore::new(dynamodb.clone(), TABLE),
            work: WorkStore::new(dynamodb, TABLE, REPORT_INTERVAL),
            images: ImageStore::new(s3, BUCKET),
            queue: JobQueue::new(sqs.clone(), &queue_url),
            dead_letters: JobQueue::new(sqs.clone(), dead_letters),
            polybot: Polybot::start().await,
            aws,
            queue_url,
            sqs,
        }
    }

    /// A photo that was accepted: stored, recorded, not queued yet.
    pub(crate) async fn accepted(&self, photo: Vec<u8>) -> Job {
        let id = Uuid::now_v7();
        let key = images::original_key(id, "png");
        self.images.put(&key, photo.into(), "image/png").await.expect("stored");
        let clock = Clock::system();
        let record = Prediction::queued(id, 5, 6, key, clock.now());
        assert_eq!(self.predictions.insert(&record).await.expect("recorded"), fleet::predictions::Written::Now);
        record.job(clock.date())
    }

    /// The same, queued.
    pub(crate) async fn queued(&self, photo: Vec<u8>) -> Uuid {
        let job = self.accepted(photo).await;
        self.queue.send(&job).await.expect("queued");
        job.prediction_id
    }

    /// A message of any content.
    pub(crate) async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.queue_url).message_body(body).send().await.expect("queued");
    }

    pub(crate) async fn record(&self, id: Uuid) -> Prediction {
        self.predictions.get(id).await.expect("DynamoDB answers").expect("a record")
    }

    /// Asserts that no message is on the queue, visible or in flight.
    pub(crate) async fn is_empty(&self) {
        let depth = self.queue.depth().await.expect("SQS answers");
        assert_eq!((depth.visible, depth.in_flight), (0, 0));
    }

    /// A worker with one thread, on the stand-in for a network.
    pub(crate) fn worker(&self, flags: &[&str]) -> Worker {
        self.start_worker(flags, None)
    }

    /// A worker with one thread, on this detector.
    pub(crate) fn worker_with(&self, detector: Arc<dyn Detect>, flags: &[&str]) -> Worker {
        self.start_worker(flags, Some(detector))
    }

    fn start_worker(&self, flags: &[&str], detector: Option<Arc<dyn Detect>>) -> Worker {
        let usual = [
            ("model", "stand-in"),
            ("threads", "1"),
            ("bucket-name", BUCKET),
            ("sqs-queue-url", &self.queue_url),
            ("dynamodb-table", TABLE),
            ("results-secret", SECRET),
            ("polybot-results-url", &self.polybot.url),
            ("visibility-timeout", "120"),
            ("report-interval", "3600"),
            // Tried again at once.
            ("retry-wait", "0"),
            // So long may the end of a test take.
            ("receive-wait", "1"),
        ];
        let flags = usual
            .map(|(name, value)| format!("--{name}={value}"))
            .into_iter()
            .chain(flags.iter().map(|flag| (*flag).to_owned()));
        let arguments = std::iter::once(OsString::from("worker")).chain(flags.map(OsString::from));
        let settings = Flags::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).settings;
        let endpoint = self.aws.endpoint().to_owned();
        let socket = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_nonblocking(true).expect("it does not block");
        let metrics = Metrics::new(BUILD).expect("metrics");
        let shutdown = CancellationToken::new();
        let stopping = shutdown.clone();
        let (end, ended) = oneshot::channel();
        let serve = move || {
            metrics.on_this_thread_for_good();
            let runtime = service::runtime(metrics).expect("a runtime");
            let returned = runtime.block_on(async {
                // The worker retries what fails, not the SDK: that would wait.
                let aws = embedded_aws::sdk_config(&endpoint).await;
                let aws = aws.to_builder().retry_config(RetryConfig::disabled()).build();
                let metadata = imds::Client::builder().build();
                let platform = Platform { build: BUILD, clock: Clock::system(), metrics, aws, metadata };
                let listener = TcpListener::from_std(socket).expect("a socket");
                match detector {
                    Some(detector) => yolo_worker::serve(settings, platform, detector, listener, stopping).await,
                    None => yolo_worker::run(settings, platform, listener, stopping).await,
                }
            });
            // The test may be over.
            let _ = end.send(returned);
        };
        std::thread::Builder::new().stack_size(STACK).spawn(serve).expect("a thread");
        Worker { metrics, shutdown, ended }
    }
}

#[derive(Parser)]
#[command(args_override_self = true)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

// `Settings` is what is tested, so it is parsed as in the program.
const _: fn() = || {
    fn are_args<A: Args>() {}
    are_args::<Settings>();
};

/// A worker that runs.
pub(crate) struct Worker {
    metrics: Metrics,
    shutdown: CancellationToken,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

impl Worker {
    /// It is told to stop.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// It stops well, with all that it does; what it measured is left.
    pub(crate) async fn stop(self) -> Metrics {
        self.shutdown.cancel();
        in_time(self.ended).await.expect("no panic").expect("it stops well");
        self.metrics
    }

    /// How many messages ended so.
    pub(crate) fn outcomes(&self, outcome: &str) -> u64 {
        self.measured(&format!(r#"worker_jobs_total{{outcome="{outcome}"}}"#))
    }

    /// A metric's value; zero, if nothing was measured.
    pub(crate) fn measured(&self, name: &str) -> u64 {
        measured(self.metrics, name)
    }
}

/// A metric's value; zero, if nothing was measured.
pub(crate) fn measured(metrics: Metrics, name: &str) -> u64 {
    let text = metrics.handle().render();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

/// Stands for polybot: its `/results`.
pub(crate) struct Polybot {
    url: String,
    heard: watch::Sender<Vec<Uuid>>,
    status: Arc<AtomicU16>,
}

#[derive(Deserialize)]
struct Finished {
    #[serde(rename = "predictionId")]
    prediction_id: Uuid,
}

impl Polybot {
    async fn start() -> Self {
        let (heard, status) = (watch::Sender::new(Vec::new()), Arc::new(AtomicU16::new(200)));
        let results = |State((heard, status)): State<(watch::Sender<Vec<Uuid>>, Arc<AtomicU16>)>,
                       Query(finished): Query<Finished>| async move {
            heard.send_modify(|heard| heard.push(finished.prediction_id));
            StatusCode::from_u16(status.load(Ordering::Relaxed)).expect("a status")
        };
        let routes = Router::new().route("/results", post(results)).with_state((heard.clone(), Arc::clone(&status)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}/results", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, heard, status }
    }

    /// Returns this status from now on.
    pub(crate) fn answer(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    /// What it has heard of, once that is so much.
    pub(crate) async fn heard(&self, calls: usize) -> Vec<Uuid> {
        let mut heard = self.heard.subscribe();
        let heard = in_time(heard.wait_for(|heard| heard.len() >= calls)).await;
        heard.expect("the sender is here").clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.heard.borrow().len()
    }
}

/// What the test waits for, or its end.
pub(crate) async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.expect("it happens in time")
}

/// A photo, as PNG.
pub(crate) fn photo() -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8, y as u8, 128]));
    image.write_to(&mut png, image::ImageFormat::Png).expect("encoded");
    png.into_inner()
}
