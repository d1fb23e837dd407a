//! The loop: read, compute, publish.

use std::time::Duration;

use aws_sdk_autoscaling::types::LifecycleState;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use fleet::{AwsError, JobQueue};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;

/// The CloudWatch namespace of all that is published here.
pub const NAMESPACE: &str = "Polybot";

/// One queue, one group, one metric.
#[derive(Clone, Debug)]
pub struct Streamer {
    /// The jobs.
    pub queue: JobQueue,
    /// Auto Scaling.
    pub auto_scaling: aws_sdk_autoscaling::Client,
    /// CloudWatch.
    pub cloud_watch: aws_sdk_cloudwatch::Client,
    /// The workers' group.
    pub group: String,
}

impl Streamer {
    /// Publish every `interval` until `shutdown`. A look that fails is logged; the next one comes all the same.
    pub async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            match self.publish().await {
                Ok(backlog) => {
                    metrics::counter!("streamer_published_total").increment(1);
                    metrics::gauge!("streamer_backlog_per_instance").set(backlog.per_instance());
                    tracing::info!(
                        backlog_visible = backlog.depth.visible,
                        backlog_in_flight = backlog.depth.in_flight,
                        in_service = backlog.in_service,
                        backlog_per_instance = backlog.per_instance(),
                        "published"
                    );
                }
                Err(error) => {
                    metrics::counter!("streamer_failures_total").increment(1);
                    tracing::error!(%error, "the backlog was not published; trying again in the next interval");
                }
            }
        }
    }

    /// One look, published.
    ///
    /// # Errors
    /// [`AwsError`] of the first call that failed; nothing is published then.
    pub async fn publish(&self) -> Result<Backlog, AwsError> {
        let (depth, in_service) = tokio::try_join!(self.queue.depth(), self.in_service())?;
        let backlog = Backlog { depth, in_service };
        let metric = |name: &str, value: f64, unit: StandardUnit| {
            MetricDatum::builder()
                .metric_name(name)
                .value(value)
                .unit(unit)
                .dimensions(Dimension::builder().name("QueueName").value(self.queue.name()).build())
                .dimensions(Dimension::builder().name("AutoScalingGroupName").value(&self.group).build())
                .build()
        };
        self.cloud_watch
            .put_metric_data()
            .namespace(NAMESPACE)
            .metric_data(metric("BacklogPerInstance", backlog.per_instance(), StandardUnit::None))
            .metric_data(metric("BacklogVisible", depth.visible as f64, StandardUnit::Count))
            .metric_data(metric("BacklogInFlight", depth.in_flight as f64, StandardUnit::Count))
            .metric_data(metric("InServiceInstances", in_service as f64, StandardUnit::Count))
            .send()
            .await
            .map_err(|error| AwsError::new(format!("publishing the backlog to CloudWatch as {NAMESPACE}"), error))?;
        Ok(backlog)
    }

    /// Instances of the group that are InService.
    async fn in_service(&self) -> Result<usize, AwsError> {
        let tried = || format!("looking at the Auto Scaling group {}", self.group);
        let groups = self
            .auto_scaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(&self.group)
            .send()
            .await
            .map_err(|error| AwsError::new(tried(), error))?;
        let group = groups
            .auto_scaling_groups()
            .first()
            .ok_or_else(|| AwsError::unexpected(tried(), "there is no group of this name (ASG_NAME) in this region"))?;
        let in_service = |state: Option<&LifecycleState>| state == Some(&LifecycleState::InService);
        Ok(group.instances().iter().filter(|instance| in_service(instance.lifecycle_state())).count())
    }
}
