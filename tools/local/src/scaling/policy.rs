//! The policy at work: once a period it evaluates the alarms and sets the desired capacity that they call for. It reaches
//! CloudWatch and Auto Scaling through the SDKs only, so it knows what a policy in AWS knows.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_autoscaling::primitives::{DateTime, DateTimeFormat};
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, CustomizedMetricSpecification, LifecycleState, MetricDimension, MetricStatistic, ScalingPolicy,
    TargetTrackingConfiguration,
};
use embedded_aws::CAUSE_HEADER;
use target_tracking::{Capacity, Evaluation, Phase, Policy};
use tokio_util::sync::CancellationToken;

use super::alarms::{self, KeptAlarm};
use super::metric::PeriodEnd;
use super::{Metric, Scaling, TimeScale, Troubles, cause};

/// The policy's name.
pub const POLICY_NAME: &str = "backlog-per-instance";

/// The policy of one group.
#[derive(Debug)]
pub(super) struct PolicyLoop {
    cloud_watch: aws_sdk_cloudwatch::Client,
    auto_scaling: aws_sdk_autoscaling::Client,
    group: String,
    metric: Metric,
    time_scale: TimeScale,
    /// The alarms as they were last written to CloudWatch.
    written: Option<Policy>,
    troubles: Troubles,
}

/// A policy as Auto Scaling has it.
struct Found {
    policy: Policy,
    arn: String,
    high: KeptAlarm,
    low: KeptAlarm,
    instance_warmup: Duration,
}

impl PolicyLoop {
    /// Put the policy on the group.
    ///
    /// # Errors
    /// If Auto Scaling refuses it.
    pub(super) async fn create(
        config: &SdkConfig,
        group: &str,
        metric: Metric,
        scaling: &Scaling,
        troubles: Troubles,
    ) -> anyhow::Result<Self> {
        let auto_scaling = aws_sdk_autoscaling::Client::new(config);
        put(&auto_scaling, group, &metric, scaling).await?;
        let cloud_watch = aws_sdk_cloudwatch::Client::new(config);
        let (group, time_scale) = (group.to_owned(), scaling.time_scale);
        Ok(Self { cloud_watch, auto_scaling, group, metric, time_scale, written: None, troubles })
    }

    /// Evaluate at the end of each period until `stopping`.
    pub(super) async fn run(mut self, stopping: CancellationToken) {
        let period = self.time_scale.period();
        // A little after the end, so that what was published at the end is there.
        let late = period / 20;
        loop {
            let wait = PeriodEnd::until_next(SystemTime::now(), period) + late;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
            let end = PeriodEnd::before(SystemTime::now(), period);
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
        // Whoever deletes the policy or the group wants no scaling.
        let Some(found) = self.policy().await? else { return Ok(()) };
        let Some(group) = self.described_group().await? else { return Ok(()) };
        if self.written != Some(found.policy) {
            for kept in [&found.high, &found.low] {
                alarms::put(&self.cloud_watch, kept, &self.metric, self.time_scale, &found.arn).await?;
            }
            self.written = Some(found.policy);
        }
        let range = found.high.alarm.evaluation_range().max(found.low.alarm.evaluation_range());
        let points = self.metric.points(&self.cloud_watch, end, range).await?;
        let high = self.evaluated(&found.high, &points).await?;
        let low = self.evaluated(&found.low, &points).await?;
        let capacity = self.capacity(&group, found.instance_warmup).await?;
        if let Some(scaling) = found.policy.scale(&high, &low, &capacity) {
            let alarm = match scaling {
                target_tracking::Scaling::Out(_) => &found.high,
                target_tracking::Scaling::In(_) => &found.low,
            };
            self.set_desired(&alarm.name, capacity.desired, scaling.desired()).await?;
        }
        Ok(())
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

    async fn policy(&self) -> anyhow::Result<Option<Found>> {
        let described = self
            .auto_scaling
            .describe_policies()
            .auto_scaling_group_name(&self.group)
            .policy_names(POLICY_NAME)
            .send()
            .await
            .with_context(|| format!("can't read the scaling policy of the group {}", self.group))?;
        described.scaling_policies().first().map(|policy| read(policy, self.time_scale)).transpose()
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
                // One whose launch is no longer remembered is old.
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

    async fn set_desired(&self, alarm: &str, from: u32, to: u32) -> anyhow::Result<()> {
        let at = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::DateTime)?;
        let cause = cause::of_scaling(&at, alarm, POLICY_NAME, from, to);
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

/// Put the policy on the group, in the place of the one that it may have.
pub(super) async fn put(
    client: &aws_sdk_autoscaling::Client,
    group: &str,
    metric: &Metric,
    scaling: &Scaling,
) -> anyhow::Result<()> {
    let dimension = |(name, value): &(String, String)| MetricDimension::builder().name(name).value(value).build();
    let specification = CustomizedMetricSpecification::builder()
        .namespace(&metric.namespace)
        .metric_name(&metric.name)
        .set_dimensions(Some(metric.dimensions.iter().map(dimension).collect()))
        .statistic(MetricStatistic::Average)
        .build();
    let tracking = TargetTrackingConfiguration::builder()
        .customized_metric_specification(specification)
        .target_value(scaling.target_value)
        .build();
    let warmup = scaling.time_scale.shorten(scaling.instance_warmup).as_secs_f64().ceil();
    client
        .put_scaling_policy()
        .auto_scaling_group_name(group)
        .policy_name(POLICY_NAME)
        .policy_type("TargetTrackingScaling")
        .target_tracking_configuration(tracking)
        // Auto Scaling has whole seconds only.
        .estimated_instance_warmup(warmup as i32)
        .send()
        .await
        .with_context(|| format!("can't put a scaling policy on the group {group}"))?;
    Ok(())
}

fn read(described: &ScalingPolicy, time_scale: TimeScale) -> anyhow::Result<Found> {
    let tracking =
        described.target_tracking_configuration().context("the scaling policy is none that tracks a target")?;
    let target_value = tracking.target_value().context("the scaling policy has no target")?;
    let policy = Policy { target_value, disable_scale_in: tracking.disable_scale_in().unwrap_or(false) };
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
        policy,
        arn: described.policy_arn().unwrap_or_default().to_owned(),
        high: KeptAlarm { name: alarm("AlarmHigh")?, alarm: policy.alarm_high() },
        low: KeptAlarm { name: alarm("AlarmLow")?, alarm: policy.alarm_low() },
        instance_warmup,
    })
}
