//! `polybot redrive`: dead letters back onto the queue, and answers that were given up back to the sweep, when what made them fail
//! was mended.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use fleet::prediction::now;
use fleet::predictions::Written;
use fleet::{Job, JobQueue, PredictionStore};

/// Puts jobs that failed too often back onto the queue, and has answers that were given up sent; their users get an answer after
/// all
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
        let mut found = predictions.dead_letters().await?;
        found.extend(predictions.undeliverable().await?);
        let (mut revived, mut answers) = (0_usize, 0_usize);
        for prediction_id in found {
            let Some(prediction) = predictions.get(prediction_id).await? else { continue };
            // What its album was not told of yet stays with it: revived, it would be on its own, and told of twice.
            let told = prediction.delivered_at.is_some();
            let revives = prediction.dead_letter && (told || prediction.album.is_none());
            let what = if revives { "failed" } else { "could not be told, tried last" };
            println!("{prediction_id}  chat {}  {what} at {}", prediction.chat_id, when(prediction.time));
            if self.dry_run {
                *(if revives { &mut revived } else { &mut answers }) += 1;
                continue;
            }
            // What is missing is the answer, which a polybot's sweep sends.
            if !revives {
                answers += usize::from(predictions.tell_again(&prediction, now()).await? == Written::Now);
                continue;
            }
            // Revived first: dying in between leaves a queued record without a message, which polybot's sweep sends anew.
            if predictions.revive(prediction_id, now()).await? == Written::Now {
                queue.send(&Job::of(&prediction)).await?;
                revived += 1;
            }
        }
        let would = if self.dry_run { "would be " } else { "" };
        if answers > 0 {
            println!("{} {would}left to polybot to send", count(answers, "answer"));
        }
        println!("{} {would}put back onto {}", count(revived, "job"), queue.name());
        Ok(())
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn when(seconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    text.unwrap_or_else(|| seconds.to_string())
}
