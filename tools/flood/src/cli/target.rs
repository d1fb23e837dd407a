//! Which fleet to flood: the settings that its services have.

use anyhow::{Context, bail};
use clap::builder::NonEmptyStringValueParser;
use reqwest::Url;

use super::DoorName;
use crate::{Door, FleetStores, LoadTestDoor, QueueDoor, TelegramFiles};

/// A fleet, by the settings that its services have, and the AWS SDK's own `AWS_*`.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Which fleet (the settings of its services)")]
pub struct Target {
    /// The S3 bucket for the photos
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    bucket_name: Option<String>,
    /// The address of the SQS queue with the jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    sqs_queue_url: Option<String>,
    /// The DynamoDB table with the predictions
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    dynamodb_table: Option<String>,
    /// The workers' Auto Scaling group; with it the report shows the number of workers
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    asg_name: Option<String>,
    /// The Telegram chat to answer in
    #[arg(long, allow_negative_numbers = true)]
    chat_id: Option<i64>,
    /// Door load-test: the full address of polybot's /loadTest
    #[arg(long, env)]
    load_test_url: Option<Url>,
    /// Door load-test: file ids of photos that Telegram already has. Without any, the bot first sends the photos to the chat; its
    /// token is read from TELEGRAM_TOKEN in the environment
    #[arg(long)]
    file_id: Vec<String>,
    /// The Bot API's address
    #[arg(long, env, default_value = "https://api.telegram.org")]
    telegram_api_url: Url,
}

impl Target {
    /// Whether a fleet is named at all.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.sqs_queue_url.is_some()
    }

    /// This door of the fleet.
    ///
    /// # Errors
    /// If a setting is missing.
    pub async fn door(&self, door: DoorName) -> anyhow::Result<Door> {
        let fleet = match door {
            DoorName::Queue | DoorName::LoadTest => self.fleet().await?,
            DoorName::Telegram => bail!(
                "the Telegram sandbox can't be reached from here; `local flood --door telegram` starts one with a fleet of \
                 its own. A real Telegram takes --door load-test"
            ),
        };
        if door == DoorName::Queue {
            return Ok(Door::Queue(QueueDoor { fleet, chat_id: self.chat_id }));
        }
        let files = if self.file_id.is_empty() {
            let token = secret("TELEGRAM_TOKEN").context("or give --file-id for photos that Telegram has already")?;
            TelegramFiles::Upload { api_url: self.telegram_api_url.clone(), token }
        } else {
            TelegramFiles::Known(self.file_id.clone())
        };
        Ok(Door::LoadTest(LoadTestDoor {
            fleet,
            url: self.load_test_url.clone().context(missing("LOAD_TEST_URL"))?,
            secret: secret("LOAD_TEST_SECRET")?,
            chat_id: self.chat_id.context("which chat is to be answered? Pass --chat-id")?,
            files,
        }))
    }

    async fn fleet(&self) -> anyhow::Result<FleetStores> {
        let bucket = self.bucket_name.as_deref().with_context(|| missing("BUCKET_NAME"))?;
        let queue_url = self.sqs_queue_url.as_deref().with_context(|| missing("SQS_QUEUE_URL"))?;
        let table = self.dynamodb_table.as_deref().with_context(|| missing("DYNAMODB_TABLE"))?;
        let fleet = FleetStores::new(&fleet::aws::config().await, bucket, queue_url, table);
        Ok(match &self.asg_name {
            Some(group) => fleet.group(group),
            None => fleet,
        })
    }
}

fn missing(variable: &str) -> String {
    let flag = variable.to_lowercase().replace('_', "-");
    format!("{variable} is not set. Set the environment variable {variable} or pass --{flag}")
}

/// From the environment only: a command line can be read by everybody on the machine.
fn secret(variable: &str) -> anyhow::Result<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    value.with_context(|| format!("{variable} is not set. Set the environment variable {variable}"))
}
