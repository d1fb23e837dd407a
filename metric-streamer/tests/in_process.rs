//! The service on the embedded AWS, in this process.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds;
use clap::Parser;
use embedded_aws::{EmbeddedAws, Fault, Service};
use fleet::telemetry::Metrics;
use fleet::{BuildInfo, Clock, Platform};
use metric_streamer::Settings;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const GROUP: &str = "workers";
const TABLE: &str = "predictions";
const BUILD: BuildInfo = BuildInfo { version: "0.0.0", commit: "in-process" };
/// Far more than anything here takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::test]
async fn a_photo_wakes_an_empty_fleet_though_nothing_can_be_published_and_no_work_be_read() {
    let aws = EmbeddedAws::start().await.expect("AWS");
    let config = aws.sdk_config().await;
    let (sqs, dynamodb) = (aws_sdk_sqs::Client::new(&config), aws_sdk_dynamodb::Client::new(&config));
    let queue = sqs.create_queue().queue_name("jobs").send().await.expect("a queue").queue_url.expect("its address");
    fleet::table::creation(&dynamodb, TABLE).send().await.expect("a table");
    let auto_scaling = aws_sdk_autoscaling::Client::new(&config);
    let group = auto_scaling.create_auto_scaling_group().auto_scaling_group_name(GROUP).min_size(0).max_size(3);
    group.availability_zones("us-east-1a").send().await.expect("a group");
    aws.faults().add(Fault::throttled(Service::CloudWatch));
    aws.faults().add(Fault::throttled(Service::DynamoDb));
    sqs.send_message().queue_url(&queue).message_body("a job").send().await.expect("sent");

    let flags = [("sqs-queue-url", queue.as_str()), ("asg-name", GROUP), ("dynamodb-table", TABLE), ("interval", "1")];
    let flags = flags.map(|(name, value)| format!("--{name}={value}"));
    let arguments = std::iter::once("metric-streamer".to_owned()).chain(flags);
    let settings = Flags::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).settings;
    let metrics = Metrics::new(BUILD).expect("metrics");
    let platform = Platform {
        build: BUILD,
        clock: Clock::system(),
        metrics,
        aws: config.clone(),
        metadata: imds::Client::builder().build(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(metric_streamer::run(settings, platform, listener, shutdown.clone()));
    let woken = aws.calls().at_least(Service::AutoScaling, "SetDesiredCapacity", 1);
    tokio::time::timeout(PATIENCE, woken).await.expect("it wakes the fleet");
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it ends").expect("no panic").expect("it stops well");
    assert_eq!(aws.auto_scaling().group(GROUP).expect("the group").desired_capacity, 1);
}
