//! Everything, started in order and stopped in order.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use aws_config::SdkConfig;
use embedded_aws::EmbeddedAws;
use futures_util::future::join_all;
use telegram_sandbox::{Sandbox, SandboxOptions};
use tokio::net::TcpListener;

use crate::keeper;
use crate::resources::GroupSize;
use crate::scaling::LocalGroup;
use crate::{Child, Launcher, RealTelegram, Resources, ScalingSettings};

/// The public address that polybot tells Telegram. Nothing listens there: the sandbox, in the load balancer's place,
/// brings each update to an instance.
const APP_URL: &str = "https://polybot.invalid/";
/// What polybot and the workers share. Not secret: it guards loopback for as long as this runs.
const RESULTS_SECRET: &str = "local-results-secret";
/// How long a service may take to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How often metric-streamer publishes, unless told otherwise: its own default. A scaled time shortens it.
const INTERVAL: Duration = Duration::from_secs(10);
/// For how long nothing is sent before the last worker goes, where none has to stay: metric-streamer's own default.
const IDLE_BEFORE_ZERO: Duration = Duration::from_secs(900);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program whose `service` command is a service: this one, or in a test the one that is tested.
    pub executable: PathBuf,
    /// A model of models.toml by name, or the path of an ONNX file.
    pub model: String,
    /// How many polybots.
    pub polybots: usize,
    /// How many workers, where their number stays.
    pub workers: usize,
    /// Let the group scale: workers come and go, and `workers` does not count.
    pub scaling: Option<ScalingSettings>,
    /// Serve a bot at the real Telegram, by long polling; the sandbox then has nobody in it.
    pub telegram: Option<RealTelegram>,
    /// Keep photos, records and jobs in this folder, for the next start.
    pub data_dir: Option<PathBuf>,
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
        Ok(Self {
            executable,
            model: model.into(),
            polybots: 1,
            workers: 1,
            scaling: None,
            telegram: None,
            data_dir: None,
            long_polling: false,
            settings: Vec::new(),
        })
    }
}

/// The running fleet. Dropping it kills it.
#[derive(Debug)]
pub struct LocalFleet {
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
    /// The workers and where each listens, where their number stays.
    pub workers: Vec<(Child, SocketAddr)>,
    /// The workers that come and go.
    pub group: Option<LocalGroup>,
    /// The metric streamer and where it listens.
    pub metric_streamer: (Child, SocketAddr),
    options: Options,
}

impl LocalFleet {
    /// Start everything; `progress` is told each step in words.
    ///
    /// # Errors
    /// If something does not start, with its reason.
    pub async fn start(options: Options, progress: impl Fn(&str)) -> anyhow::Result<Self> {
        progress("starting the embedded AWS and the Telegram sandbox");
        let aws = start_aws(options.data_dir.as_deref()).await.context("can't start the embedded AWS")?;
        let telegram = Sandbox::start(SandboxOptions::default()).await.context("can't start the Telegram sandbox")?;
        let config = aws.sdk_config().await;
        let size = group_size(&options)?;
        let sandbox_token = options.telegram.is_none().then(|| telegram.token());
        let resources = Resources::create(&config, sandbox_token, size).await?;

        progress("starting polybot, yolo-worker and metric-streamer");
        let metric_streamer = start_metric_streamer(&options, &aws, &resources, None)?;
        let polybots = (0..options.polybots).map(|_| start_polybot(&options, &aws, &telegram, &resources, None));
        let polybots = ready(polybots.collect::<anyhow::Result<_>>()?).await?;
        if options.telegram.is_none() {
            telegram.deliver_to(polybots.iter().map(|(_, address)| format!("http://{address}/webhook")).collect());
        }
        let results = polybots.first().map(|(_, address)| *address).context("there is no polybot")?;
        let environment = worker_environment(&options, &aws, &resources, results);
        let (workers, group) = match &options.scaling {
            Some(scaling) => {
                let executable = options.executable.clone();
                let start = move |_: &str| Child::start(&executable, "yolo-worker", environment.iter().cloned());
                let auto_scaling = aws.auto_scaling().clone();
                let group =
                    LocalGroup::start(&config, auto_scaling, &resources.group, &resources.queue_url, scaling, start)
                        .await?;
                all_in_service(&aws, &resources.group, &group).await?;
                (Vec::new(), Some(group))
            }
            None => {
                let start = || Child::start(&options.executable, "yolo-worker", environment.iter().cloned());
                let workers = ready((0..options.workers).map(|_| start()).collect::<anyhow::Result<_>>()?).await?;
                for (worker, _) in &workers {
                    worker.takes_jobs().await?;
                    let instance = aws.auto_scaling().launching(&resources.group)?;
                    aws.auto_scaling().in_service(&instance)?;
                }
                (workers, None)
            }
        };
        let address = metric_streamer.ready().await?;
        metric_streamer
            .logged(|line| line.event() == "published")
            .await
            .context("metric-streamer publishes nothing")?;
        Ok(Self {
            aws,
            telegram,
            resources,
            config,
            polybots,
            workers,
            group,
            metric_streamer: (metric_streamer, address),
            options,
        })
    }

    /// The launcher, which starts and ends workers; `None` if their number is fixed.
    #[must_use]
    pub fn launcher(&self) -> Option<&Launcher> {
        self.group.as_ref().map(LocalGroup::launcher)
    }

    /// Start one more worker beside those whose number stays.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn add_worker(&mut self) -> anyhow::Result<()> {
        let results = self.polybots.first().map(|(_, address)| *address).context("there is no polybot")?;
        let environment = worker_environment(&self.options, &self.aws, &self.resources, results);
        let worker = Child::start(&self.options.executable, "yolo-worker", environment)?;
        let address = worker.ready().await?;
        self.workers.push((worker, address));
        Ok(())
    }

    /// Start a polybot at the address of this one, which has ended.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_polybot(&mut self, place: usize) -> anyhow::Result<()> {
        let address = self.polybots.get(place).map(|(_, address)| *address).context("there is no such polybot")?;
        let polybot = start_polybot(&self.options, &self.aws, &self.telegram, &self.resources, Some(address))?;
        polybot.ready().await?;
        self.polybots[place] = (polybot, address);
        Ok(())
    }

    /// For ever: whichever of the [children](Self::children) ends is started again, at its address; `tell` is told in words. The
    /// workers that come and go are the group's to replace.
    pub async fn keep_running(&mut self, tell: impl Fn(&str)) {
        let results = self.polybots.first().map(|(_, address)| *address);
        let Self { aws, telegram, resources, polybots, workers, metric_streamer, options, .. } = self;
        let (aws, telegram, resources, options, tell) = (&*aws, &*telegram, &*resources, &*options, &tell);
        let polybots = polybots.iter_mut().map(|(child, address)| {
            let address = *address;
            keeper::keep(child, tell, move || start_polybot(options, aws, telegram, resources, Some(address)))
        });
        let workers = workers.iter_mut().map(|(child, address)| {
            let address = *address;
            keeper::keep(child, tell, move || {
                let mut environment = worker_environment(options, aws, resources, results.unwrap_or(address));
                environment.push(listens_at(address));
                Child::start(&options.executable, "yolo-worker", environment)
            })
        });
        let (child, address) = metric_streamer;
        let address = *address;
        let metric_streamer =
            keeper::keep(child, tell, move || start_metric_streamer(options, aws, resources, Some(address)));
        tokio::join!(join_all(polybots), join_all(workers), metric_streamer);
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

    /// The environment in which a program finds this fleet and nothing else, such as `flood` or the AWS command line. What
    /// is empty there is better unset: to the AWS command line an empty profile, or one in no file, is an error.
    #[must_use]
    pub fn client_environment(&self) -> Vec<(String, String)> {
        let resources = &self.resources;
        let settings = [
            ("AWS_PROFILE", ""),
            ("AWS_DEFAULT_PROFILE", ""),
            ("BUCKET_NAME", &resources.bucket),
            ("SQS_QUEUE_URL", &resources.queue_url),
            ("DEAD_LETTER_QUEUE_URL", &resources.dead_letter_queue_url),
            ("DYNAMODB_TABLE", &resources.table),
            ("ASG_NAME", &resources.group),
        ];
        let aws = self.aws.environment().into_iter().filter(|(name, _)| name != "AWS_PROFILE");
        aws.chain(settings.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
    }

    /// What it was started with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The services, each with a name for people; not the workers that come and go.
    pub fn children(&self) -> impl Iterator<Item = &(Child, SocketAddr)> {
        self.polybots.iter().chain(&self.workers).chain([&self.metric_streamer])
    }

    /// Stop everything: the services first, so that they find what they need to finish.
    pub async fn stop(self) {
        if let Some(group) = self.group {
            group.stop().await;
        }
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

async fn start_aws(data_dir: Option<&Path>) -> anyhow::Result<EmbeddedAws> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(match data_dir {
        Some(folder) => EmbeddedAws::serve_in(listener, folder).await?,
        None => EmbeddedAws::serve(listener)?,
    })
}

async fn ready(children: Vec<Child>) -> anyhow::Result<Vec<(Child, SocketAddr)>> {
    let mut ready = Vec::with_capacity(children.len());
    for child in children {
        let address = child.ready().await?;
        ready.push((child, address));
    }
    Ok(ready)
}

/// Wait until the group has as many workers as it should have at the start.
async fn all_in_service(aws: &EmbeddedAws, name: &str, group: &LocalGroup) -> anyhow::Result<()> {
    let mut troubles = group.troubles();
    let failed = async {
        loop {
            let trouble = troubles.borrow_and_update().clone();
            if trouble.is_some() || troubles.changed().await.is_err() {
                return trouble.unwrap_or_default();
            }
        }
    };
    tokio::select! {
        _ = aws.auto_scaling().wait_for(name, |group| group.in_service() >= group.desired_capacity as usize) => Ok(()),
        trouble = failed => bail!(trouble),
    }
}

fn group_size(options: &Options) -> anyhow::Result<GroupSize> {
    let size = |size: u32| i32::try_from(size).context("too many workers");
    Ok(match &options.scaling {
        Some(scaling) => {
            let (min, max) = (size(scaling.min_size)?, size(scaling.max_size)?);
            GroupSize { min, max, desired: min, drains: true }
        }
        None => {
            let workers = i32::try_from(options.workers).context("too many workers")?;
            GroupSize { min: 0, max: workers.max(4), desired: workers, drains: false }
        }
    })
}

fn results_url(polybot: SocketAddr) -> String {
    format!("http://{polybot}/results")
}

/// At this address, or at a free port.
fn start_polybot(
    options: &Options,
    aws: &EmbeddedAws,
    telegram: &Sandbox,
    resources: &Resources,
    address: Option<SocketAddr>,
) -> anyhow::Result<Child> {
    let mut settings = vec![
        ("BUCKET_NAME", resources.bucket.clone()),
        ("SQS_QUEUE_URL", resources.queue_url.clone()),
        ("DYNAMODB_TABLE", resources.table.clone()),
        ("RESULTS_SECRET", RESULTS_SECRET.into()),
        ("DEAD_LETTER_QUEUE_URL", resources.dead_letter_queue_url.clone()),
    ];
    match &options.telegram {
        // By its environment and not by the secret in the embedded AWS, which serves every process of this machine.
        Some(real) => settings.extend(real.environment()),
        None => {
            settings.push(("TELEGRAM_SECRET_ID", resources.secret.clone()));
            settings.push(("TELEGRAM_API_URL", telegram.api_url()));
            if !options.long_polling {
                settings.push(("TELEGRAM_APP_URL", APP_URL.to_owned()));
            }
        }
    }
    let mut environment = environment(options, aws, settings);
    environment.extend(address.map(listens_at));
    Child::start(&options.executable, "polybot", environment)
}

fn worker_environment(
    options: &Options,
    aws: &EmbeddedAws,
    resources: &Resources,
    polybot: SocketAddr,
) -> Vec<(String, String)> {
    let mut settings = vec![
        ("BUCKET_NAME", resources.bucket.clone()),
        ("SQS_QUEUE_URL", resources.queue_url.clone()),
        ("DYNAMODB_TABLE", resources.table.clone()),
        ("POLYBOT_RESULTS_URL", results_url(polybot)),
        ("RESULTS_SECRET", RESULTS_SECRET.into()),
        ("MODEL", options.model.clone()),
        // A worker finishes its receive before it stops; here somebody is waiting for that.
        ("RECEIVE_WAIT", "1".into()),
    ];
    settings.push(("REPORT_INTERVAL", seconds(interval(options))));
    if options.scaling.is_some() {
        // One core each: else one worker would take all of them, and a second would bring nothing.
        settings.push(("THREADS", "1".into()));
    }
    environment(options, aws, settings)
}

/// At this address, or at a free port.
fn start_metric_streamer(
    options: &Options,
    aws: &EmbeddedAws,
    resources: &Resources,
    address: Option<SocketAddr>,
) -> anyhow::Result<Child> {
    let time_scale = options.scaling.as_ref().map_or(1, |scaling| scaling.time_scale.times());
    let settings = [
        ("SQS_QUEUE_URL", resources.queue_url.clone()),
        ("ASG_NAME", resources.group.clone()),
        ("DYNAMODB_TABLE", resources.table.clone()),
        ("INTERVAL", seconds(interval(options))),
        ("REPORT_INTERVAL", seconds(interval(options))),
        ("IDLE_BEFORE_ZERO", seconds(IDLE_BEFORE_ZERO / time_scale)),
        ("TIME_SCALE", time_scale.to_string()),
    ];
    let mut environment = environment(options, aws, settings);
    environment.extend(address.map(listens_at));
    Child::start(&options.executable, "metric-streamer", environment)
}

fn listens_at(address: SocketAddr) -> (String, String) {
    ("LISTEN_ADDR".into(), address.to_string())
}

/// Between two metrics, and between two reports of a worker.
fn interval(options: &Options) -> Duration {
    options.scaling.as_ref().map_or(INTERVAL, |scaling| scaling.time_scale.shorten(INTERVAL))
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
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
    environment.push(listens_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    environment
}
