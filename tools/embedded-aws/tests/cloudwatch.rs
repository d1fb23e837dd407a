//! CloudWatch through the SDK's client.
#![allow(clippy::unwrap_used)]

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, DimensionFilter, Metric, MetricDataQuery, MetricDatum, MetricStat, StateValue,
    Statistic, StatisticSet,
};
use embedded_aws::EmbeddedAws;

/// A whole minute of today, so that what is put is not yet forgotten.
fn minute() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    now / 60 * 60 - 600
}

fn dimension(value: &str) -> Dimension {
    Dimension::builder().name("Group").value(value).build()
}

fn datum(at: i64) -> aws_sdk_cloudwatch::types::builders::MetricDatumBuilder {
    MetricDatum::builder().metric_name("Backlog").dimensions(dimension("workers")).timestamp(DateTime::from_secs(at))
}

#[tokio::test]
async fn statistics_add_up_by_period() {
    let aws = EmbeddedAws::start().await.unwrap();
    let cloudwatch = Client::new(&aws.sdk_config().await);
    let t = minute();
    let set = StatisticSet::builder().sample_count(2.0).sum(10.0).minimum(4.0).maximum(6.0).build();
    cloudwatch
        .put_metric_data()
        .namespace("Polybot")
        .metric_data(datum(t).value(1.5).build())
        .metric_data(datum(t + 30).statistic_values(set).build())
        .metric_data(datum(t + 60).values(10.0).values(0.1).counts(3.0).counts(1.0).build())
        .metric_data(datum(t + 60).dimensions(dimension("other")).value(1e9).build())
        .send()
        .await
        .unwrap();
    let got = cloudwatch
        .get_metric_statistics()
        .namespace("Polybot")
        .metric_name("Backlog")
        .dimensions(dimension("workers"))
        .start_time(DateTime::from_secs(t + 5))
        .end_time(DateTime::from_secs(t + 120))
        .period(60)
        .set_statistics(Some(Statistic::values().iter().map(|s| Statistic::from(*s)).collect()))
        .send()
        .await
        .unwrap();
    let points = got.datapoints();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0].timestamp().unwrap().secs(), t);
    let statistics = |n: usize| {
        let p = &points[n];
        [p.sample_count, p.sum, p.average, p.minimum, p.maximum].map(Option::unwrap)
    };
    assert_eq!(statistics(0), [3.0, 11.5, 11.5 / 3.0, 1.5, 6.0]);
    assert_eq!(statistics(1), [4.0, 30.1, 30.1 / 4.0, 0.1, 10.0]);

    let metric = Metric::builder().namespace("Polybot").metric_name("Backlog").dimensions(dimension("workers"));
    let stat = MetricStat::builder().metric(metric.build()).period(60).stat("Maximum").build();
    let got = cloudwatch
        .get_metric_data()
        .metric_data_queries(MetricDataQuery::builder().id("m").metric_stat(stat).build())
        .start_time(DateTime::from_secs(t))
        .end_time(DateTime::from_secs(t + 120))
        .send()
        .await
        .unwrap();
    let result = &got.metric_data_results()[0];
    assert_eq!(result.values(), [10.0, 6.0]);
    assert_eq!(result.timestamps()[0].secs(), t + 60);

    let found = cloudwatch
        .list_metrics()
        .namespace("Polybot")
        .dimensions(DimensionFilter::builder().name("Group").value("workers").build())
        .send()
        .await
        .unwrap();
    assert_eq!(found.metrics().len(), 2);
    assert_eq!(found.metrics()[0].dimensions()[0].value(), Some("other"));
}

#[tokio::test]
async fn a_large_request_arrives_though_it_is_compressed() {
    let aws = EmbeddedAws::start().await.unwrap();
    let cloudwatch = Client::new(&aws.sdk_config().await);
    let data = (0..500).map(|n| datum(minute()).value(f64::from(n)).build()).collect();
    cloudwatch.put_metric_data().namespace("Polybot").set_metric_data(Some(data)).send().await.unwrap();
    let got = cloudwatch
        .get_metric_statistics()
        .namespace("Polybot")
        .metric_name("Backlog")
        .dimensions(dimension("workers"))
        .start_time(DateTime::from_secs(minute() - 60))
        .end_time(DateTime::from_secs(minute() + 180))
        .period(3600)
        .statistics(Statistic::SampleCount)
        .send()
        .await
        .unwrap();
    let counted: f64 = got.datapoints().iter().filter_map(|p| p.sample_count).sum();
    assert_eq!(counted, 500.0);
}

#[tokio::test]
async fn alarms_are_kept_and_their_state_is_set() {
    let aws = EmbeddedAws::start().await.unwrap();
    let cloudwatch = Client::new(&aws.sdk_config().await);
    let put = || {
        cloudwatch
            .put_metric_alarm()
            .alarm_name("high")
            .namespace("Polybot")
            .metric_name("Backlog")
            .dimensions(dimension("workers"))
            .threshold(10.5)
            .period(60)
            .evaluation_periods(3)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .statistic(Statistic::Average)
            .send()
    };
    put().await.unwrap();
    cloudwatch
        .set_alarm_state()
        .alarm_name("high")
        .state_value(StateValue::Alarm)
        .state_reason("3 of 3 above")
        .send()
        .await
        .unwrap();
    put().await.unwrap();
    let got = cloudwatch.describe_alarms().state_value(StateValue::Alarm).send().await.unwrap();
    let alarm = &got.metric_alarms()[0];
    assert_eq!((alarm.threshold(), alarm.period(), alarm.state_reason()), (Some(10.5), Some(60), Some("3 of 3 above")));
    assert_eq!(alarm.dimensions()[0].value(), Some("workers"));
    assert!(alarm.state_updated_timestamp().is_some());
    cloudwatch.delete_alarms().alarm_names("high").send().await.unwrap();
    assert!(cloudwatch.describe_alarms().send().await.unwrap().metric_alarms().is_empty());
    let e = cloudwatch.set_alarm_state().alarm_name("no").state_value(StateValue::Ok).state_reason("").send().await;
    assert!(e.unwrap_err().into_service_error().is_resource_not_found());
    let e = put_period(&cloudwatch, 7).await;
    assert_eq!(e.as_deref(), Some("InvalidParameterValue"));
    let e = cloudwatch.list_dashboards().send().await.unwrap_err();
    assert_eq!(e.code(), Some("UnknownOperationException"));
}

async fn put_period(cloudwatch: &Client, period: i32) -> Option<String> {
    let asked = cloudwatch
        .get_metric_statistics()
        .namespace("Polybot")
        .metric_name("Backlog")
        .start_time(DateTime::from_secs(0))
        .end_time(DateTime::from_secs(60))
        .period(period)
        .statistics(Statistic::Sum);
    asked.send().await.err().and_then(|e| e.code().map(str::to_owned))
}
