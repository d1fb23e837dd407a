//! Drains the dead-letter queue: jobs that failed too often are recorded as failed and their users told, once.

use std::collections::HashSet;
use std::time::Duration;

use fleet::predictions::Written;
use fleet::queue::Received;
use fleet::{Clock, FailureReason, Job, JobQueue, Prediction, PredictionStore, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Answers, DeliverError, Delivered};

/// How long one receive waits for a message.
const WAIT: Duration = Duration::from_secs(20);
/// Wait after a receive that failed.
const PAUSE: Duration = Duration::from_secs(15);

/// The dead-letter queue.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    /// Where they are.
    pub(crate) queue: JobQueue,
    /// The records.
    pub(crate) predictions: PredictionStore,
    /// What time it is.
    pub(crate) clock: Clock,
    /// To tell the users.
    pub(crate) answers: Answers,
}

impl DeadLetters {
    /// Drain until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut foreign = HashSet::new();
        loop {
            let received = tokio::select! {
                received = self.queue.receive(10, WAIT) => received,
                // What arrives on the abandoned receive reappears after the queue's visibility timeout.
                () = shutdown.cancelled() => return,
            };
            match received {
                Ok(messages) => {
                    for message in messages {
                        // What is left reappears after the queue's visibility timeout.
                        if shutdown.is_cancelled() {
                            return;
                        }
                        self.dead_letter(&message, &mut foreign).await;
                    }
                }
                Err(error) => {
                    fleet::log!(DEAD_LETTERS_UNREADABLE, %error, queue = self.queue.name(), "can't look for dead letters");
                    tokio::select! {
                        () = self.clock.sleep(PAUSE) => {}
                        () = shutdown.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Handles one dead letter: acknowledges it after its failure is recorded. A message that is not a job stays for an operator.
    async fn dead_letter(&self, message: &Received, foreign: &mut HashSet<String>) {
        let job = match Job::from_json(&message.body) {
            Ok(job) => job,
            Err(error) => {
                // Once, not at every look.
                if foreign.insert(message.message_id.clone()) {
                    metrics::counter!("polybot_foreign_dead_letters_total").increment(1);
                    fleet::log!(FOREIGN_DEAD_LETTER, %error, message_id = message.message_id, "a dead letter is no job; it stays there");
                }
                return;
            }
        };
        let prediction_id = job.prediction_id;
        if let Err(error) = self.record_and_tell(&job).await {
            // The message comes again and the user is told then; or the record is there and the sweep tells.
            tracing::warn!(%prediction_id, %error, "a dead letter was not dealt with; it will be tried again");
            return;
        }
        metrics::counter!("polybot_dead_letters_total").increment(1);
        fleet::log!(JOB_DEAD_LETTERED, %prediction_id, chat_id = job.chat_id, "a job failed too often; it can be redriven");
        if let Err(error) = self.queue.ack(&message.receipt).await {
            tracing::warn!(%prediction_id, %error, "a dead letter was not acknowledged; it comes again and changes nothing");
        }
    }

    async fn record_and_tell(&self, job: &Job) -> Result<(), DeliverError> {
        let submitted = Timestamp::from(job.submitted_at);
        let buried = self
            .predictions
            .dead_letter(job.prediction_id, submitted, &FailureReason::RetriesExhausted, self.clock.now())
            .await?;
        if buried == Written::NotAsExpected && self.predictions.get(job.prediction_id).await?.is_none() {
            // Put on the queue without a record, as load generators do.
            let record = Prediction::queued(
                job.prediction_id,
                job.chat_id,
                job.message_id,
                job.image_key.clone(),
                self.clock.now(),
            );
            let (Written::Now | Written::NotAsExpected) = self.predictions.insert(&record).await?;
            let (Written::Now | Written::NotAsExpected) = self
                .predictions
                .dead_letter(job.prediction_id, submitted, &FailureReason::RetriesExhausted, self.clock.now())
                .await?;
        }
        // Finished after all, by a worker that died before deleting: then that is told.
        match self.answers.deliver(job.prediction_id).await {
            Ok(Delivered::Now | Delivered::Before | Delivered::ToNobody | Delivered::Unreachable) => Ok(()),
            // It was redriven since; its new message decides.
            Err(DeliverError::NotFinished(_)) => Ok(()),
            // The instance that is telling may die; the sweep covers that.
            Ok(Delivered::InProgress | Delivered::WithItsAlbum | Delivered::Later) => Ok(()),
            Err(error @ (DeliverError::Telegram(_) | DeliverError::TooSlow)) => {
                tracing::warn!(prediction_id = %job.prediction_id, %error, "the user was not told; the sweep tries again");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
