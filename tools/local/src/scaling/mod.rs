//! A local Auto Scaling group: worker processes in the place of instances, and a target tracking policy that says how
//! many there are.
//!
//! Three parts that know each other only through AWS's APIs, as in production: metric-streamer publishes a metric, the
//! policy reads it and sets the group's desired capacity, the launcher starts and ends processes until the group is what
//! it should be. Without the first nothing scales.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use embedded_aws::AutoScaling;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::Child;

mod alarms;
mod cause;
mod instance;
mod launcher;
mod machines;
mod metric;
mod policy;
mod time_scale;

pub use launcher::Launcher;
pub use machines::{Machine, NoSuchMachine};
pub use metric::Metric;
pub use policy::{BACKLOG_POLICY, DEMAND_POLICY};
pub use time_scale::TimeScale;

/// What a group scales by: the parameter ScalingPolicy of the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ScalingPolicy {
    /// Workers needed in percent of those in service.
    #[default]
    Demand,
    /// Messages that wait, per worker.
    Backlog,
    /// Out for whichever wants more, in if both agree.
    Both,
}

impl ScalingPolicy {
    /// Whether WorkerDemand is followed.
    #[must_use]
    pub fn follows_demand(self) -> bool {
        matches!(self, Self::Demand | Self::Both)
    }

    /// Whether BacklogPerInstance is followed.
    #[must_use]
    pub fn follows_backlog(self) -> bool {
        matches!(self, Self::Backlog | Self::Both)
    }
}

/// How the group is to scale. All durations are AWS's; the time scale shortens them.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingSettings {
    /// Never fewer workers than this.
    pub min_size: u32,
    /// Never more than this.
    pub max_size: u32,
    /// What it scales by.
    pub policy: ScalingPolicy,
    /// What WorkerDemand should be, in percent.
    pub demand_target: f64,
    /// What BacklogPerInstance should be.
    pub backlog_target: f64,
    /// The alarms' period.
    pub period: Duration,
    /// How much faster than in AWS time goes by.
    pub time_scale: TimeScale,
    /// How long an instance pretends to boot before its worker starts.
    pub boot: Duration,
    /// How long a worker that is in service counts as warming up.
    pub instance_warmup: Duration,
    /// How long a worker may take to finish what it does before it is killed. Not shortened: a photo takes the time that
    /// it takes.
    pub drain: Duration,
}

impl Default for ScalingSettings {
    fn default() -> Self {
        Self {
            min_size: 1,
            max_size: most_workers(),
            policy: ScalingPolicy::default(),
            demand_target: 100.0,
            backlog_target: 10.0,
            period: Duration::from_secs(10),
            time_scale: TimeScale::default(),
            boot: Duration::from_secs(60),
            instance_warmup: Duration::from_secs(40),
            // More than a worker's own DRAIN_TIMEOUT, less than the group's lifecycle hook waits.
            drain: Duration::from_secs(110),
        }
    }
}

impl ScalingSettings {
    /// What it scales by, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let demand = format!("a WorkerDemand of {} %", self.demand_target);
        let backlog = format!("a BacklogPerInstance of {}", self.backlog_target);
        match self.policy {
            ScalingPolicy::Demand => demand,
            ScalingPolicy::Backlog => backlog,
            ScalingPolicy::Both => format!("{demand} and {backlog}"),
        }
    }

    /// The alarms' period as it is here.
    #[must_use]
    pub fn period_here(&self) -> Duration {
        self.time_scale.period(self.period)
    }
}

/// As many as there are cores, but at least two: a group of one can't scale.
fn most_workers() -> u32 {
    std::thread::available_parallelism().map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)).max(2)
}

/// Where troubles are told, in a sentence; the last one is kept.
pub(crate) type Troubles = Arc<watch::Sender<Option<String>>>;

/// The running launcher and policy of one group. Dropping it ends both and the workers.
#[derive(Debug)]
pub struct LocalGroup {
    launcher: Launcher,
    group: String,
    queue_url: String,
    scaling: ScalingSettings,
    troubles: Troubles,
    tasks: TaskTracker,
    stopping: DropGuard,
}

impl LocalGroup {
    /// Put a launcher and a policy on a group that exists. `start` starts the worker of an instance.
    ///
    /// # Errors
    /// If the policy can't be made.
    pub(crate) async fn start(
        config: &SdkConfig,
        auto_scaling: AutoScaling,
        group: &str,
        queue_url: &str,
        scaling: &ScalingSettings,
        start: impl Fn(&str) -> anyhow::Result<Child> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let troubles = Troubles::default();
        let policy = policy::PolicyLoop::create(config, group, queue_url, scaling, Arc::clone(&troubles)).await?;
        let client = aws_sdk_autoscaling::Client::new(config);
        let launcher = Launcher::new(machines::Parts {
            auto_scaling,
            client,
            group: group.to_owned(),
            boot: scaling.time_scale.shorten(scaling.boot),
            unhurried: scaling.min_size,
            drain: scaling.drain,
            start: Box::new(start),
            troubles: Arc::clone(&troubles),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
        });
        tasks.spawn(launcher.clone().run());
        tasks.spawn(policy.run(stopping.clone()));
        Ok(Self {
            launcher,
            group: group.to_owned(),
            queue_url: queue_url.to_owned(),
            scaling: scaling.clone(),
            troubles,
            tasks,
            stopping: stopping.drop_guard(),
        })
    }

    /// A metric that metric-streamer publishes for this group.
    #[must_use]
    pub fn metric(&self, name: &str) -> Metric {
        Metric::published(name, &self.queue_url, &self.group)
    }

    /// How it scales.
    #[must_use]
    pub fn scaling(&self) -> &ScalingSettings {
        &self.scaling
    }

    /// The launcher, which starts and ends the workers.
    #[must_use]
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// Tells when a worker did not start or a call to AWS failed; both go on trying.
    #[must_use]
    pub fn troubles(&self) -> watch::Receiver<Option<String>> {
        self.troubles.subscribe()
    }

    /// Stop scaling and stop the workers, as they would be stopped by a machine that shuts down.
    pub async fn stop(self) {
        let Self { tasks, stopping, .. } = self;
        tasks.close();
        drop(stopping);
        tasks.wait().await;
    }
}
