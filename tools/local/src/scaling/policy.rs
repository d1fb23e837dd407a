//! The policies at work: once a period they evaluate their alarms, and set the desired capacity that these call for. They reach
//! CloudWatch and Auto Scaling through the SDKs only, so they know what a policy in AWS knows.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_autoscaling::primitives::{DateTime, DateTimeFormat};
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, CustomizedMetricSpecification, LifecycleState, MetricDimension, ScalingPolicy,
    TargetTrackingConfiguration, TargetTrackingMetricDataQuery, TargetTrackingMetricStat,
};
use demand::Why;
use embedded_aws::CAUSE_HEADER;
use target_tracking::{AlarmAction, Capacity, Evaluation, Phase, Policy, Vote, combined};
use tokio_util::sync::CancellationToken;

use super::alarms::{self, KeptAlarm};
use super::metric::PeriodEnd;
use super::{Metric, ScalingSettings, TimeScale, Troubles, cause};

/// What is promised: metric-streamer's default, which is not shortened, as a photo takes the time that it takes.
const PROMISE: Duration = Duration::from_secs(10);
/// The name of the policy that follows WorkerDemand.
pub const DEMAND_POLICY: &str = "worker-demand";
/// The name of the policy that follows BacklogPerInstance.
pub const BACKLOG_POLICY: &str = "backlog-per-instance";

/// The policies of one group.
#[derive(Debug)]
pub(super) struct PolicyLoop {
    cloud_watch: aws_sdk_cloudwatch::Client,
    auto_scaling: aws_sdk_autoscaling::Client,
    group: String,
    queue_url: String,
    time_scale: TimeScale,
    period: Duration,
    /// What each policy's alarms were when they were last written to CloudWatch, by the policy's name.
    written: HashMap<String, Policy>,
    /// The action of each alarm, by the alarm's name.
    actions: HashMap<String, AlarmAction>,
    /// What the actions' clock counts from.
    began: Instant,
    troubles: Troubles,
}

/// A policy as Auto Scaling has it.
struct Found {
    name: String,
    metric: Metric,
    policy: Policy,
    arn: String,
    high: KeptAlarm,
    low: KeptAlarm,
    instance_warmup: Duration,
}

/// What one policy asks for.
struct Asked {
    found: Found,
    vote: Vote,
    is_out_invoked: bool,
    is_in_invoked: bool,
}

impl PolicyLoop {
    /// Put the policies on the group.
    ///
    /// # Errors
    /// If Auto Scaling refuses them.
    pub(super) async fn create(
        config: &SdkConfig,
        group: &str,
        queue_url: &str,
        scaling: &ScalingSettings,
        troubles: Troubles,
    ) -> anyhow::Result<Self> {
        let auto_scaling = aws_sdk_autoscaling::Client::new(config);
        if scaling.policy.follows_demand() {
            let metric = Metric::worker_demand(queue_url, group);
            put(&auto_scaling, group, DEMAND_POLICY, &metric, scaling.demand_target, scaling).await?;
        }
        if scaling.policy.follows_backlog() {
            let metric = Metric::backlog_per_instance(queue_url, group);
            put(&auto_scaling, group, BACKLOG_POLICY, &metric, scaling.backlog_target, scaling).await?;
        }
        Ok(Self {
            cloud_watch: aws_sdk_cloudwatch::Client::new(config),
            auto_scaling,
            group: group.to_owned(),
            queue_url: queue_url.to_owned(),
            time_scale: scaling.time_scale,
            period: scaling.period_here(),
            written: HashMap::new(),
            actions: HashMap::new(),
            began: Instant::now(),
            troubles,
        })
    }

    /// Evaluate at the end of each period until `stopping`.
    pub(super) async fn run(mut self, stopping: CancellationToken) {
        // A little after the end, so that what was published at the end is there.
        let late = self.period / 20;
        loop {
            let wait = PeriodEnd::until_next(SystemTime::now(), self.period) + late;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
            let end = PeriodEnd::before(SystemTime::now(), self.period);
            tokio::select! {
                evaluated = self.evaluate(end) => {
                    if let Err(error) = evaluated {
                        self.troubles.send_replace(Some(format!("the scaling policy: {error:#}")));
                    }
                }
                () = stopping.cancelled() => return,
            }
        }
    }

    async fn evaluate(&mut self, end: PeriodEnd) -> anyhow::Result<()> {
        // A user who deletes the policies or the group wants no scaling.
        let policies = self.policies().await?;
        let Some(group) = self.described_group().await? else { return Ok(()) };
        let mut all = Vec::with_capacity(policies.len());
        let mut desired = 0;
        for found in policies {
            let capacity = self.capacity(&group, found.instance_warmup).await?;
            desired = capacity.desired;
            all.push(self.ask(found, end, &capacity).await?);
        }
        let Some(scaling) = combined(all.iter().map(|asked| asked.vote)) else { return Ok(()) };
        let is_out = matches!(scaling, target_tracking::CapacityChange::Out(_));
        let is_invoked = |asked: &Asked| if is_out { asked.is_out_invoked } else { asked.is_in_invoked };
        if !all.iter().any(is_invoked) {
            return Ok(());
        }
        if let Some(asked) = all.iter().find(|asked| asked.vote.scaling == Some(scaling)) {
            let alarm = if is_out { &asked.found.high } else { &asked.found.low };
            let why = self.why(desired, scaling.desired()).await;
            self.set_desired(&asked.found.name, &alarm.name, desired, scaling.desired(), why).await?;
        }
        Ok(())
    }

    /// Evaluate one policy's alarms.
    async fn ask(&mut self, found: Found, end: PeriodEnd, capacity: &Capacity) -> anyhow::Result<Asked> {
        if self.written.get(&found.name) != Some(&found.policy) {
            for kept in [&found.high, &found.low] {
                alarms::put(&self.cloud_watch, kept, &found.metric, self.period, &found.arn).await?;
            }
            self.written.insert(found.name.clone(), found.policy);
        }
        let range = found.high.alarm.evaluation_range().max(found.low.alarm.evaluation_range());
        let points = found.metric.points(&self.cloud_watch, end, range).await?;
        let high = self.evaluated(&found.high, &points).await?;
        let low = self.evaluated(&found.low, &points).await?;
        let (now, minute) = (self.began.elapsed(), self.time_scale.minute());
        let mut is_invoked = |kept: &KeptAlarm, evaluation: &Evaluation| {
            self.actions.entry(kept.name.clone()).or_default().is_invoked(evaluation.state, now, minute)
        };
        let (is_out_invoked, is_in_invoked) = (is_invoked(&found.high, &high), is_invoked(&found.low, &low));
        let scaling = found.policy.scale(&high, &low, capacity);
        let vote = Vote { scaling, has_scale_in: !found.policy.disable_scale_in };
        Ok(Asked { found, vote, is_out_invoked, is_in_invoked })
    }

    /// What metric-streamer last saw, for people; `None` if it has not published anything lately.
    async fn why(&self, from: u32, to: u32) -> Option<Why> {
        let latest = async |name: &str| {
            let metric = Metric::published(name, &self.queue_url, &self.group);
            metric.latest(&self.cloud_watch, self.period).await.ok().flatten()
        };
        let (arrivals, keeping_up, waiting) =
            (latest("ArrivalRate").await?, latest("WorkersKeepingUp").await?, latest("BacklogVisible").await?);
        // `as` saturates.
        Some(Why { from, to, arrivals, keeping_up, waiting: waiting.round() as u64, promise: PROMISE })
    }

    /// Evaluate one alarm, and tell CloudWatch if its state changed.
    async fn evaluated(&self, kept: &KeptAlarm, points: &[Option<f64>]) -> anyhow::Result<Evaluation> {
        let before = alarms::state(&self.cloud_watch, &kept.name).await?;
        let evaluation = kept.alarm.evaluate(points, before);
        if evaluation.state != before {
            alarms::set_state(&self.cloud_watch, kept, &evaluation).await?;
        }
        Ok(evaluation)
    }

    async fn policies(&self) -> anyhow::Result<Vec<Found>> {
        let described = self
            .auto_scaling
            .describe_policies()
            .auto_scaling_group_name(&self.group)
            .send()
            .await
            .with_context(|| format!("can't read the scaling policies of the group {}", self.group))?;
        let tracking = |policy: &&ScalingPolicy| policy.target_tracking_configuration().is_some();
        described.scaling_policies().iter().filter(tracking).map(|policy| read(policy, self.time_scale)).collect()
    }

    async fn described_group(&self) -> anyhow::Result<Option<AutoScalingGroup>> {
        let described = self
            .auto_scaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(&self.group)
            .send()
            .await
            .with_context(|| format!("can't look at the Auto Scaling group {}", self.group))?;
        Ok(described.auto_scaling_groups().first().cloned())
    }

    /// The group's size. Since when an instance is in service, its launching activity tells.
    async fn capacity(&self, group: &AutoScalingGroup, instance_warmup: Duration) -> anyhow::Result<Capacity> {
        let described = self
            .auto_scaling
            .describe_scaling_activities()
            .auto_scaling_group_name(&self.group)
            .send()
            .await
            .with_context(|| format!("can't read the activities of the Auto Scaling group {}", self.group))?;
        let launched: HashMap<&str, DateTime> = described
            .activities()
            .iter()
            .filter_map(|activity| {
                let (what, instance) = activity.description()?.rsplit_once(": ")?;
                what.starts_with("Launching").then_some((instance, *activity.end_time()?))
            })
            .collect();
        let now = SystemTime::now();
        let phase = |instance: &aws_sdk_autoscaling::types::Instance| match instance.lifecycle_state() {
            Some(LifecycleState::InService) => {
                let since = launched.get(instance.instance_id()?).and_then(|at| SystemTime::try_from(*at).ok());
                // An instance whose launch is forgotten is old.
                Some(Phase::InService(since.map_or(Duration::MAX, |at| now.duration_since(at).unwrap_or_default())))
            }
            Some(LifecycleState::Pending | LifecycleState::PendingWait | LifecycleState::PendingProceed) => {
                Some(Phase::Pending)
            }
            _ => Some(Phase::Terminating),
        };
        let size = |size: Option<i32>| size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
        Ok(Capacity::of(
            size(group.min_size()),
            size(group.max_size()),
            size(group.desired_capacity()),
            instance_warmup,
            group.instances().iter().filter_map(phase),
        ))
    }

    async fn set_desired(&self, policy: &str, alarm: &str, from: u32, to: u32, why: Option<Why>) -> anyhow::Result<()> {
        let at = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::DateTime)?;
        let cause = cause::of_scaling(&at, alarm, policy, from, to, why);
        self.auto_scaling
            .set_desired_capacity()
            .auto_scaling_group_name(&self.group)
            .desired_capacity(i32::try_from(to)?)
            .customize()
            .mutate_request(move |request| {
                request.headers_mut().insert(CAUSE_HEADER, cause.clone());
            })
            .send()
            .await
            .with_context(|| format!("can't set the desired capacity of the group {} to {to}", self.group))?;
        Ok(())
    }
}

/// Put the policy on the group, in the place of the one of this name that it may have.
async fn put(
    client: &aws_sdk_autoscaling::Client,
    group: &str,
    name: &str,
    metric: &Metric,
    target_value: f64,
    scaling: &ScalingSettings,
) -> anyhow::Result<()> {
    let dimension = |(name, value): &(String, String)| MetricDimension::builder().name(name).value(value).build();
    let followed = aws_sdk_autoscaling::types::Metric::builder()
        .namespace(&metric.namespace)
        .metric_name(&metric.name)
        .set_dimensions(Some(metric.dimensions.iter().map(dimension).collect()))
        .build();
    let stat = TargetTrackingMetricStat::builder()
        .metric(followed)
        .stat("Average")
        .period(i32::try_from(scaling.period_here().as_secs()).unwrap_or(60))
        .build();
    let query = TargetTrackingMetricDataQuery::builder().id("followed").metric_stat(stat).return_data(true).build();
    let tracking = TargetTrackingConfiguration::builder()
        .customized_metric_specification(CustomizedMetricSpecification::builder().metrics(query).build())
        .target_value(target_value)
        .build();
    let warmup = scaling.time_scale.shorten(scaling.instance_warmup).as_secs_f64().ceil();
    client
        .put_scaling_policy()
        .auto_scaling_group_name(group)
        .policy_name(name)
        .policy_type("TargetTrackingScaling")
        .target_tracking_configuration(tracking)
        // Auto Scaling has whole seconds only.
        .estimated_instance_warmup(warmup as i32)
        .send()
        .await
        .with_context(|| format!("can't put the scaling policy {name} on the group {group}"))?;
    Ok(())
}

fn read(described: &ScalingPolicy, time_scale: TimeScale) -> anyhow::Result<Found> {
    let tracking = described.target_tracking_configuration().context("the scaling policy does not track a target")?;
    let target_value = tracking.target_value().context("the scaling policy has no target")?;
    let policy = Policy { target_value, disable_scale_in: tracking.disable_scale_in().unwrap_or(false) };
    let name = described.policy_name().unwrap_or_default();
    let followed = tracking
        .customized_metric_specification()
        .and_then(|specification| specification.metrics().first()?.metric_stat()?.metric())
        .with_context(|| format!("the scaling policy {name} follows no metric"))?;
    let dimension = |dimension: &MetricDimension| {
        (dimension.name().unwrap_or_default().to_owned(), dimension.value().unwrap_or_default().to_owned())
    };
    let metric = Metric {
        namespace: followed.namespace().unwrap_or_default().to_owned(),
        name: followed.metric_name().unwrap_or_default().to_owned(),
        dimensions: followed.dimensions().iter().map(dimension).collect(),
    };
    let alarm = |kind: &str| {
        let mut names = described.alarms().iter().filter_map(|alarm| alarm.alarm_name());
        let name = names.find(|name| name.contains(kind)).map(str::to_owned);
        name.with_context(|| format!("the scaling policy names no {kind}"))
    };
    let instance_warmup = match described.estimated_instance_warmup() {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        // Auto Scaling's default cooldown.
        None => time_scale.shorten(Duration::from_secs(300)),
    };
    Ok(Found {
        name: name.to_owned(),
        metric,
        policy,
        arn: described.policy_arn().unwrap_or_default().to_owned(),
        high: KeptAlarm { name: alarm("AlarmHigh")?, alarm: policy.alarm_high() },
        low: KeptAlarm { name: alarm("AlarmLow")?, alarm: policy.alarm_low() },
        instance_warmup,
    })
}
