//! Receives messages, runs each through the pipeline, deletes it, has polybot called back.

use std::sync::Arc;
use std::time::Duration;

use fleet::JobQueue;
use fleet::queue::Received;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Pipeline;
use crate::backoff::backoff;
use crate::heartbeat::keep_invisible;
use crate::pipeline::Outcome;
use crate::readiness::Readiness;

/// Waits after a receive that failed: longer each time, up to the last.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
];
/// How long the first receive waits for a message.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long giving up what was not finished in time may take.
const RELEASE_TIME: Duration = Duration::from_secs(5);

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
    /// The wait before the second try of a job that failed for a passing reason; later ones wait longer.
    pub retry_wait: Duration,
    /// How long the jobs that run at shutdown may take.
    pub drain_timeout: Duration,
    /// Places for callbacks that are under way.
    pub callbacks: Semaphore,
    /// How many messages are held, for whoever protects a busy instance.
    pub in_hand: watch::Sender<usize>,
    /// Told when a receive was answered for the first time.
    pub(crate) readiness: Readiness,
}

impl Consumer {
    /// Receive until `shutdown`; then finish what runs, release what waits and, at the end of the drain timeout, what still
    /// runs.
    pub async fn run(self, shutdown: CancellationToken) {
        let consumer = Arc::new(self);
        let jobs = TaskTracker::new();
        let give_up = CancellationToken::new();
        let too_late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(consumer.drain_timeout).await;
        };
        let work = async {
            Arc::clone(&consumer).receive(&jobs, &shutdown, &give_up).await;
            jobs.close();
            tracing::info!(jobs = jobs.len(), "draining");
            jobs.wait().await;
        };
        tokio::select! {
            () = work => return,
            () = too_late => {}
        }
        jobs.close();
        fleet::log!(
            DRAIN_TIMEOUT,
            jobs = jobs.len(),
            "the drain timeout is over; the jobs that still run are released"
        );
        give_up.cancel();
        // What can't be released reappears after its visibility timeout.
        let _ = tokio::time::timeout(RELEASE_TIME, jobs.wait()).await;
    }

    async fn receive(self: Arc<Self>, jobs: &TaskTracker, shutdown: &CancellationToken, give_up: &CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.capacity));
        let mut failures = 0_usize;
        while let Some(first) = free_slot(&slots, shutdown).await {
            // A receive that was begun is waited for even at shutdown: what it brings would else be hidden from all
            // workers for a visibility timeout.
            let free = 1 + slots.available_permits().min(9);
            // The first one is to tell soon whether this worker can work at all.
            let wait = if self.readiness.is_ready() { self.receive_wait } else { self.receive_wait.min(FIRST_WAIT) };
            match self.queue.receive(free, wait).await {
                Ok(messages) => {
                    failures = 0;
                    self.readiness.set();
                    let mut slot = Some(first);
                    for message in messages {
                        // Nobody else takes slots, so there is one for each message that was asked for.
                        let slot = slot.take().or_else(|| Arc::clone(&slots).try_acquire_owned().ok());
                        let consumer = Arc::clone(&self);
                        let (shutdown, give_up) = (shutdown.clone(), give_up.clone());
                        jobs.spawn(async move { consumer.handle(message, slot, shutdown, give_up).await });
                    }
                }
                Err(error) => {
                    let wait = BACKOFF[failures.min(BACKOFF.len() - 1)].mul_f64(0.5 + fastrand::f64());
                    failures += 1;
                    metrics::counter!("worker_receive_failures_total").increment(1);
                    fleet::log!(RECEIVE_FAILED, %error, failures, retry_in_ms = wait.as_millis() as u64, "can't receive");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
    }

    /// One message, from received to deleted or released.
    async fn handle(
        &self,
        message: Received,
        slot: Option<OwnedSemaphorePermit>,
        shutdown: CancellationToken,
        give_up: CancellationToken,
    ) {
        self.in_hand.send_modify(|held| *held += 1);
        metrics::gauge!("worker_messages_in_hand").increment(1);
        let processed = tokio::select! {
            processed = self.pipeline.process(&message.body, &shutdown) => Some(processed),
            () = keep_invisible(&self.queue, &message.receipt, self.visibility_timeout) => {
                metrics::counter!("worker_jobs_total", "outcome" => "given_up").increment(1);
                None
            }
            () = give_up.cancelled() => {
                self.finish(&message, Outcome::Released).await;
                None
            }
        };
        if let Some(processed) = &processed {
            self.finish(&message, processed.outcome).await;
        }
        metrics::gauge!("worker_messages_in_hand").decrement(1);
        drop(slot);
        if let Some(processed) = processed {
            // However slow polybot is, no more than so many wait for it; its sweep finds the others.
            match self.callbacks.try_acquire() {
                Ok(_place) => tokio::select! {
                    () = self.pipeline.conclude(processed) => {}
                    () = give_up.cancelled() => {}
                },
                Err(_) => metrics::counter!("worker_callback_failures_total").increment(1),
            }
        }
        self.in_hand.send_modify(|held| *held = held.saturating_sub(1));
    }

    async fn finish(&self, message: &Received, outcome: Outcome) {
        metrics::counter!("worker_jobs_total", "outcome" => outcome.name()).increment(1);
        match outcome {
            Outcome::Done | Outcome::Failed | Outcome::Repeated => {
                self.pipeline.meter.finished();
                if let Err(error) = self.queue.delete(&message.receipt).await {
                    // It comes again and is then found finished.
                    tracing::warn!(%error, "a finished message was not deleted");
                }
            }
            Outcome::Released => self.hide(message, Duration::ZERO).await,
            // After too many receives SQS moves it to the dead-letter queue, whatever its visibility.
            Outcome::Retry => {
                self.hide(message, backoff(self.retry_wait, message.receive_count, fastrand::f64())).await
            }
        }
    }

    /// Have the message reappear after this time.
    async fn hide(&self, message: &Received, time: Duration) {
        if let Err(error) = self.queue.set_visibility(&message.receipt, time).await {
            tracing::warn!(%error, "a message was not given back; it reappears after its visibility timeout");
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
