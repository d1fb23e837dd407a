//! The scaling lab as an operator uses it: what CloudWatch knows is fetched, replayed, and asked.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use embedded_aws::EmbeddedAws;
use tokio::net::TcpListener;

use crate::support::EXECUTABLE;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn lab(dir: &Path, aws: &EmbeddedAws, args: &[&str]) -> Output {
    let mut command = Command::new(EXECUTABLE);
    command.arg("lab").args(args).current_dir(dir).stdin(Stdio::null()).envs(aws.environment());
    tokio::task::spawn_blocking(move || command.output().expect("the program runs")).await.expect("it ends")
}

/// What AWS itself would have published of a queue and a group, a value a minute.
async fn publish(client: &Client, namespace: &str, name: &str, dimension: (&str, &str), values: &[(i64, f64)]) {
    let dimension = Dimension::builder().name(dimension.0).value(dimension.1).build();
    let data = values.iter().map(|(second, value)| {
        MetricDatum::builder()
            .metric_name(name)
            .dimensions(dimension.clone())
            .timestamp(DateTime::from_secs(*second))
            .value(*value)
            .build()
    });
    client
        .put_metric_data()
        .namespace(namespace)
        .set_metric_data(Some(data.collect()))
        .send()
        .await
        .expect("published");
}

#[tokio::test]
async fn a_real_fleets_past_is_fetched_and_replayed() {
    let aws = EmbeddedAws::serve(TcpListener::bind("127.0.0.1:0").await.expect("a port")).expect("AWS");
    let client = Client::new(&aws.sdk_config().await);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") / 60 * 60;
    let start = (now - Duration::from_secs(3 * 3600)).as_secs() as i64 / 60 * 60;
    let minutes =
        |value: fn(i64) -> f64| (0..90).map(|minute| (start + minute * 60, value(minute))).collect::<Vec<_>>();
    let (queue, group) = (("QueueName", "jobs"), ("AutoScalingGroupName", "workers"));
    publish(
        &client,
        "AWS/SQS",
        "NumberOfMessagesSent",
        queue,
        &minutes(|minute| if minute < 45 { 300.0 } else { 900.0 }),
    )
    .await;
    publish(&client, "AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, &minutes(|minute| minute as f64)).await;
    publish(&client, "AWS/AutoScaling", "GroupInServiceInstances", group, &minutes(|_| 2.0)).await;

    let dir = tempfile::tempdir().expect("tempdir");
    let fetched =
        lab(dir.path(), &aws, &["fetch", "--queue", "jobs", "--group", "workers", "--since", "6h", "--out", "past"])
            .await;
    assert!(fetched.status.success(), "{}", text(&fetched.stderr));
    assert!(text(&fetched.stdout).contains("54000 messages in 90 periods"), "{}", text(&fetched.stdout));
    let replayed = lab(dir.path(), &aws, &["replay", "past", "--min", "2", "--out", "report"]).await;
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    let said = text(&replayed.stdout);
    for expected in ["there were 2.00 workers in service", "89 messages waiting at most", "What the lab cannot know"] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    let page = std::fs::read_to_string(dir.path().join("report/lab.html")).expect("written");
    assert!(page.contains("workers that there were"));
    let asked =
        lab(dir.path(), &aws, &["recommend", "--load", "past/load.csv", "--promise", "30s", "--late", "2%"]).await;
    assert!(text(&asked.stdout).contains("WorkerMin="), "{}", text(&asked.stderr));

    let nothing = lab(dir.path(), &aws, &["fetch", "--queue", "others", "--group", "workers"]).await;
    let said = text(&nothing.stderr);
    assert!(!nothing.status.success() && said.contains("the queue others") && said.lines().count() == 1, "{said}");
    aws.stop().await;
}
