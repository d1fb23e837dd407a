//! What the service needs to know.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::Network;

/// The settings of the service: flags, or environment variables of the same name.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The S3 bucket with the photos
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub bucket_name: String,
    /// The address of the SQS queue with the jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub sqs_queue_url: String,
    /// The DynamoDB table with the predictions
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dynamodb_table: String,
    /// Polybot's /results, as this worker reaches it
    #[arg(long, env)]
    pub polybot_results_url: reqwest::Url,
    /// The secret that polybot's /results asks for
    #[arg(long, env, hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub results_secret: String,
    /// Which network looks at the photos
    #[command(flatten)]
    pub network: Network,
    /// Where /healthz and /metrics are served
    #[arg(long, env, default_value = "0.0.0.0:8081")]
    pub listen_addr: SocketAddr,
    /// Detections side by side, each on one thread [default: the number of cores]
    #[arg(long, env)]
    pub threads: Option<NonZeroUsize>,
    /// The queue's visibility timeout, in seconds; a message is extended at half of it
    #[arg(long, env, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=43_200))]
    pub visibility_timeout: u64,
    /// The wait before the second try of a job that failed for a passing reason, in seconds; later tries wait longer
    #[arg(long, env, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=900))]
    pub retry_wait: u64,
    /// At the end, seconds to finish the jobs that run; those that still run then are left to other workers
    #[arg(long, env, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub drain_timeout: u64,
    /// On EC2, the Auto Scaling group of this instance: the worker watches for its end and drains in time
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub asg_name: Option<String>,
    /// The group's termination lifecycle hook, which is completed when the worker is drained
    #[arg(long, env, requires = "asg_name", value_parser = NonEmptyStringValueParser::new())]
    pub lifecycle_hook: Option<String>,
    /// Protect the instance from scale-in while it works
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, requires_if("true", "asg_name"))]
    pub scale_in_protection: bool,
    /// How long one receive waits for a message, in seconds
    #[arg(long, env, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=20))]
    pub receive_wait: u64,
    /// Seconds between two reports of what this worker did, which metric-streamer scales the fleet by; metric-streamer's has to be
    /// the same
    #[arg(long, env, default_value = "10", value_parser = fleet::settings::seconds)]
    pub report_interval: Duration,
    /// How the service reports on itself
    #[command(flatten)]
    pub telemetry: fleet::settings::Telemetry,
}

impl Settings {
    /// Detections side by side.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// How long a received message stays invisible.
    #[must_use]
    pub fn visibility_timeout(&self) -> Duration {
        Duration::from_secs(self.visibility_timeout)
    }
}
