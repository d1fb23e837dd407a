//! What the service needs to know.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use fleet::settings::duration_in;
use reqwest::Url;
use secrecy::SecretString;

/// The settings of the service: flags, or environment variables of the same name.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The bot's token
    #[arg(long, env, hide_env_values = true, value_parser = fleet::settings::secret(),
          required_unless_present = "telegram_secret_id")]
    pub telegram_token: Option<SecretString>,
    /// The Secrets Manager secret that holds the token: plain, or as JSON under the key TELEGRAM_TOKEN
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub telegram_secret_id: Option<String>,
    /// The S3 bucket for the photos
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub bucket_name: String,
    /// The URL of the SQS queue of jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub sqs_queue_url: String,
    /// The DynamoDB table of predictions, and of what workers report
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dynamodb_table: String,
    /// The secret that a worker shows at polybot's /results
    #[arg(long, env, hide_env_values = true, value_parser = fleet::settings::secret())]
    pub results_secret: SecretString,
    /// The public address of the bot; Telegram delivers updates to `webhook` below it. Without it polybot asks Telegram for
    /// updates (long polling)
    #[arg(long, env)]
    pub telegram_app_url: Option<Url>,
    /// A file with the self-signed certificate (PEM) of TELEGRAM_APP_URL, if it has one
    #[arg(long, env, requires = "telegram_app_url")]
    pub telegram_certificate: Option<PathBuf>,
    /// The Bot API's address
    #[arg(long, env, default_value = "https://api.telegram.org")]
    pub telegram_api_url: Url,
    /// The folder in which a Bot API server on this machine (--local) keeps files
    #[arg(long, env)]
    pub telegram_api_local_files: Option<PathBuf>,
    /// Days after which the bucket removes photos. /privacy says it; the bucket does it
    #[arg(long, env)]
    pub image_days: Option<u32>,
    /// Seconds without a new photo after which an album is complete
    #[arg(long, env, default_value = "2", value_parser = duration_in(0.1..=60.0))]
    pub album_quiet: Duration,
    /// Serve /loadTest, which takes messages from load generators
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, requires = "load_test_secret")]
    pub load_test: bool,
    /// The secret that a load generator shows at /loadTest
    #[arg(long, env, hide_env_values = true, value_parser = fleet::settings::secret())]
    pub load_test_secret: Option<SecretString>,
    /// The URL of the dead-letter queue; polybot takes the dead letters and tells their users
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dead_letter_queue_url: Option<String>,
    /// Seconds between two sweeps for answers that nobody called back for
    #[arg(long, env, default_value = "15", value_parser = duration_in(1.0..=3600.0))]
    pub sweep_interval: Duration,
    /// Seconds after which another instance takes over an update or an answer that is not finished
    #[arg(long, env, default_value = "120", value_parser = duration_in(1.0..=3600.0))]
    pub lease: Duration,
    /// Seconds after which a queued job is sent again if its message is gone
    #[arg(long, env, default_value = "900", value_parser = duration_in(1.0..=86_400.0))]
    pub stale_after: Duration,
    /// Seconds for which an answer is retried that can't be sent; the default is a week. After that it can be redriven
    #[arg(long, env, default_value = "604800", value_parser = duration_in(1.0..=2_160_000.0))]
    pub give_up_after: Duration,
    /// Seconds to finish what runs when the service stops
    #[arg(long, env, default_value = "100", value_parser = duration_in(1.0..=3600.0))]
    pub drain_timeout: Duration,
    /// The address to listen on
    #[arg(long, env, default_value = "0.0.0.0:8443")]
    pub listen_addr: SocketAddr,
    /// How the service reports on itself
    #[command(flatten)]
    pub telemetry: fleet::settings::Telemetry,
}
