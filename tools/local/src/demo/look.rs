//! One look at the fleet, through AWS's APIs: what a dashboard would show.

use anyhow::Context;
use aws_sdk_autoscaling::types::{Activity, LifecycleState};
use aws_sdk_cloudwatch::types::StateValue;
use fleet::JobQueue;
use fleet::queue::Depth;

use crate::LocalFleet;
use crate::scaling::LocalGroup;

/// The clients that read the fleet's state.
pub(super) struct Observer<'a> {
    queue: JobQueue,
    cloud_watch: aws_sdk_cloudwatch::Client,
    auto_scaling: aws_sdk_autoscaling::Client,
    group: &'a LocalGroup,
    group_name: &'a str,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) depth: Depth,
    /// Workers needed in the last period, if that was published.
    pub(super) needed: Option<f64>,
    /// The same in percent of those in service.
    pub(super) demand: Option<f64>,
    pub(super) desired: usize,
    pub(super) in_service: usize,
    /// Instances in any state.
    pub(super) instances: usize,
    /// The high alarm, then the low one; none before they were first evaluated.
    pub(super) alarms: Vec<StateValue>,
}

impl<'a> Observer<'a> {
    pub(super) fn new(stack: &'a LocalFleet, group: &'a LocalGroup) -> Self {
        Self {
            queue: JobQueue::new(aws_sdk_sqs::Client::new(&stack.config), &stack.resources.queue_url),
            cloud_watch: aws_sdk_cloudwatch::Client::new(&stack.config),
            auto_scaling: aws_sdk_autoscaling::Client::new(&stack.config),
            group,
            group_name: &stack.resources.group,
        }
    }

    pub(super) async fn look(&self) -> anyhow::Result<Look> {
        let depth = self.queue.depth().await?;
        let period = self.group.scaling().period_here();
        let needed = self.group.metric("WorkersNeeded").latest(&self.cloud_watch, period).await?;
        let demand = self.group.metric("WorkerDemand").latest(&self.cloud_watch, period).await?;
        let described =
            self.auto_scaling.describe_auto_scaling_groups().auto_scaling_group_names(self.group_name).send().await;
        let described = described.context("can't look at the Auto Scaling group")?;
        let group = described.auto_scaling_groups().first().context("the Auto Scaling group is gone")?;
        let in_service = |instance: &&aws_sdk_autoscaling::types::Instance| {
            instance.lifecycle_state() == Some(&LifecycleState::InService)
        };
        let alarms = self.cloud_watch.describe_alarms().alarm_name_prefix("TargetTracking-").send().await;
        // By name: AlarmHigh comes before AlarmLow.
        let alarms = alarms.context("can't look at the alarms")?;
        Ok(Look {
            depth,
            needed,
            demand,
            desired: group.desired_capacity().and_then(|desired| usize::try_from(desired).ok()).unwrap_or(0),
            in_service: group.instances().iter().filter(in_service).count(),
            instances: group.instances().len(),
            alarms: alarms.metric_alarms().iter().filter_map(|alarm| alarm.state_value().cloned()).collect(),
        })
    }

    /// What the group did, the oldest first.
    pub(super) async fn activities(&self) -> anyhow::Result<Vec<Activity>> {
        let described = self.auto_scaling.describe_scaling_activities().auto_scaling_group_name(self.group_name);
        let described = described.send().await.context("can't read the group's activities")?;
        Ok(described.activities().iter().rev().cloned().collect())
    }
}
