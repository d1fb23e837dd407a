//! Fault rules as the SDK's clients meet them.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::ProvideErrorMetadata;
use embedded_aws::{Action, EmbeddedAws, Fault, Service};

/// One client that tries once, to see the error, and one that retries, to see that it takes the error for one worth a retry.
async fn configs(aws: &EmbeddedAws) -> [aws_config::SdkConfig; 2] {
    let config = aws.sdk_config().await;
    let retry = |retry| config.clone().into_builder().retry_config(retry).build();
    let patient = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
    [retry(RetryConfig::disabled()), retry(patient)]
}

#[tokio::test]
async fn each_service_throttles_in_its_own_words_and_is_tried_again() {
    let aws = EmbeddedAws::start().await.unwrap();
    let [once, patient] = configs(&aws).await;
    let services = [
        Service::S3,
        Service::Sqs,
        Service::DynamoDb,
        Service::SecretsManager,
        Service::CloudWatch,
        Service::AutoScaling,
    ];
    for throttled in [true, false] {
        let rules = services.map(|service| {
            let fault = if throttled { Fault::throttled(service) } else { Fault::internal_error(service) };
            aws.faults().add(fault.times(2))
        });
        for config in [&once, &patient] {
            let first = config.retry_config().unwrap().max_attempts() == 1;
            let codes = [
                aws_sdk_s3::Client::new(config).list_buckets().send().await.err().and_then(|e| code(&e)),
                aws_sdk_sqs::Client::new(config).list_queues().send().await.err().and_then(|e| code(&e)),
                aws_sdk_dynamodb::Client::new(config).list_tables().send().await.err().and_then(|e| code(&e)),
                aws_sdk_secretsmanager::Client::new(config).list_secrets().send().await.err().and_then(|e| code(&e)),
                aws_sdk_cloudwatch::Client::new(config).list_metrics().send().await.err().and_then(|e| code(&e)),
                aws_sdk_autoscaling::Client::new(config).describe_policies().send().await.err().and_then(|e| code(&e)),
            ];
            let expected = match (first, throttled) {
                (false, _) => [""; 6],
                (_, true) => [
                    "SlowDown",
                    "RequestThrottled",
                    "ProvisionedThroughputExceededException",
                    "ThrottlingException",
                    "Throttling",
                    "Throttling",
                ],
                (_, false) => [
                    "InternalError",
                    "InternalFailure",
                    "InternalServerError",
                    "InternalServiceError",
                    "InternalServiceFault",
                    "InternalFailure",
                ],
            };
            assert_eq!(codes.map(Option::unwrap_or_default), expected);
        }
        assert_eq!(rules.map(|rule| rule.fired()), [2; 6]);
    }
}

fn code(error: &impl ProvideErrorMetadata) -> Option<String> {
    error.code().map(str::to_owned)
}

#[tokio::test]
async fn a_dropped_call_is_not_done_and_one_dropped_after_is() {
    let aws = EmbeddedAws::start().await.unwrap();
    let [once, patient] = configs(&aws).await;
    let sqs = aws_sdk_sqs::Client::new(&once);
    let drop = aws.faults().add(Fault::new(Action::Drop).on(Service::Sqs).operation("CreateQueue").times(1));
    assert!(sqs.create_queue().queue_name("a").send().await.is_err());
    assert_eq!(drop.fired(), 1);
    assert!(sqs.list_queues().send().await.unwrap().queue_urls().is_empty());
    aws.faults().add(Fault::new(Action::DropAfter).on(Service::Sqs).operation("CreateQueue").times(1));
    assert!(sqs.create_queue().queue_name("a").send().await.is_err());
    assert_eq!(sqs.list_queues().send().await.unwrap().queue_urls().len(), 1);

    // A broken connection is worth another try.
    aws.faults().add(Fault::new(Action::Drop).operation("CreateQueue").times(2));
    aws_sdk_sqs::Client::new(&patient).create_queue().queue_name("b").send().await.unwrap();
    assert_eq!(aws.calls().count(Service::Sqs, "CreateQueue"), 5);
}

#[tokio::test]
async fn a_delay_delays() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = aws_sdk_dynamodb::Client::new(&aws.sdk_config().await);
    let rule = aws.faults().add(Fault::new(Action::Delay(Duration::from_millis(200))).on(Service::DynamoDb));
    let begun = Instant::now();
    let e = db.get_item().table_name("none").key("k", AttributeValue::S("v".to_owned())).send().await.unwrap_err();
    assert!(e.into_service_error().is_resource_not_found_exception());
    assert!(begun.elapsed() >= Duration::from_millis(200));
    rule.fired_at_least(1).await;
    aws.faults().clear();
}

#[tokio::test]
async fn stopping_ends_long_polls_and_frees_the_port() {
    let aws = EmbeddedAws::start().await.unwrap();
    let address = aws.endpoint().strip_prefix("http://").unwrap().to_owned();
    let [once, _] = configs(&aws).await;
    let sqs = aws_sdk_sqs::Client::new(&once);
    let url = sqs.create_queue().queue_name("a").send().await.unwrap().queue_url.unwrap();
    let poll = tokio::spawn(sqs.receive_message().queue_url(&url).wait_time_seconds(20).send());
    aws.calls().at_least(Service::Sqs, "ReceiveMessage", 1).await;
    let begun = Instant::now();
    aws.stop().await;
    assert!(poll.await.unwrap().unwrap().messages.is_none());
    assert!(begun.elapsed() < Duration::from_secs(2));
    tokio::net::TcpListener::bind(address).await.unwrap();
}
