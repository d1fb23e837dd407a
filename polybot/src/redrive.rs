//! `polybot redrive`: dead letters back onto the queue, when what made them fail was mended.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use fleet::prediction::now;
use fleet::predictions::Written;
use fleet::{Job, JobQueue, PredictionStore};

/// Puts jobs that failed too often back onto the queue; their users get an answer after all
#[derive(Args, Clone, Debug)]
pub(crate) struct Redrive {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// The address of the SQS queue for the jobs
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    sqs_queue_url: String,
    /// The DynamoDB table of the predictions
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    dynamodb_table: String,
}

impl Redrive {
    /// Safe to run twice, and beside polybots that run: each dead letter is revived by a conditional write, and only whoever
    /// revives it sends its job.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let config = fleet::aws::config().await;
        let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&config), &self.dynamodb_table);
        let queue = JobQueue::new(aws_sdk_sqs::Client::new(&config), &self.sqs_queue_url);
        let dead = predictions.dead_letters().await?;
        let mut revived = 0_usize;
        for &prediction_id in &dead {
            let Some(prediction) = predictions.get(prediction_id).await? else { continue };
            println!("{prediction_id}  chat {}  failed at {}", prediction.chat_id, when(prediction.time));
            if self.dry_run {
                continue;
            }
            // Revived first: dying in between leaves a queued record without a message, which polybot's sweep sends anew.
            if predictions.revive(prediction_id, now()).await? == Written::Now {
                queue.send(&Job::of(&prediction)).await?;
                revived += 1;
            }
        }
        if self.dry_run {
            println!("{} would be put back onto {}", jobs(dead.len()), queue.name());
        } else {
            println!("{} put back onto {}", jobs(revived), queue.name());
        }
        Ok(())
    }
}

fn jobs(count: usize) -> String {
    if count == 1 { "1 job".into() } else { format!("{count} jobs") }
}

fn when(seconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    text.unwrap_or_else(|| seconds.to_string())
}
