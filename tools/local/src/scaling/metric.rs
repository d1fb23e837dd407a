//! The metric that the policy follows, as CloudWatch has it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDataQuery, MetricStat, ScanBy};

/// Which metric, of which queue and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions, names and values.
    pub dimensions: Vec<(String, String)>,
}

impl Metric {
    /// What metric-streamer publishes for this queue and group.
    #[must_use]
    pub fn backlog_per_instance(queue_url: &str, group: &str) -> Self {
        Self::published("BacklogPerInstance", queue_url, group)
    }

    /// The same of WorkerDemand.
    #[must_use]
    pub fn worker_demand(queue_url: &str, group: &str) -> Self {
        Self::published("WorkerDemand", queue_url, group)
    }

    /// Any that it publishes, by its name.
    #[must_use]
    pub fn published(name: &str, queue_url: &str, group: &str) -> Self {
        let queue = queue_url.rsplit('/').next().unwrap_or(queue_url);
        Self {
            namespace: metric_streamer::NAMESPACE.into(),
            name: name.into(),
            dimensions: vec![("QueueName".into(), queue.into()), ("AutoScalingGroupName".into(), group.into())],
        }
    }

    /// The dimensions as CloudWatch's client takes them.
    pub(crate) fn dimensions(&self) -> Vec<Dimension> {
        self.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build()).collect()
    }

    /// The average of the last whole period, if anything was published in it.
    ///
    /// # Errors
    /// If CloudWatch does not answer.
    pub async fn latest(&self, client: &aws_sdk_cloudwatch::Client, period: Duration) -> anyhow::Result<Option<f64>> {
        let end = PeriodEnd::before(SystemTime::now(), period);
        Ok(self.points(client, end, 1).await?.first().copied().flatten())
    }

    /// The average of each of the last whole periods before `end`, the oldest first; `None` where nothing was published.
    pub(crate) async fn points(
        &self,
        client: &aws_sdk_cloudwatch::Client,
        end: PeriodEnd,
        periods: usize,
    ) -> anyhow::Result<Vec<Option<f64>>> {
        let metric = aws_sdk_cloudwatch::types::Metric::builder()
            .namespace(&self.namespace)
            .metric_name(&self.name)
            .set_dimensions(Some(self.dimensions()))
            .build();
        let stat = MetricStat::builder().metric(metric).period(end.period_seconds()).stat("Average").build();
        let moments: Vec<i64> = end.last_periods(periods).collect();
        let found = client
            .get_metric_data()
            .metric_data_queries(MetricDataQuery::builder().id("metric").metric_stat(stat).build())
            .start_time(DateTime::from_secs(moments.first().copied().unwrap_or(end.seconds)))
            .end_time(DateTime::from_secs(end.seconds))
            .scan_by(ScanBy::TimestampAscending)
            .send()
            .await
            .with_context(|| format!("can't read the metric {} from CloudWatch", self.name))?;
        let known: HashMap<i64, f64> = found
            .metric_data_results()
            .iter()
            .flat_map(|result| result.timestamps().iter().map(DateTime::secs).zip(result.values().iter().copied()))
            .collect();
        Ok(moments.iter().map(|moment| known.get(moment).copied()).collect())
    }
}

/// A moment at which a period ends: a whole multiple of the period since the epoch, as CloudWatch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeriodEnd {
    seconds: i64,
    period: i64,
}

impl PeriodEnd {
    /// The last one at or before `now`.
    pub(crate) fn before(now: SystemTime, period: Duration) -> Self {
        let period = i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { seconds: i64::try_from(now).unwrap_or(i64::MAX) / period * period, period }
    }

    /// How long from `now` until the next one.
    pub(crate) fn until_next(now: SystemTime, period: Duration) -> Duration {
        let millis = period.as_millis().max(1);
        let past = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() % millis;
        Duration::from_millis(u64::try_from(millis - past).unwrap_or(u64::MAX))
    }

    fn period_seconds(self) -> i32 {
        i32::try_from(self.period).unwrap_or(i32::MAX)
    }

    /// When each of the last periods began, the oldest first.
    fn last_periods(self, periods: usize) -> impl Iterator<Item = i64> {
        let periods = i64::try_from(periods).unwrap_or(i64::MAX);
        (1..=periods).rev().map(move |back| self.seconds - back * self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_of_cloudwatch() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let five = Duration::from_secs(5);
        let end = PeriodEnd::before(at(1_007_900), five);
        assert_eq!(end, PeriodEnd { seconds: 1005, period: 5 });
        assert_eq!(end.last_periods(3).collect::<Vec<_>>(), [990, 995, 1000]);
        assert_eq!(PeriodEnd::until_next(at(1_007_900), five), Duration::from_millis(2100));
        assert_eq!(PeriodEnd::until_next(at(1_005_000), five), five);
    }

    #[test]
    fn the_metric_is_the_one_that_metric_streamer_publishes() {
        let metric = Metric::backlog_per_instance("http://127.0.0.1:1/123456789012/jobs", "workers");
        let dimensions: Vec<_> =
            metric.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!((metric.namespace.as_str(), metric.name.as_str()), ("Polybot", "BacklogPerInstance"));
        assert_eq!(dimensions, [("QueueName", "jobs"), ("AutoScalingGroupName", "workers")]);
    }
}
