//! One running service: a runtime of its own, so that it can be killed with all that it does.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{SdkConfig, imds};
use clap::{Args, Parser};
use fleet::telemetry::Metrics;
use fleet::{BuildInfo, Platform, service};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{World, resources};

const BUILD: BuildInfo = BuildInfo { version: "0.0.0", commit: "in-process" };
const SECRET: &str = "results-secret";

/// As much as a program's first thread has, which a service's `run` is made for.
const STACK: usize = 8 << 20;

/// A service that runs beside others in this process.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    /// What it measures, and nobody else.
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    killed: CancellationToken,
    /// What `run` returned; nothing, if it was killed.
    ended: oneshot::Receiver<Option<anyhow::Result<()>>>,
}

/// Settings, from flags.
#[derive(Parser)]
#[command(args_override_self = true)]
struct Flags<S: Args> {
    #[command(flatten)]
    settings: S,
}

fn settings<S: Args>(flags: &[(&str, &str)], more: &[String]) -> S {
    let flags = flags.iter().map(|(name, value)| format!("--{name}={value}")).chain(more.iter().cloned());
    let arguments = std::iter::once(OsString::from("service")).chain(flags.map(OsString::from));
    Flags::<S>::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).settings
}

impl Instance {
    pub(crate) async fn polybot(world: &World, more: &[String]) -> Self {
        let mut more = more.to_vec();
        if !more.iter().any(|flag| flag.starts_with("--telegram-secret-id=")) {
            more.push(format!("--telegram-token={}", world.telegram.token()));
        }
        let settings = settings::<polybot::Settings>(
            &[
                ("telegram-api-url", &world.telegram.api_url()),
                // Nobody listens there; the sandbox brings updates to the instances.
                ("telegram-app-url", "https://polybot.invalid/"),
                ("bucket-name", resources::BUCKET),
                ("sqs-queue-url", &world.resources.queue_url),
                ("dead-letter-queue-url", &world.resources.dead_letter_queue_url),
                ("dynamodb-table", resources::TABLE),
                ("results-secret", SECRET),
            ],
            &more,
        );
        Self::start(world, |platform, listener, shutdown| polybot::run(settings, platform, listener, shutdown)).await
    }

    pub(crate) async fn worker(world: &World, callback: Option<SocketAddr>, more: &[String]) -> Self {
        let results = callback.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let settings = settings::<yolo_worker::Settings>(
            &[
                ("model", "stand-in"),
                ("threads", "2"),
                ("bucket-name", resources::BUCKET),
                ("sqs-queue-url", &world.resources.queue_url),
                ("dynamodb-table", resources::TABLE),
                ("results-secret", SECRET),
                ("polybot-results-url", &format!("http://{results}/results")),
                ("visibility-timeout", &resources::VISIBILITY.to_string()),
                // Tried again at once: SQS's time is real.
                ("retry-wait", "0"),
                // A worker that stops waits for a receive that was begun.
                ("receive-wait", "1"),
            ],
            more,
        );
        Self::start(world, |platform, listener, shutdown| yolo_worker::run(settings, platform, listener, shutdown))
            .await
    }

    pub(crate) async fn streamer(world: &World) -> Self {
        let settings = settings::<metric_streamer::Settings>(
            &[
                ("sqs-queue-url", &world.resources.queue_url),
                ("asg-name", resources::GROUP),
                ("dynamodb-table", resources::TABLE),
            ],
            &[],
        );
        Self::start(world, |platform, listener, shutdown| metric_streamer::run(settings, platform, listener, shutdown))
            .await
    }

    async fn start<F>(
        world: &World,
        run: impl FnOnce(Platform, TcpListener, CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let socket = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_nonblocking(true).expect("it does not block");
        let address = socket.local_addr().expect("an address");
        let metrics = Metrics::new(BUILD).expect("metrics");
        let aws = impatient(&world.aws.sdk_config().await);
        let network = ProviderConfig::without_region().with_http_client(fleet::aws::http_client());
        let metadata = imds::Client::builder().configure(&network).endpoint(world.metadata.url());
        let metadata = metadata.expect("an address").build();
        let platform = Platform { build: BUILD, clock: world.clock.clone(), metrics, aws, metadata };
        let (shutdown, killed) = (CancellationToken::new(), CancellationToken::new());
        let (stopping, dying) = (shutdown.clone(), killed.clone());
        let (end, ended) = oneshot::channel();
        let serve = move || {
            metrics.on_this_thread_for_good();
            let runtime = service::runtime(metrics).expect("a runtime");
            let returned = runtime.block_on(async {
                let listener = TcpListener::from_std(socket).expect("a socket");
                tokio::select! {
                    () = dying.cancelled() => None,
                    returned = run(platform, listener, stopping) => Some(returned),
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(10));
            // The test may be over.
            let _ = end.send(returned);
        };
        std::thread::Builder::new().stack_size(STACK).spawn(serve).expect("a thread");
        Self { address, metrics, shutdown, killed, ended }
    }

    /// It stops by itself, and well.
    pub(crate) async fn ended(mut self) {
        let returned = (&mut self.ended).await.expect("no panic");
        returned.expect("nobody killed it").expect("it stops well");
    }

    /// It is told to stop, and does when it has finished what it does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// All its tasks end where they are, and its connections break. Returns when that is so.
    pub(crate) async fn kill(mut self) {
        self.killed.cancel();
        assert!((&mut self.ended).await.expect("no panic").is_none(), "it ended before");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.killed.cancel();
    }
}

/// With AWS's retries, but without their waits.
fn impatient(aws: &SdkConfig) -> SdkConfig {
    let retries = RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(1));
    aws.to_builder().retry_config(retries).build()
}
