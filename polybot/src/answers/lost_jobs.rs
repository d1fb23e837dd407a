//! Queued predictions whose message is gone: an instance died between recording and queueing and Telegram gave up, or
//! somebody purged the queue.

use std::time::Duration;

use fleet::predictions::Written;
use fleet::{AwsError, Clock, FailureReason, JobQueue, PredictionStore, Status};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Answers;

/// A queue that is never empty tells nothing of one message. After this long it counts as lost all the same: a
/// message too many is only called back and deleted.
const LOST_FOR_CERTAIN: Duration = Duration::from_secs(3600);
/// How often a message is sent anew before its user is told that it failed.
const MOST_REQUEUES: u32 = 3;
/// The most that one look acts on.
const BATCH: i32 = 100;

/// Sends lost messages anew.
#[derive(Clone, Debug)]
pub(crate) struct LostJobs {
    /// The records.
    pub(crate) predictions: PredictionStore,
    /// The jobs.
    pub(crate) queue: JobQueue,
    /// To tell the user in the end.
    pub(crate) answers: Answers,
    /// What time it is.
    pub(crate) clock: Clock,
    /// How long a job may be queued before it is asked whether its message is still there.
    pub(crate) stale_after: Duration,
}

impl LostJobs {
    /// One look.
    pub(crate) async fn sweep(&self, shutdown: &CancellationToken) {
        if let Err(error) = self.look(shutdown).await {
            tracing::warn!(%error, "the sweep can't look for lost jobs");
        }
    }

    async fn look(&self, shutdown: &CancellationToken) -> Result<(), AwsError> {
        let stale = self.predictions.undelivered(Status::Queued, self.clock.now() - self.stale_after, BATCH).await?;
        if stale.is_empty() {
            return Ok(());
        }
        // A message that waits is not lost, however long it waits. One in flight is at work, or hidden until its next try;
        // sending that anew costs one look at the finished record.
        let waiting = self.queue.depth().await?.visible > 0;
        for prediction_id in stale {
            if shutdown.is_cancelled() {
                break;
            }
            if let Err(error) = self.send_anew(prediction_id, waiting).await {
                tracing::warn!(%prediction_id, %error, "a lost job was not sent anew; the next sweep tries again");
            }
        }
        Ok(())
    }

    async fn send_anew(&self, prediction_id: Uuid, others_wait: bool) -> Result<(), AwsError> {
        let Some(prediction) = self.predictions.get(prediction_id).await? else { return Ok(()) };
        let limit = if others_wait { self.stale_after.max(LOST_FOR_CERTAIN) } else { self.stale_after };
        if prediction.status != Status::Queued || prediction.time > self.clock.now() - limit {
            return Ok(());
        }
        if prediction.requeued >= MOST_REQUEUES {
            if others_wait {
                // As long as messages wait, its own may be one of them. Looked at again later, behind the others.
                let (Written::Now | Written::NotAsExpected) =
                    self.predictions.requeue(&prediction, self.clock.now()).await?;
                return Ok(());
            }
            return self.give_up(prediction_id).await;
        }
        // Sent first: dying in between costs a second message, not the job.
        self.queue.send(&prediction.job(self.clock.date())).await?;
        if self.predictions.requeue(&prediction, self.clock.now()).await? == Written::Now {
            metrics::counter!("polybot_requeued_total").increment(1);
            fleet::log!(JOB_SENT_AGAIN, %prediction_id, times = prediction.requeued + 1, "a lost job was sent anew");
        }
        Ok(())
    }

    async fn give_up(&self, prediction_id: Uuid) -> Result<(), AwsError> {
        if self
            .predictions
            .dead_letter(prediction_id, self.clock.now(), &FailureReason::RetriesExhausted, self.clock.now())
            .await?
            == Written::Now
        {
            fleet::log!(JOB_LOST, %prediction_id, "a job was lost again and again; its user is told");
            if let Err(error) = self.answers.deliver(prediction_id).await {
                tracing::warn!(%prediction_id, %error, "the user was not told; the sweep tries again");
            }
        }
        Ok(())
    }
}
