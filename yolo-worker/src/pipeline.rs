//! One job: fetch, detect, annotate, record; and call back, when the message is deleted. Every step may run twice.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use detector::photo::{self, Header, Limits, PhotoError};
use detector::{Detection, Detector, RgbImage, annotate, redact};
use fleet::images::{self, GetError};
use fleet::job::JobError;
use fleet::predictions::{Findings, Written};
use fleet::{AwsError, Clock, Deed, FailureReason, ImageStore, Job, Label, Prediction, PredictionStore, Status, Wish};
use image::codecs::jpeg::JpegEncoder;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::inference::Panicked;
use crate::meter::Meter;
use crate::{Callback, InferencePool, Memory};

/// JPEG quality of the annotated photo; Telegram recompresses it anyway.
const QUALITY: u8 = 88;

/// What a job needs.
#[derive(Debug)]
pub struct Pipeline {
    /// The photos.
    pub images: ImageStore,
    /// The records.
    pub predictions: PredictionStore,
    /// Polybot.
    pub callback: Callback,
    /// The model.
    pub detector: Arc<Detector>,
    /// The threads it runs on.
    pub inference: InferencePool,
    /// What the records say of when.
    pub clock: Clock,
    /// How busy they are.
    pub(crate) meter: Meter,
    /// What a photo may cost.
    pub limits: Limits,
    /// What there is for all of them.
    pub memory: Memory,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Detected and recorded now.
    Done,
    /// It can't succeed; recorded, the user is told.
    Failed,
    /// It was finished before; only called back.
    Repeated,
    /// It may succeed later; the message stays.
    Retry,
    /// The worker stops; another one can have it at once.
    Released,
}

impl Outcome {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Repeated => "repeated",
            Self::Retry => "retry",
            Self::Released => "released",
        }
    }
}

/// A message whose job was done as far as it could be.
#[derive(Debug)]
pub(crate) struct Processed {
    pub(crate) outcome: Outcome,
    /// What polybot is to be told of, if anything.
    prediction_id: Option<Uuid>,
    started: Instant,
    span: Span,
}

/// Why there are no findings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It can't succeed, however often it is tried.
    #[error(transparent)]
    ForGood(#[from] FailureReason),
    /// AWS failed; it may succeed later.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// It was not begun: the worker stops.
    #[error("this worker stops")]
    Stopping,
}

/// A photo with its findings drawn on it.
struct Detected {
    labels: Vec<Label>,
    annotated_jpeg: Vec<u8>,
}

impl Pipeline {
    /// One message's body to its outcome. Never fails: what goes wrong is logged here and told by the outcome. A job that
    /// still waits for a thread at `shutdown` is released.
    pub(crate) async fn process(&self, body: &str, shutdown: &CancellationToken) -> Processed {
        let started = Instant::now();
        let job = match Job::from_json(body) {
            Ok(job) => job,
            Err(error) => return self.refuse(body, &error, started).await,
        };
        let span = tracing::info_span!(
            "job",
            prediction_id = %job.prediction_id,
            chat_id = job.chat_id,
            fetch_ms = Empty,
            wait_ms = Empty,
            detect_ms = Empty,
            store_ms = Empty,
            call_back_ms = Empty,
        );
        let outcome = async {
            self.finish(&job, shutdown).await.unwrap_or_else(|error| {
                fleet::log!(JOB_RETRIED, %error, "the job failed and will be tried again");
                Outcome::Retry
            })
        };
        let outcome = outcome.instrument(span.clone()).await;
        let finished = !matches!(outcome, Outcome::Retry | Outcome::Released);
        Processed { outcome, prediction_id: finished.then_some(job.prediction_id), started, span }
    }

    /// Tell polybot of what is finished. The message is deleted by then and its place taken: however long polybot needs for
    /// its user, it holds no other photo up. If this does not come to its end, polybot's sweep finds the result.
    pub(crate) async fn conclude(&self, processed: Processed) {
        let Processed { outcome, prediction_id: Some(prediction_id), started, span } = processed else { return };
        async {
            self.call_back(prediction_id).await;
            let duration = started.elapsed();
            metrics::histogram!("worker_job_seconds").record(duration.as_secs_f64());
            fleet::log!(
                JOB_FINISHED,
                outcome = outcome.name(),
                duration_ms = duration.as_millis() as u64,
                "job finished"
            );
        }
        .instrument(span)
        .await;
    }

    /// The job's result made durable, if it is not yet.
    async fn finish(&self, job: &Job, shutdown: &CancellationToken) -> Result<Outcome, AwsError> {
        let wish = match self.predictions.get(job.prediction_id).await? {
            Some(record) if record.is_forgotten() => {
                // Whoever had this job before may have ended between the result and its record.
                self.leave_nothing(job.prediction_id).await?;
                return Ok(Outcome::Repeated);
            }
            Some(Prediction { status: Status::Done | Status::Failed, .. }) => return Ok(Outcome::Repeated),
            Some(record) => record.wish,
            // A job put on the queue without a record, as load generators do.
            None => {
                let record = Prediction::queued(
                    job.prediction_id,
                    job.chat_id,
                    job.message_id,
                    job.image_key.clone(),
                    self.clock.now(),
                );
                let (Written::Now | Written::NotAsExpected) = self.predictions.insert(&record).await?;
                record.wish
            }
        };
        let (written, outcome) = match self.detect(&job.image_key, job.prediction_id, &wish, shutdown).await {
            Ok(findings) => {
                (self.predictions.complete(job.prediction_id, &findings, self.clock.now()).await?, Outcome::Done)
            }
            Err(Failure::Aws(error)) => return Err(error),
            Err(Failure::Stopping) => return Ok(Outcome::Released),
            Err(Failure::ForGood(reason)) => {
                tracing::info!(%reason, "the job can't succeed");
                (self.predictions.fail(job.prediction_id, &reason, self.clock.now()).await?, Outcome::Failed)
            }
        };
        Ok(match written {
            Written::Now => outcome,
            Written::NotAsExpected => {
                let record = self.predictions.get(job.prediction_id).await?;
                if record.is_none_or(|record| record.is_forgotten()) {
                    self.leave_nothing(job.prediction_id).await?;
                }
                Outcome::Repeated
            }
        })
    }

    /// The photo's sender had all forgotten: what was made of it goes, too.
    async fn leave_nothing(&self, prediction_id: Uuid) -> Result<(), AwsError> {
        tracing::info!("the photo was forgotten; nothing is kept of it");
        self.images.delete(&images::predicted_key(prediction_id)).await
    }

    /// Fetch the photo under `image_key`, detect what is wished, store the annotated photo as `prediction_id`'s.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn detect(
        &self,
        image_key: &str,
        prediction_id: Uuid,
        wish: &Wish,
        shutdown: &CancellationToken,
    ) -> Result<Findings, Failure> {
        let stage = Stage::start("fetch");
        let opened = match self.images.open(image_key, self.limits.max_bytes as u64).await {
            Ok(opened) => opened,
            Err(GetError::Aws(error)) => return Err(error.into()),
            Err(error @ GetError::NotFound { .. }) => {
                tracing::warn!(%error, "the photo is gone");
                return Err(FailureReason::PhotoGone.into());
            }
            Err(GetError::TooLarge { bytes, limit, .. }) => {
                return Err(FailureReason::TooManyBytes { bytes, limit }.into());
            }
        };
        // Until the result is stored.
        let _file = unless(shutdown, self.memory.for_file(opened.bytes())).await?;
        let photo = opened.read().await?;
        stage.end();
        let stage = Stage::start("wait");
        let slot = unless(shutdown, self.inference.slot()).await?;
        let busy = self.meter.begin();
        let (header, photo) = self.header(photo).await?;
        let Some(room) = unless(shutdown, self.memory.for_pixels(&header)).await? else {
            return Err(FailureReason::TooMuchMemory.into());
        };
        stage.end();
        let stage = Stage::start("detect");
        let (detector, limits, wish) = (Arc::clone(&self.detector), self.limits, wish.clone());
        // The room goes with the work: that goes on, if nobody waits for it any more.
        let work = move || {
            let detected = detect_and_annotate(&detector, &photo, &limits, &wish);
            drop(room);
            detected
        };
        let detected = self.inference.run(work).await.unwrap_or(Err(FailureReason::DetectorPanicked))?;
        drop(busy);
        drop(slot);
        stage.end();
        let stage = Stage::start("store");
        let predicted_img_path = images::predicted_key(prediction_id);
        self.images.put(&predicted_img_path, detected.annotated_jpeg.into(), "image/jpeg").await?;
        stage.end();
        Ok(Findings { predicted_img_path, labels: detected.labels, model: self.detector.name().into() })
    }

    /// Look at a photo before it is decoded; where the decoder may fail as it may, and not on the async runtime.
    async fn header(&self, photo: Bytes) -> Result<(Header, Bytes), FailureReason> {
        let limits = self.limits;
        let looked = self.inference.run(move || photo::header(&photo, &limits).map(|header| (header, photo))).await;
        looked.unwrap_or_else(|Panicked| Err(PhotoError::Unreadable("the decoder panicked".into()))).map_err(unreadable)
    }

    async fn call_back(&self, prediction_id: Uuid) {
        let stage = Stage::start("call_back");
        match self.callback.finished(prediction_id).await {
            Ok(()) => stage.end(),
            Err(error) => {
                metrics::counter!("worker_callback_failures_total").increment(1);
                fleet::log!(CALLBACK_FAILED, %error, "polybot was not called back; its sweep will find the result");
            }
        }
    }

    /// A message that is no job of this version: its user is told, if it names a prediction; else it stays until SQS
    /// moves it to the dead-letter queue, where a person can look at it.
    async fn refuse(&self, body: &str, error: &JobError, started: Instant) -> Processed {
        #[derive(Deserialize)]
        struct Named {
            prediction_id: Uuid,
        }
        fleet::log!(MESSAGE_REFUSED, %error, "a message was refused");
        let span = Span::none();
        let Ok(Named { prediction_id }) = serde_json::from_str(body) else {
            return Processed { outcome: Outcome::Retry, prediction_id: None, started, span };
        };
        let outcome = match self.predictions.fail(prediction_id, &FailureReason::JobVersion, self.clock.now()).await {
            Ok(Written::Now) => Outcome::Failed,
            Ok(Written::NotAsExpected) => match self.predictions.get(prediction_id).await {
                Ok(Some(_)) => Outcome::Repeated,
                Ok(None) | Err(_) => Outcome::Retry,
            },
            Err(error) => {
                tracing::warn!(%error, "the refusal was not recorded and will be tried again");
                Outcome::Retry
            }
        };
        Processed { outcome, prediction_id: (outcome != Outcome::Retry).then_some(prediction_id), started, span }
    }
}

/// A photo's bytes to labels and the JPEG that is wished. Heavy: not on the async runtime.
fn detect_and_annotate(
    detector: &Detector,
    photo: &Bytes,
    limits: &Limits,
    wish: &Wish,
) -> Result<Detected, FailureReason> {
    let mut image = photo::decode(photo, limits).map_err(unreadable)?;
    let (mut detections, timings) = detector.detect_timed(&image).map_err(|error| {
        fleet::log!(DETECTOR_FAILED, %error, "the detector failed");
        FailureReason::DetectorFailed
    })?;
    for (stage, duration) in
        [("preprocess", timings.preprocess), ("inference", timings.inference), ("postprocess", timings.postprocess)]
    {
        metrics::histogram!("worker_stage_seconds", "stage" => stage).record(duration.as_secs_f64());
    }
    detections.retain(|detection| wish.wants(&detection.class, detection.confidence));
    let labels = labels(&detections, &image);
    match wish.deed {
        Deed::Mark | Deed::Count => annotate::annotate(&mut image, &detections),
        Deed::Blur { block } => redact::blur(&mut image, &detections, block),
        Deed::Crop => image = redact::crop(image, &detections),
    }
    Ok(Detected { labels, annotated_jpeg: to_jpeg(image)? })
}

/// Wait for something that a worker which stops need not begin any more.
async fn unless<T>(shutdown: &CancellationToken, waited_for: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Err(Failure::Stopping),
        got = waited_for => Ok(got),
    }
}

fn unreadable(error: PhotoError) -> FailureReason {
    match error {
        PhotoError::NotAnImage => FailureReason::NotAnImage,
        PhotoError::TooManyBytes { bytes, limit } => {
            FailureReason::TooManyBytes { bytes: bytes as u64, limit: limit as u64 }
        }
        PhotoError::TooManyPixels { width, height, limit } => FailureReason::TooManyPixels { width, height, limit },
        PhotoError::TooMuchMemory => FailureReason::TooMuchMemory,
        PhotoError::Unreadable(detail) => {
            tracing::info!(detail, "a photo can't be read");
            FailureReason::Damaged
        }
    }
}

/// Detections as labels: centre and size as fractions of the image.
pub(crate) fn labels(detections: &[Detection], image: &RgbImage) -> Vec<Label> {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let label = |detection: &Detection| {
        let bounding_box = &detection.bounding_box;
        Label {
            class: detection.class.to_string(),
            cx: (bounding_box.left + bounding_box.right) / 2.0 / width,
            cy: (bounding_box.top + bounding_box.bottom) / 2.0 / height,
            width: bounding_box.width() / width,
            height: bounding_box.height() / height,
            confidence: detection.confidence,
        }
    };
    detections.iter().map(label).collect()
}

/// The longest side that a JPEG has room for.
const MAX_SIDE: u32 = 65_535;

/// The image as JPEG; made smaller, if it is longer than a JPEG may be.
pub(crate) fn to_jpeg(image: RgbImage) -> Result<Vec<u8>, FailureReason> {
    let image = photo::within(image, u64::MAX, MAX_SIDE);
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    image.write_with_encoder(encoder).map_err(|error| {
        fleet::log!(JPEG_NOT_ENCODED, %error, "an annotated photo can't be written");
        FailureReason::ResultNotEncoded
    })?;
    Ok(jpeg.into_inner())
}

/// Times one stage; recorded only when it ends well.
struct Stage {
    name: &'static str,
    started: Instant,
}

impl Stage {
    fn start(name: &'static str) -> Self {
        Self { name, started: Instant::now() }
    }

    fn end(self) {
        let elapsed = self.started.elapsed();
        metrics::histogram!("worker_stage_seconds", "stage" => self.name).record(elapsed.as_secs_f64());
        // The line "job finished" carries its span's fields; in CloudWatch the dashboard's stages are made of them.
        tracing::Span::current().record(format!("{}_ms", self.name).as_str(), elapsed.as_millis() as u64);
    }
}
