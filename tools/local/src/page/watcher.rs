//! Reads the fleet's state from AWS, through the SDKs and nothing else.

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::QueueAttributeName;
use metric_streamer::NAMESPACE;

use super::fleet_state::{ActivityState, AlarmState, CloudState, GroupState, InstanceState, MetricState, QueueState};
use crate::Resources;

/// How far back the last metric may lie.
const METRIC_AGE: Duration = Duration::from_secs(300);
/// How many activities are shown.
const ACTIVITIES: i32 = 30;

/// The clients, and what has to be remembered between two looks.
#[derive(Debug)]
pub(super) struct Watcher {
    sqs: aws_sdk_sqs::Client,
    auto_scaling: aws_sdk_autoscaling::Client,
    cloud_watch: aws_sdk_cloudwatch::Client,
    resources: Resources,
    /// When each instance was first seen: AWS tells no instance's age here, only the activity that started it, which is
    /// forgotten after a while.
    since: HashMap<String, u64>,
}

type Outcome<T> = Result<T, String>;

impl Watcher {
    pub(super) fn new(config: &SdkConfig, resources: Resources) -> Self {
        Self {
            sqs: aws_sdk_sqs::Client::new(config),
            auto_scaling: aws_sdk_autoscaling::Client::new(config),
            cloud_watch: aws_sdk_cloudwatch::Client::new(config),
            resources,
            since: HashMap::new(),
        }
    }

    /// One look at everything.
    pub(super) async fn look(&mut self, now_ms: u64) -> CloudState {
        let (queue, group, policy, needed, alarms, activities) = tokio::join!(
            self.queue(),
            self.group(),
            self.policy(),
            self.metric("WorkersNeeded"),
            self.alarms(),
            self.activities(),
        );
        let mut state = CloudState::default();
        state.queue = keep(queue, &mut state.troubles);
        state.group = keep(group, &mut state.troubles);
        state.needed = keep(needed, &mut state.troubles).flatten().map(|needed| needed.value);
        if let Some((followed, target)) = keep(policy, &mut state.troubles).flatten() {
            state.metric = keep(self.metric(&followed).await, &mut state.troubles).flatten();
            (state.followed, state.target) = (Some(followed), Some(target));
        }
        state.alarms = keep(alarms, &mut state.troubles).unwrap_or_default();
        state.activities = keep(activities, &mut state.troubles).unwrap_or_default();
        if let Some(group) = &mut state.group {
            self.tell_ages(group, &state.activities, now_ms);
        }
        state
    }

    async fn queue(&self) -> Outcome<QueueState> {
        let depth = async |url: &str| -> Outcome<(u64, u64)> {
            let read = self
                .sqs
                .get_queue_attributes()
                .queue_url(url)
                .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
                .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
                .send()
                .await
                .map_err(|error| trouble("the queue", error))?;
            let number = |name: QueueAttributeName| {
                read.attributes().and_then(|all| all.get(&name)?.parse::<u64>().ok()).unwrap_or_default()
            };
            let visible = number(QueueAttributeName::ApproximateNumberOfMessages);
            Ok((visible, number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)))
        };
        let (jobs, dead) =
            tokio::try_join!(depth(&self.resources.queue_url), depth(&self.resources.dead_letter_queue_url))?;
        Ok(QueueState { visible: jobs.0, in_flight: jobs.1, dead: dead.0 })
    }

    async fn group(&self) -> Outcome<GroupState> {
        let name = &self.resources.group;
        let read = self
            .auto_scaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(name)
            .send()
            .await
            .map_err(|error| trouble("the Auto Scaling group", error))?;
        let group =
            read.auto_scaling_groups().first().ok_or_else(|| format!("there is no Auto Scaling group {name}"))?;
        let instances = group.instances().iter().map(|instance| InstanceState {
            id: instance.instance_id().unwrap_or_default().to_owned(),
            state: instance.lifecycle_state().map_or_else(String::new, |state| state.as_str().to_owned()),
            healthy: instance.health_status() != Some("Unhealthy"),
            since_ms: 0,
        });
        Ok(GroupState {
            min: group.min_size().unwrap_or_default(),
            max: group.max_size().unwrap_or_default(),
            desired: group.desired_capacity().unwrap_or_default(),
            instances: instances.collect(),
        })
    }

    /// Which metric the first target tracking policy follows, if there is one, and what it wants it to be.
    async fn policy(&self) -> Outcome<Option<(String, f64)>> {
        let read = self
            .auto_scaling
            .describe_policies()
            .auto_scaling_group_name(&self.resources.group)
            .send()
            .await
            .map_err(|error| trouble("the scaling policies", error))?;
        let followed = |policy: &aws_sdk_autoscaling::types::ScalingPolicy| {
            let tracked = policy.target_tracking_configuration()?;
            let query = tracked.customized_metric_specification()?.metrics().first()?;
            Some((query.metric_stat()?.metric()?.metric_name()?.to_owned(), tracked.target_value()?))
        };
        let mut all: Vec<_> = read.scaling_policies().iter().filter_map(followed).collect();
        // Where there are several, WorkerDemand says more.
        all.sort_by_key(|(name, _)| name != "WorkerDemand");
        Ok(all.into_iter().next())
    }

    async fn metric(&self, name: &str) -> Outcome<Option<MetricState>> {
        let now = SystemTime::now();
        let queue = self.resources.queue_url.rsplit('/').next().unwrap_or_default();
        let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let read = self
            .cloud_watch
            .get_metric_statistics()
            .namespace(NAMESPACE)
            .metric_name(name)
            .dimensions(dimension("QueueName", queue))
            .dimensions(dimension("AutoScalingGroupName", &self.resources.group))
            .start_time(DateTime::from(now - METRIC_AGE))
            .end_time(DateTime::from(now + Duration::from_secs(1)))
            // Finer than real CloudWatch keeps this metric; the embedded one keeps each point.
            .period(1)
            .statistics(Statistic::Average)
            .send()
            .await
            .map_err(|error| trouble(&format!("the metric {name}"), error))?;
        let points = read.datapoints().iter().filter_map(|point| {
            Some(MetricState { value: point.average()?, at_ms: millis(point.timestamp().copied())? })
        });
        Ok(points.max_by_key(|point| point.at_ms))
    }

    async fn alarms(&self) -> Outcome<Vec<AlarmState>> {
        let read = self.cloud_watch.describe_alarms().send().await.map_err(|error| trouble("the alarms", error))?;
        let alarms = read.metric_alarms().iter().map(|alarm| AlarmState {
            name: alarm.alarm_name().unwrap_or_default().to_owned(),
            state: alarm.state_value().map_or_else(String::new, |state| state.as_str().to_owned()),
            reason: alarm.state_reason().unwrap_or_default().to_owned(),
            threshold: alarm.threshold(),
            comparison: alarm.comparison_operator().map_or_else(String::new, |it| it.as_str().to_owned()),
            since_ms: millis(alarm.state_updated_timestamp().copied()),
        });
        Ok(alarms.collect())
    }

    async fn activities(&self) -> Outcome<Vec<ActivityState>> {
        let read = self
            .auto_scaling
            .describe_scaling_activities()
            .auto_scaling_group_name(&self.resources.group)
            .max_records(ACTIVITIES)
            .send()
            .await
            .map_err(|error| trouble("the scaling activities", error))?;
        let activities = read.activities().iter().map(|activity| ActivityState {
            id: activity.activity_id().unwrap_or_default().to_owned(),
            description: activity.description().unwrap_or_default().to_owned(),
            cause: activity.cause().unwrap_or_default().to_owned(),
            status: activity.status_code().map_or_else(String::new, |status| status.as_str().to_owned()),
            started_ms: millis(activity.start_time().copied()),
            ended_ms: millis(activity.end_time().copied()),
        });
        Ok(activities.collect())
    }

    /// From the activity that started it, else since it was first seen.
    fn tell_ages(&mut self, group: &mut GroupState, activities: &[ActivityState], now_ms: u64) {
        for instance in &mut group.instances {
            let launched = || {
                let of_it = |activity: &&ActivityState| {
                    activity.description.starts_with("Launching") && activity.description.contains(&instance.id)
                };
                activities.iter().find(of_it).and_then(|activity| activity.started_ms)
            };
            instance.since_ms = *self.since.entry(instance.id.clone()).or_insert_with(|| launched().unwrap_or(now_ms));
        }
        self.since.retain(|id, _| group.instances.iter().any(|instance| instance.id == *id));
    }
}

/// What was read; else its failure goes to the others.
fn keep<T>(outcome: Outcome<T>, troubles: &mut Vec<String>) -> Option<T> {
    outcome.map_err(|trouble| troubles.push(trouble)).ok()
}

fn trouble(what: &str, error: impl Error) -> String {
    format!("can't read {what}: {}", DisplayErrorContext(error))
}

fn millis(at: Option<DateTime>) -> Option<u64> {
    at.and_then(|at| at.to_millis().ok()).and_then(|millis| u64::try_from(millis).ok())
}
