//! Which program called what.
#![allow(clippy::unwrap_used)]

use aws_config::AppName;
use embedded_aws::{EmbeddedAws, Service};

#[tokio::test]
async fn calls_are_told_apart_by_the_name_of_the_program() {
    let aws = EmbeddedAws::start().await.unwrap();
    let config = aws.sdk_config().await;
    let named = |name: &str| config.to_builder().app_name(AppName::new(name.to_owned()).unwrap()).build();
    aws_sdk_sqs::Client::new(&named("one")).list_queues().send().await.unwrap();
    aws_sdk_s3::Client::new(&named("one")).list_buckets().send().await.unwrap();
    aws_sdk_cloudwatch::Client::new(&named("other")).list_metrics().send().await.unwrap();
    aws_sdk_autoscaling::Client::new(&config).describe_policies().send().await.unwrap();
    let of = |name| aws.calls().of_client(name).into_iter().collect::<Vec<_>>();
    assert_eq!(of("one"), [(Service::S3, "ListBuckets".to_owned()), (Service::Sqs, "ListQueues".to_owned())]);
    assert_eq!(of("other"), [(Service::CloudWatch, "ListMetrics".to_owned())]);
    assert_eq!(of("nobody"), []);
    assert_eq!(aws.calls().count(Service::AutoScaling, "DescribePolicies"), 1);
    aws.stop().await;
}
