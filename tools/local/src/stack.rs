//! Everything, started in order and stopped in order.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use embedded_aws::EmbeddedAws;
use telegram_sandbox::{Sandbox, SandboxOptions};

use crate::{Child, Resources};

/// The public address that polybot tells Telegram. Nothing listens there: the sandbox, in the load balancer's place,
/// brings each update to an instance.
const APP_URL: &str = "https://polybot.invalid/";
/// What polybot and the workers share. Not secret: it guards loopback for as long as this runs.
const RESULTS_SECRET: &str = "local-results-secret";
/// How long a service may take to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program whose `service` command is a service: this one, or in a test the one that is tested.
    pub executable: PathBuf,
    /// A model of models.toml by name, or the path of an ONNX file.
    pub model: String,
    /// How many polybots.
    pub polybots: usize,
    /// How many workers.
    pub workers: usize,
    /// Polybot asks Telegram for updates instead of having them delivered.
    pub long_polling: bool,
    /// More settings, for each service that knows them.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// One of each, from this executable.
    ///
    /// # Errors
    /// If this executable can't be found.
    pub fn here(model: impl Into<String>) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("can't find this program's own file")?;
        Ok(Self { executable, model: model.into(), polybots: 1, workers: 1, long_polling: false, settings: Vec::new() })
    }
}

/// The running fleet. Dropping it kills it.
#[derive(Debug)]
pub struct Stack {
    /// AWS.
    pub aws: EmbeddedAws,
    /// Telegram.
    pub telegram: Sandbox,
    /// What was made in AWS.
    pub resources: Resources,
    /// For clients in this process.
    pub config: SdkConfig,
    /// The bots and where each listens.
    pub polybots: Vec<(Child, SocketAddr)>,
    /// The workers and where each listens.
    pub workers: Vec<(Child, SocketAddr)>,
    /// The metric streamer and where it listens.
    pub metric_streamer: (Child, SocketAddr),
    options: Options,
}

impl Stack {
    /// Start everything; `progress` is told each step in words.
    ///
    /// # Errors
    /// If something does not start, with its reason.
    pub async fn start(options: Options, progress: impl Fn(&str)) -> anyhow::Result<Self> {
        progress("starting the embedded AWS and the Telegram sandbox");
        let aws = EmbeddedAws::start().await.context("can't start the embedded AWS")?;
        let telegram = Sandbox::start(SandboxOptions::default()).await.context("can't start the Telegram sandbox")?;
        let config = aws.sdk_config().await;
        let workers = i32::try_from(options.workers).context("too many workers")?;
        let resources = Resources::create(&config, telegram.token(), workers).await?;

        progress("starting polybot, yolo-worker and metric-streamer");
        let metric_streamer = start_metric_streamer(&options, &aws, &resources)?;
        let polybots = (0..options.polybots).map(|_| start_polybot(&options, &aws, &telegram, &resources));
        let polybots = ready(polybots.collect::<anyhow::Result<_>>()?).await?;
        telegram.deliver_to(polybots.iter().map(|(_, address)| format!("http://{address}/webhook")).collect());
        let results = polybots.first().map(|(_, address)| *address).context("there is no polybot")?;
        let workers = (0..options.workers).map(|_| start_worker(&options, &aws, &resources, results));
        let workers = ready(workers.collect::<anyhow::Result<_>>()?).await?;
        for _ in &workers {
            let instance = aws.auto_scaling().launching(&resources.group)?;
            aws.auto_scaling().in_service(&instance)?;
        }
        let address = metric_streamer.ready().await?;
        Ok(Self {
            aws,
            telegram,
            resources,
            config,
            polybots,
            workers,
            metric_streamer: (metric_streamer, address),
            options,
        })
    }

    /// The address of the first polybot's `/results`.
    #[must_use]
    pub fn results_url(&self) -> String {
        self.polybots.first().map(|(_, address)| results_url(*address)).unwrap_or_default()
    }

    /// What a worker shows there.
    #[must_use]
    pub fn results_secret(&self) -> &'static str {
        RESULTS_SECRET
    }

    /// What it was started with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The services, each with a name for people.
    pub fn children(&self) -> impl Iterator<Item = &(Child, SocketAddr)> {
        self.polybots.iter().chain(&self.workers).chain([&self.metric_streamer])
    }

    /// Stop everything: the services first, so that they find what they need to finish.
    pub async fn stop(self) {
        let children = self.workers.into_iter().chain(self.polybots).chain([self.metric_streamer]);
        let stopping: Vec<_> = children.map(|(child, _)| tokio::spawn(child.stop(GRACE))).collect();
        for stopped in stopping {
            // A panic there has killed its child; nothing more to do.
            let _ = stopped.await;
        }
        self.telegram.stop().await;
        self.aws.stop().await;
    }
}

async fn ready(children: Vec<Child>) -> anyhow::Result<Vec<(Child, SocketAddr)>> {
    let mut ready = Vec::with_capacity(children.len());
    for child in children {
        let address = child.ready().await?;
        ready.push((child, address));
    }
    Ok(ready)
}

fn results_url(polybot: SocketAddr) -> String {
    format!("http://{polybot}/results")
}

fn start_polybot(
    options: &Options,
    aws: &EmbeddedAws,
    telegram: &Sandbox,
    resources: &Resources,
) -> anyhow::Result<Child> {
    let app_url = if options.long_polling { None } else { Some(("TELEGRAM_APP_URL", APP_URL.to_owned())) };
    let settings = [
        ("TELEGRAM_SECRET_ID", resources.secret.clone()),
        ("TELEGRAM_API_URL", telegram.api_url()),
        ("BUCKET_NAME", resources.bucket.clone()),
        ("SQS_QUEUE_URL", resources.queue_url.clone()),
        ("DYNAMODB_TABLE", resources.table.clone()),
        ("RESULTS_SECRET", RESULTS_SECRET.into()),
    ];
    Child::start(&options.executable, "polybot", environment(options, aws, settings.into_iter().chain(app_url)))
}

fn start_worker(
    options: &Options,
    aws: &EmbeddedAws,
    resources: &Resources,
    polybot: SocketAddr,
) -> anyhow::Result<Child> {
    let settings = [
        ("BUCKET_NAME", resources.bucket.clone()),
        ("SQS_QUEUE_URL", resources.queue_url.clone()),
        ("DYNAMODB_TABLE", resources.table.clone()),
        ("POLYBOT_RESULTS_URL", results_url(polybot)),
        ("RESULTS_SECRET", RESULTS_SECRET.into()),
        ("MODEL", options.model.clone()),
        // A worker finishes its receive before it stops; here somebody is waiting for that.
        ("RECEIVE_WAIT", "1".into()),
    ];
    Child::start(&options.executable, "yolo-worker", environment(options, aws, settings))
}

fn start_metric_streamer(options: &Options, aws: &EmbeddedAws, resources: &Resources) -> anyhow::Result<Child> {
    let settings = [("SQS_QUEUE_URL", resources.queue_url.clone()), ("ASG_NAME", resources.group.clone())];
    Child::start(&options.executable, "metric-streamer", environment(options, aws, settings))
}

/// AWS, these settings, and a free port of loopback.
fn environment(
    options: &Options,
    aws: &EmbeddedAws,
    settings: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<(String, String)> {
    let mut environment = aws.environment();
    environment.extend(settings.into_iter().map(|(name, value)| (name.to_owned(), value)));
    environment.extend(options.settings.iter().cloned());
    environment.push(("LISTEN_ADDR".into(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string()));
    environment
}
