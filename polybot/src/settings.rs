//! What the service needs to know.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
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
    #[arg(long, env, default_value_t = 2.0, value_parser = quiet)]
    pub album_quiet: f64,
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
    #[arg(long, env, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub sweep_interval: u64,
    /// Seconds after which another instance takes over an update or an answer that is not finished
    #[arg(long, env, default_value_t = 120, value_parser = clap::value_parser!(i64).range(1..=3600))]
    pub lease: i64,
    /// Seconds after which a queued job is sent again if its message is gone
    #[arg(long, env, default_value_t = 900, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub stale_after: i64,
    /// Seconds for which an answer is retried that can't be sent; the default is a week. After that it can be redriven
    #[arg(long, env, default_value_t = 604_800, value_parser = clap::value_parser!(i64).range(1..=2_160_000))]
    pub give_up_after: i64,
    /// Seconds to finish what runs when the service stops
    #[arg(long, env, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub drain_timeout: u64,
    /// The address to listen on
    #[arg(long, env, default_value = "0.0.0.0:8443")]
    pub listen_addr: SocketAddr,
    /// How the service reports on itself
    #[command(flatten)]
    pub telemetry: fleet::settings::Telemetry,
}

fn quiet(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    if (0.1..=60.0).contains(&seconds) { Ok(seconds) } else { Err("expected 0.1 to 60 seconds".into()) }
}
