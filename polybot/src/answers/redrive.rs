//! `polybot redrive`: moves dead letters back onto the queue, and answers that were given up back to the sweep, when what made them fail
//! was mended.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use fleet::predictions::Written;
use fleet::{AwsError, Clock, JobQueue, PredictionStore};

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

/// What was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Jobs, onto the queue.
    pub jobs: usize,
    /// Answers, to where the sweep finds them.
    pub answers: usize,
}

impl Redrive {
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let config = fleet::aws::config_for(env!("CARGO_PKG_NAME")).await;
        let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&config), &self.dynamodb_table);
        let queue = JobQueue::new(aws_sdk_sqs::Client::new(&config), &self.sqs_queue_url);
        let Redriven { jobs, answers } = redrive(&predictions, &queue, &Clock::system(), self.dry_run).await?;
        let would = if self.dry_run { "would be " } else { "" };
        if answers > 0 {
            println!("{} {would}left to polybot to send", count(answers, "answer"));
        }
        println!("{} {would}put back onto {}", count(jobs, "job"), queue.name());
        Ok(())
    }
}

/// Put back all that was given up, and say so line by line; in a dry run only say it. Safe to run twice, and beside polybots that
/// run: a conditional write redrives each dead letter, and only the process whose write it was sends its job.
///
/// # Errors
/// [`AwsError`] after the SDK's retries; what is left is put back by another run.
pub async fn redrive(
    predictions: &PredictionStore,
    queue: &JobQueue,
    clock: &Clock,
    dry_run: bool,
) -> Result<Redriven, AwsError> {
    let mut found = predictions.dead_letters().await?;
    found.extend(predictions.undeliverable().await?);
    let mut redriven = Redriven::default();
    for prediction_id in found {
        let Some(prediction) = predictions.get(prediction_id).await? else { continue };
        // What its album was not told of yet stays with it: revived, it would be on its own, and told of twice.
        let told = prediction.delivered_at.is_some();
        let revives = prediction.dead_letter && (told || prediction.album.is_none());
        let what = if revives { "failed" } else { "could not be told, tried last" };
        println!("{prediction_id}  chat {}  {what} at {}", prediction.chat_id, prediction.time);
        let is_put_back = if dry_run {
            true
        } else if revives {
            // Revived first: dying in between leaves a queued record without a message, which polybot's sweep sends anew.
            let revived = predictions.redrive(prediction_id, clock.now()).await? == Written::Now;
            if revived {
                queue.send(&prediction.job(clock.date())).await?;
            }
            revived
        } else {
            // What is missing is the answer, which a polybot's sweep sends.
            predictions.resume(&prediction, clock.now()).await? == Written::Now
        };
        *(if revives { &mut redriven.jobs } else { &mut redriven.answers }) += usize::from(is_put_back);
    }
    Ok(redriven)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
