//! The two alarms of a target tracking policy, kept in CloudWatch.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
use target_tracking::{Alarm, AlarmState, Evaluation};

use super::{Metric, cause};

/// One alarm: what it compares, and its name in CloudWatch.
#[derive(Clone, Debug)]
pub(super) struct KeptAlarm {
    pub(super) name: String,
    pub(super) alarm: Alarm,
}

/// Write the alarm down; CloudWatch keeps the state of one that it has.
pub(super) async fn put(
    client: &Client,
    kept: &KeptAlarm,
    metric: &Metric,
    period: Duration,
    policy_arn: &str,
) -> anyhow::Result<()> {
    let operator = match kept.alarm.comparison_operator {
        target_tracking::ComparisonOperator::GreaterThanThreshold => ComparisonOperator::GreaterThanThreshold,
        target_tracking::ComparisonOperator::LessThanThreshold => ComparisonOperator::LessThanThreshold,
    };
    client
        .put_metric_alarm()
        .alarm_name(&kept.name)
        .alarm_description("Made by the local Auto Scaling group for its target tracking policy. It evaluates it, too.")
        .namespace(&metric.namespace)
        .metric_name(&metric.name)
        .set_dimensions(Some(metric.dimensions()))
        .statistic(Statistic::Average)
        .period(i32::try_from(period.as_secs()).unwrap_or(60))
        .evaluation_periods(i32::try_from(kept.alarm.evaluation_periods).unwrap_or(i32::MAX))
        .threshold(kept.alarm.threshold)
        .comparison_operator(operator)
        .treat_missing_data("missing")
        .alarm_actions(policy_arn)
        .send()
        .await
        .with_context(|| format!("can't put the alarm {} into CloudWatch", kept.name))?;
    Ok(())
}

/// What CloudWatch has as the alarm's state. One that it does not have is as one that was never evaluated.
pub(super) async fn state(client: &Client, name: &str) -> anyhow::Result<AlarmState> {
    let found = client
        .describe_alarms()
        .alarm_names(name)
        .send()
        .await
        .with_context(|| format!("can't read the alarm {name} from CloudWatch"))?;
    Ok(match found.metric_alarms().first().and_then(|alarm| alarm.state_value()) {
        Some(StateValue::Ok) => AlarmState::Ok,
        Some(StateValue::Alarm) => AlarmState::Alarm,
        _ => AlarmState::InsufficientData,
    })
}

/// Write down what the alarm found.
pub(super) async fn set_state(client: &Client, kept: &KeptAlarm, evaluation: &Evaluation) -> anyhow::Result<()> {
    client
        .set_alarm_state()
        .alarm_name(&kept.name)
        .state_value(evaluation.state.as_str().into())
        .state_reason(cause::of_state(&kept.alarm, evaluation))
        .send()
        .await
        .with_context(|| format!("can't set the state of the alarm {}", kept.name))?;
    Ok(())
}
