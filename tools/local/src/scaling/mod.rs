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
mod metric;
mod policy;
mod time_scale;

pub use launcher::{Launcher, Machine, NoSuchMachine};
pub use metric::Metric;
pub use policy::POLICY_NAME;
pub use time_scale::TimeScale;

/// How the group is to scale. All durations are AWS's; the time scale shortens them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// Never fewer workers than this.
    pub min_size: u32,
    /// Never more than this.
    pub max_size: u32,
    /// What BacklogPerInstance should be.
    pub target_value: f64,
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

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min_size: 1,
            max_size: most_workers(),
            target_value: 10.0,
            time_scale: TimeScale::default(),
            boot: Duration::from_secs(60),
            instance_warmup: Duration::from_secs(60),
            drain: Duration::from_secs(100),
        }
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
    auto_scaling: aws_sdk_autoscaling::Client,
    group: String,
    metric: Metric,
    scaling: Scaling,
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
        metric: Metric,
        scaling: &Scaling,
        start: impl Fn(&str) -> anyhow::Result<Child> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let troubles = Troubles::default();
        let policy = policy::PolicyLoop::create(config, group, metric.clone(), scaling, Arc::clone(&troubles)).await?;
        let client = aws_sdk_autoscaling::Client::new(config);
        let launcher = Launcher::new(launcher::Parts {
            auto_scaling,
            client: client.clone(),
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
            auto_scaling: client,
            group: group.to_owned(),
            metric,
            scaling: scaling.clone(),
            troubles,
            tasks,
            stopping: stopping.drop_guard(),
        })
    }

    /// Track another target from the next evaluation on.
    ///
    /// # Errors
    /// If Auto Scaling refuses it.
    pub async fn set_target(&self, target_value: f64) -> anyhow::Result<()> {
        let scaling = Scaling { target_value, ..self.scaling.clone() };
        policy::put(&self.auto_scaling, &self.group, &self.metric, &scaling).await
    }

    /// What the group scales by.
    #[must_use]
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// Who starts and ends the workers.
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
