//! One attempt at one message. Three steps, each of which may run twice: the result is recorded, the message is settled, polybot is
//! notified.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::images;
use fleet::job::JobError;
use fleet::predictions::Written;
use fleet::queue::Received;
use fleet::{AwsError, Clock, FailureReason, Job, JobQueue, Prediction, PredictionStore, Status};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::backoff::backoff;
use crate::callback::Callback;
use crate::failures::Failures;
use crate::heartbeat::extend_visibility;
use crate::pipeline::{NoResult, Pipeline, Stage};

/// What every attempt needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) queue: JobQueue,
    pub(crate) predictions: PredictionStore,
    /// From a photo to what is in it.
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) callback: Callback,
    /// Places for callbacks that are under way.
    pub(crate) callbacks: Semaphore,
    /// What the records say of when.
    pub(crate) clock: Clock,
    /// How long a message stays invisible unless extended; the queue's own setting.
    pub(crate) visibility_timeout: Duration,
    /// How many attempts failed one after the other.
    pub(crate) failures: Failures,
    /// The wait before the second try of a job that failed for a passing reason; later ones wait longer.
    pub(crate) retry_wait: Duration,
    /// How many messages are in flight, for whatever protects a busy instance.
    pub(crate) in_flight: watch::Sender<usize>,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Detected and recorded now.
    Done,
    /// It can't succeed; that is recorded.
    Failed,
    /// It was finished before.
    Repeated,
    /// It may succeed later.
    Retry,
    /// The worker stops; another one can have it at once.
    Released,
    /// The message could not be kept invisible: another worker may have it already.
    GivenUp,
}

/// The values of the label `outcome` of `worker_jobs_total`.
#[must_use]
pub fn outcomes() -> [&'static str; 6] {
    [Outcome::Done, Outcome::Failed, Outcome::Repeated, Outcome::Retry, Outcome::Released, Outcome::GivenUp]
        .map(Outcome::name)
}

impl Outcome {
    /// Nothing is left to do for the job.
    fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Repeated)
    }

    /// Its name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Repeated => "repeated",
            Self::Retry => "retry",
            Self::Released => "released",
            Self::GivenUp => "given_up",
        }
    }
}

/// When a worker stops.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    /// What was not begun is released, if it was not before.
    pub(crate) shutdown: CancellationToken,
    /// What still runs is released.
    pub(crate) give_up: CancellationToken,
}

impl Stopping {
    /// When a message that was not begun is released. One that was received before may come from a worker that stops, too: if all
    /// workers of a fleet that shrinks passed it on, it would be a dead letter. So each is released once; then it is finished.
    fn of(&self, message: &Received) -> &CancellationToken {
        if message.receive_count > 1 { &self.give_up } else { &self.shutdown }
    }
}

/// One message, received now.
#[derive(Debug)]
pub(crate) struct Attempt {
    message: Received,
    job: Result<Job, JobError>,
    /// The prediction it names, also where this version can't read it.
    prediction_id: Option<Uuid>,
    started: Instant,
    span: Span,
}

impl Attempt {
    /// At this message.
    pub(crate) fn at(message: Received) -> Self {
        let job = Job::from_json(&message.body);
        let prediction_id = match &job {
            Ok(job) => Some(job.prediction_id),
            Err(_) => named_in(&message.body),
        };
        // Empty fields are for stages: the line "job finished" carries its span's fields.
        let span = tracing::info_span!(
            "message",
            message_id = message.message_id,
            receive_count = message.receive_count,
            prediction_id = prediction_id.map(tracing::field::display),
            chat_id = job.as_ref().ok().map(|job| job.chat_id),
            fetch_ms = Empty,
            wait_ms = Empty,
            detect_ms = Empty,
            store_ms = Empty,
            call_back_ms = Empty,
        );
        Self { message, job, prediction_id, started: Instant::now(), span }
    }

    /// From received to settled and notified. Never fails: what goes wrong is logged. The slot is free once the message is settled:
    /// however long polybot needs for its user, it holds no other photo up.
    pub(crate) async fn run(self, worker: &Worker, slot: Option<OwnedSemaphorePermit>, stopping: &Stopping) {
        let span = self.span.clone();
        let steps = async {
            worker.in_flight.send_modify(|count| *count += 1);
            metrics::gauge!("worker_messages_in_flight").increment(1);
            let outcome = tokio::select! {
                outcome = self.record(worker, stopping.of(&self.message)) => outcome,
                () = extend_visibility(&worker.queue, &self.message, worker.visibility_timeout) => Outcome::GivenUp,
                () = stopping.give_up.cancelled() => Outcome::Released,
            };
            self.settle(worker, outcome).await;
            metrics::gauge!("worker_messages_in_flight").decrement(1);
            if outcome == Outcome::Retry {
                // Others can have the job meanwhile.
                tokio::select! {
                    () = tokio::time::sleep(worker.failures.pause()) => {}
                    () = stopping.shutdown.cancelled() => {}
                }
            }
            drop(slot);
            if let Some(prediction_id) = self.finished(outcome) {
                tokio::select! {
                    () = self.notify(worker, prediction_id) => {}
                    () = stopping.give_up.cancelled() => {}
                }
                let duration = self.started.elapsed();
                metrics::histogram!("worker_job_seconds").record(duration.as_secs_f64());
                fleet::log!(
                    JOB_FINISHED,
                    outcome = outcome.name(),
                    duration_ms = duration.as_millis() as u64,
                    "job finished"
                );
            }
            worker.in_flight.send_modify(|count| *count = count.saturating_sub(1));
        };
        steps.instrument(span).await;
    }

    /// The first step: the job's result is made durable, if it is not yet. A job that still waits for a thread at `stop` is released.
    async fn record(&self, worker: &Worker, stop: &CancellationToken) -> Outcome {
        let recorded = match &self.job {
            Ok(job) => self.detect(worker, job, stop).await,
            Err(error) => self.refuse(worker, error).await,
        };
        match &recorded {
            Ok(outcome) if outcome.is_finished() => worker.failures.end(),
            Ok(_) => {}
            Err(_) => worker.failures.add(),
        }
        recorded.unwrap_or_else(|error| {
            fleet::log!(JOB_RETRIED, message_id = self.message.message_id, %error, "the job failed and will be tried again");
            Outcome::Retry
        })
    }

    async fn detect(&self, worker: &Worker, job: &Job, stop: &CancellationToken) -> Result<Outcome, AwsError> {
        let wish = match worker.predictions.get(job.prediction_id).await? {
            Some(record) if record.is_forgotten() => {
                // Whatever had this job before may have ended between the result and its record.
                return leave_nothing(worker, job.prediction_id).await;
            }
            Some(Prediction { status: Status::Done | Status::Failed, .. }) => return Ok(Outcome::Repeated),
            Some(record) => record.wish,
            // A job put on the queue without a record, as load generators do.
            None => {
                let &Job { prediction_id, chat_id, message_id, ref image_key, .. } = job;
                let now = worker.clock.now();
                let record = Prediction::queued(prediction_id, chat_id, message_id, image_key.clone(), now);
                let (Written::Now | Written::NotAsExpected) = worker.predictions.insert(&record).await?;
                record.wish
            }
        };
        let detected = worker.pipeline.detect(&job.image_key, job.prediction_id, &wish, stop).await;
        let (written, outcome) = match detected {
            Ok(result) => {
                (worker.predictions.complete(job.prediction_id, &result, worker.clock.now()).await?, Outcome::Done)
            }
            Err(NoResult::Failed(reason)) => {
                tracing::info!(%reason, "the job can't succeed");
                (worker.predictions.fail(job.prediction_id, &reason, worker.clock.now()).await?, Outcome::Failed)
            }
            Err(NoResult::Aws(error)) => return Err(error),
            Err(NoResult::Stopping) => return Ok(Outcome::Released),
        };
        if written == Written::Now {
            return Ok(outcome);
        }
        match worker.predictions.get(job.prediction_id).await? {
            Some(record) if !record.is_forgotten() => Ok(Outcome::Repeated),
            _ => leave_nothing(worker, job.prediction_id).await,
        }
    }

    /// A message that this version can't read as a job: its user is told, if it names a prediction; else it stays until SQS
    /// moves it to the dead-letter queue, where an operator finds it.
    async fn refuse(&self, worker: &Worker, error: &JobError) -> Result<Outcome, AwsError> {
        fleet::log!(MESSAGE_REFUSED, message_id = self.message.message_id, %error, "a message was refused");
        let Some(prediction_id) = self.prediction_id else { return Ok(Outcome::Retry) };
        let now = worker.clock.now();
        Ok(match worker.predictions.fail(prediction_id, &FailureReason::JobVersion, now).await? {
            Written::Now => Outcome::Failed,
            Written::NotAsExpected if worker.predictions.get(prediction_id).await?.is_some() => Outcome::Repeated,
            Written::NotAsExpected => Outcome::Retry,
        })
    }

    /// The second step: the message is acknowledged, or given back. Whatever fails here, the message comes again.
    async fn settle(&self, worker: &Worker, outcome: Outcome) {
        metrics::counter!("worker_jobs_total", "outcome" => outcome.name()).increment(1);
        match outcome {
            Outcome::Done | Outcome::Failed | Outcome::Repeated => {
                worker.pipeline.meter.finished();
                if let Err(error) = worker.queue.ack(&self.message.receipt).await {
                    // It is then found finished.
                    tracing::warn!(message_id = self.message.message_id, %error, "a finished message was not acknowledged");
                }
            }
            Outcome::Released => self.nack(worker, Duration::ZERO).await,
            // After too many receives SQS moves it to the dead-letter queue, once it is visible again.
            Outcome::Retry => {
                self.nack(worker, backoff(worker.retry_wait, self.message.receive_count, fastrand::f64())).await;
            }
            // It is not this worker's any more.
            Outcome::GivenUp => {}
        }
    }

    /// Give the message back: it reappears after this time.
    async fn nack(&self, worker: &Worker, after: Duration) {
        if let Err(error) = worker.queue.nack(&self.message.receipt, after).await {
            tracing::warn!(message_id = self.message.message_id, %error, "a message was not given back; it reappears after its visibility timeout");
        }
    }

    /// The prediction that is finished with this outcome, if any is.
    fn finished(&self, outcome: Outcome) -> Option<Uuid> {
        self.prediction_id.filter(|_| outcome.is_finished())
    }

    /// The third step: polybot hears of what is finished. If this does not come to its end, polybot's sweep finds the result.
    async fn notify(&self, worker: &Worker, prediction_id: Uuid) {
        // However slow polybot is, only this many wait for it.
        let Ok(_place) = worker.callbacks.try_acquire() else {
            metrics::counter!("worker_callback_failures_total").increment(1);
            return;
        };
        let stage = Stage::start("call_back");
        match worker.callback.finished(prediction_id).await {
            Ok(()) => stage.end(),
            Err(error) => {
                metrics::counter!("worker_callback_failures_total").increment(1);
                fleet::log!(CALLBACK_FAILED, %prediction_id, %error, "polybot was not called back; its sweep will find the result");
            }
        }
    }
}

/// The photo's sender had all forgotten: what was made of it goes, too.
async fn leave_nothing(worker: &Worker, prediction_id: Uuid) -> Result<Outcome, AwsError> {
    tracing::info!("the photo was forgotten; nothing is kept of it");
    worker.pipeline.images.delete(&images::predicted_key(prediction_id)).await?;
    Ok(Outcome::Repeated)
}

/// The prediction that a message of any version names.
fn named_in(body: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Named {
        prediction_id: Uuid,
    }
    serde_json::from_str(body).ok().map(|Named { prediction_id }| prediction_id)
}
