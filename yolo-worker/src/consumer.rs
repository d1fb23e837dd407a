//! Receives messages, runs each through the pipeline, deletes it.

use std::sync::Arc;
use std::time::Duration;

use fleet::JobQueue;
use fleet::queue::Received;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Pipeline;
use crate::heartbeat::keep_invisible;
use crate::pipeline::Outcome;

/// Waits after a receive that failed: longer each time, up to the last.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
];

/// The loop.
#[derive(Debug)]
pub struct Consumer {
    /// Where the jobs come from.
    pub queue: JobQueue,
    /// What is done with each.
    pub pipeline: Arc<Pipeline>,
    /// The most messages held at once, running and waiting.
    pub capacity: usize,
    /// How long a message stays invisible unless extended; the queue's own setting.
    pub visibility_timeout: Duration,
    /// How long one receive waits for a message.
    pub receive_wait: Duration,
}

impl Consumer {
    /// Receive until `shutdown`, then finish what is in hand.
    pub async fn run(self, shutdown: CancellationToken) {
        let consumer = Arc::new(self);
        let slots = Arc::new(Semaphore::new(consumer.capacity));
        let jobs = TaskTracker::new();
        let mut failures = 0_usize;
        while let Some(first) = free_slot(&slots, &shutdown).await {
            // A receive that was begun is waited for even at shutdown: what it brings would else be hidden from all
            // workers for a visibility timeout.
            let free = 1 + slots.available_permits().min(9);
            match consumer.queue.receive(free, consumer.receive_wait).await {
                Ok(messages) => {
                    failures = 0;
                    let mut slot = Some(first);
                    for message in messages {
                        // Nobody else takes slots, so there is one for each message that was asked for.
                        let slot = slot.take().or_else(|| Arc::clone(&slots).try_acquire_owned().ok());
                        let consumer = Arc::clone(&consumer);
                        let shutdown = shutdown.clone();
                        jobs.spawn(async move { consumer.handle(message, slot, shutdown).await });
                    }
                }
                Err(error) => {
                    let wait = BACKOFF[failures.min(BACKOFF.len() - 1)];
                    failures += 1;
                    metrics::counter!("worker_receive_failures_total").increment(1);
                    tracing::warn!(%error, failures, retry_in_ms = wait.as_millis() as u64, "can't receive");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
        jobs.close();
        tracing::info!(jobs = jobs.len(), "draining");
        jobs.wait().await;
    }

    /// One message, from received to deleted or released.
    async fn handle(&self, message: Received, _slot: Option<OwnedSemaphorePermit>, shutdown: CancellationToken) {
        metrics::gauge!("worker_messages_in_hand").increment(1);
        if shutdown.is_cancelled() {
            self.release(&message).await;
        } else {
            tokio::select! {
                outcome = self.pipeline.process(&message.body) => self.finish(&message, outcome).await,
                () = keep_invisible(&self.queue, &message.receipt, self.visibility_timeout) => {
                    metrics::counter!("worker_jobs_total", "outcome" => "given_up").increment(1);
                }
            }
        }
        metrics::gauge!("worker_messages_in_hand").decrement(1);
    }

    async fn finish(&self, message: &Received, outcome: Outcome) {
        metrics::counter!("worker_jobs_total", "outcome" => outcome.name()).increment(1);
        match outcome {
            Outcome::Done | Outcome::Failed | Outcome::Repeated => {
                if let Err(error) = self.queue.delete(&message.receipt).await {
                    // It comes again and is then found finished.
                    tracing::warn!(%error, "a finished message was not deleted");
                }
            }
            // It reappears by itself; after too many receives SQS moves it to the dead-letter queue.
            Outcome::Retry => {}
        }
    }

    /// Make the message visible to other workers at once.
    async fn release(&self, message: &Received) {
        if let Err(error) = self.queue.set_visibility(&message.receipt, Duration::ZERO).await {
            tracing::warn!(%error, "a message could not be released; it reappears after its visibility timeout");
        }
    }
}

/// Room for one more message, or nothing at shutdown.
async fn free_slot(slots: &Arc<Semaphore>, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        slot = Arc::clone(slots).acquire_owned() => slot.ok(),
    }
}
