//! What the service needs to know.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use demand::DemandSettings;
use fleet::settings::seconds;

/// The settings of the service: flags, or environment variables of the same name.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The address of the SQS queue with the jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub sqs_queue_url: String,
    /// The workers' Auto Scaling group
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub asg_name: String,
    /// The DynamoDB table in which workers tell what they did: that of the predictions
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dynamodb_table: String,
    /// Seconds between two looks
    #[arg(long, env, default_value = "10", value_parser = seconds)]
    pub interval: Duration,
    /// Seconds between two reports of a worker; the workers' has to be the same
    #[arg(long, env, default_value = "10", value_parser = seconds)]
    pub report_interval: Duration,
    /// Within how many seconds a photo that waits is to be begun: what waits is to be worked off in this time
    #[arg(long, env, default_value = "10", value_parser = seconds)]
    pub promise: Duration,
    /// Where the group may be empty, for how many seconds nothing has to be sent before the last worker may go
    #[arg(long, env, default_value = "900", value_parser = seconds)]
    pub idle_before_zero: Duration,
    /// How much faster than in AWS everything but the photos passes, on one machine: for averages over AWS's time
    #[arg(long, env, default_value_t = 1, hide = true, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub time_scale: u32,
    /// Where /healthz and /metrics are served
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
