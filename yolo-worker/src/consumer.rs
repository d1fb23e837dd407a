//! Receives messages and makes an attempt at each, until the worker stops.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::{Attempt, Stopping, Worker};
use crate::readiness::Readiness;

/// Waits after a receive that failed: half a second, then twice as long each time, up to 15 s, and by chance up to as much again.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(MAX_WAIT)
    .without_max_times()
    .with_jitter();
const MAX_WAIT: Duration = Duration::from_secs(15);
/// How long the first receive waits for a message.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long giving up what was not finished in time may take.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// The loop.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// What is done with each message.
    pub(crate) worker: Arc<Worker>,
    /// The most messages in flight at once, running and waiting.
    pub(crate) capacity: usize,
    /// How long one receive waits for a message.
    pub(crate) receive_wait: Duration,
    /// How long the attempts that run at shutdown may take.
    pub(crate) drain_timeout: Duration,
    /// Told when a receive was answered for the first time.
    pub(crate) readiness: Readiness,
}

impl Consumer {
    /// Receive until `shutdown`; then finish what runs, release what waits and, at the end of the drain timeout, what still
    /// runs.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let jobs = TaskTracker::new();
        let stopping = Stopping { shutdown, give_up: CancellationToken::new() };
        let too_late = async {
            stopping.shutdown.cancelled().await;
            tokio::time::sleep(self.drain_timeout).await;
        };
        let work = async {
            self.receive(&jobs, &stopping).await;
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
        stopping.give_up.cancel();
        // What can't be released reappears after its visibility timeout.
        let _ = tokio::time::timeout(RELEASE_TIME, jobs.wait()).await;
    }

    async fn receive(&self, jobs: &TaskTracker, stopping: &Stopping) {
        let shutdown = &stopping.shutdown;
        let slots = Arc::new(Semaphore::new(self.capacity));
        let (mut failures, mut backoff) = (0_usize, BACKOFF.build());
        while let Some(first) = free_slot(&slots, shutdown).await {
            // A receive that was begun is waited for even at shutdown: what it brings would else be hidden from all
            // workers for a visibility timeout.
            let free = 1 + slots.available_permits().min(9);
            // The first one is to tell soon whether this worker can work at all.
            let wait = if self.readiness.is_ready() { self.receive_wait } else { self.receive_wait.min(FIRST_WAIT) };
            match self.worker.queue.receive(free, wait).await {
                Ok(messages) => {
                    (failures, backoff) = (0, BACKOFF.build());
                    self.readiness.set();
                    let mut slot = Some(first);
                    for message in messages {
                        // Nobody else takes slots, so there is one for each message that was asked for.
                        let slot = slot.take().or_else(|| Arc::clone(&slots).try_acquire_owned().ok());
                        let (worker, stopping) = (Arc::clone(&self.worker), stopping.clone());
                        jobs.spawn(async move { Attempt::at(message).run(&worker, slot, &stopping).await });
                    }
                }
                Err(error) => {
                    let wait = backoff.next().unwrap_or(MAX_WAIT);
                    failures += 1;
                    metrics::counter!("worker_receive_failures_total").increment(1);
                    let queue = self.worker.queue.name();
                    fleet::log!(RECEIVE_FAILED, %error, queue, failures, retry_in_ms = wait.as_millis() as u64, "can't receive");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
    }
}

/// Room for one more message; `None` at shutdown.
async fn free_slot(slots: &Arc<Semaphore>, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        slot = Arc::clone(slots).acquire_owned() => slot.ok(),
    }
}
