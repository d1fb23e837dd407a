//! What the service needs to know.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use fleet::settings::duration_in;
use secrecy::SecretString;

use crate::Network;

/// The settings of the service: flags, or environment variables of the same name.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The S3 bucket for the photos
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub bucket_name: String,
    /// The URL of the SQS queue of jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub sqs_queue_url: String,
    /// The DynamoDB table of predictions, and of what workers report
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dynamodb_table: String,
    /// The URL of polybot's /results, as this worker reaches it
    #[arg(long, env)]
    pub polybot_results_url: reqwest::Url,
    /// The secret that a worker shows at polybot's /results
    #[arg(long, env, hide_env_values = true, value_parser = fleet::settings::secret())]
    pub results_secret: SecretString,
    /// Which network looks at the photos
    #[command(flatten)]
    pub network: Network,
    /// The address to listen on, for /healthz and /metrics
    #[arg(long, env, default_value = "0.0.0.0:8081")]
    pub listen_addr: SocketAddr,
    /// Detections at the same time, each on one thread [default: the number of cores]
    #[arg(long, env)]
    pub threads: Option<NonZeroUsize>,
    /// The queue's visibility timeout in seconds; messages are extended at half of it
    #[arg(long, env, default_value = "60", value_parser = duration_in(2.0..=43_200.0))]
    pub visibility_timeout: Duration,
    /// Seconds before the first retry of a job that failed for a passing reason; later retries wait longer
    #[arg(long, env, default_value = "5", value_parser = duration_in(0.0..=900.0))]
    pub retry_wait: Duration,
    /// Seconds to finish the jobs that run when the service stops; jobs that still run then go to other workers
    #[arg(long, env, default_value = "100", value_parser = duration_in(1.0..=3600.0))]
    pub drain_timeout: Duration,
    /// The workers' Auto Scaling group. A worker on EC2 that knows it watches for the end of its instance and drains in time
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub asg_name: Option<String>,
    /// The group's termination lifecycle hook; the worker completes it when it is drained
    #[arg(long, env, requires = "asg_name", value_parser = NonEmptyStringValueParser::new())]
    pub lifecycle_hook: Option<String>,
    /// Protect the instance from scale-in while it works
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, requires_if("true", "asg_name"))]
    pub scale_in_protection: bool,
    /// Seconds for which one receive waits for messages
    #[arg(long, env, default_value = "20", value_parser = duration_in(0.0..=20.0))]
    pub receive_wait: Duration,
    /// Seconds between two reports of a worker's work; the same for workers and metric-streamer
    #[arg(long, env, default_value = "10", value_parser = fleet::settings::interval)]
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
}
