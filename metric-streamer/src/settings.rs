//! What the service needs to know.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use demand::DemandSettings;
use fleet::settings::interval;

/// The settings of the service: flags, or environment variables of the same name.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The URL of the SQS queue of jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub sqs_queue_url: String,
    /// The workers' Auto Scaling group
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub asg_name: String,
    /// The DynamoDB table of predictions, and of what workers report
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dynamodb_table: String,
    /// Seconds between two publications of the metrics
    #[arg(long, env, default_value = "10", value_parser = interval)]
    pub interval: Duration,
    /// Seconds between two reports of a worker's work; the same for workers and metric-streamer
    #[arg(long, env, default_value = "10", value_parser = interval)]
    pub report_interval: Duration,
    /// Seconds within which the photos that wait are to be worked off
    #[arg(long, env, default_value = "10", value_parser = interval)]
    pub promise: Duration,
    /// Seconds without any photo after which the last worker may go, where the group may be empty
    #[arg(long, env, default_value = "900", value_parser = interval)]
    pub idle_before_zero: Duration,
    /// How much faster than in AWS time passes, on one machine; detection takes as long as ever
    #[arg(long, env, default_value_t = 1, hide = true, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub time_scale: u32,
    /// The address to listen on, for /healthz and /metrics
    #[arg(long, env, default_value = "0.0.0.0:9090")]
    pub listen_addr: SocketAddr,
    /// How the service reports on itself
    #[command(flatten)]
    pub telemetry: fleet::settings::Telemetry,
}

impl Settings {
    /// How workers needed are reckoned.
    #[must_use]
    pub fn demand(&self) -> DemandSettings {
        let Self { promise, idle_before_zero, time_scale, .. } = *self;
        DemandSettings { promise, idle_before_zero, ..DemandSettings::default().faster(time_scale) }
    }
}
