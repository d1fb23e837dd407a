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
    /// The Secrets Manager secret that holds the token: plain, or JSON with the key TELEGRAM_TOKEN
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub telegram_secret_id: Option<String>,
    /// The S3 bucket for the photos
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub bucket_name: String,
    /// The address of the SQS queue for the jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub sqs_queue_url: String,
    /// The DynamoDB table for the predictions
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dynamodb_table: String,
    /// The secret that a worker has to show at /results
    #[arg(long, env, hide_env_values = true, value_parser = fleet::settings::secret())]
    pub results_secret: SecretString,
    /// The public address of this bot, to which Telegram delivers updates; without it the bot asks for them
    #[arg(long, env)]
    pub telegram_app_url: Option<Url>,
    /// A file with the self-signed certificate (PEM) of TELEGRAM_APP_URL, if it has one
    #[arg(long, env, requires = "telegram_app_url")]
    pub telegram_certificate: Option<PathBuf>,
    /// The Bot API's address
    #[arg(long, env, default_value = "https://api.telegram.org")]
    pub telegram_api_url: Url,
    /// The folder in which a Bot API server on this machine (--local) keeps files; it answers with paths in it
    #[arg(long, env)]
    pub telegram_api_local_files: Option<PathBuf>,
    /// Days after which the bucket removes photos; said by /privacy, done by the bucket
    #[arg(long, env)]
    pub image_days: Option<u32>,
    /// Seconds without a new photo after which an album is complete
    #[arg(long, env, default_value_t = 2.0, value_parser = quiet)]
    pub album_quiet: f64,
    /// Serve /loadTest, which takes messages from load generators
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, requires = "load_test_secret")]
    pub load_test: bool,
    /// The secret that a load generator has to show at /loadTest
    #[arg(long, env, hide_env_values = true, value_parser = fleet::settings::secret())]
    pub load_test_secret: Option<SecretString>,
    /// The address of the SQS queue of the jobs that failed too often; polybot tells their users
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub dead_letter_queue_url: Option<String>,
    /// Seconds between two looks for answers that nobody called back for
    #[arg(long, env, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub sweep_interval: u64,
    /// Seconds after which an update or an answer is taken from an instance that does not finish it
    #[arg(long, env, default_value_t = 120, value_parser = clap::value_parser!(i64).range(1..=3600))]
    pub lease: i64,
    /// Seconds after which a queued job may be sent anew, if its message is gone
    #[arg(long, env, default_value_t = 900, value_parser = clap::value_parser!(i64).range(1..=86_400))]
    pub stale_after: i64,
    /// Seconds after which an answer that can't be sent is tried no more; it can be redriven
    #[arg(long, env, default_value_t = 604_800, value_parser = clap::value_parser!(i64).range(1..=2_160_000))]
    pub give_up_after: i64,
    /// At the end, seconds to finish requests and answers
    #[arg(long, env, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub drain_timeout: u64,
    /// Where the routes are served
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
