//! From a photo's key to what is in it: fetch, wait for a thread, detect, annotate, store. Every step may run twice.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use detector::photo::{self, Header, Limits, PhotoError};
use detector::{DetectError, Detection, Detector, RgbImage, Timings, annotate, redact};
use fleet::images::{self, GetError};
use fleet::{AwsError, Deed, DetectionResult, FailureReason, ImageStore, Label, Wish};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::inference::{InferencePool, Panicked};
use crate::memory::Memory;
use crate::meter::Meter;

/// JPEG quality of the annotated photo; Telegram recompresses it anyway.
const QUALITY: u8 = 88;

/// What a photo goes through.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) images: ImageStore,
    pub(crate) detector: Arc<dyn Detect>,
    /// The threads it runs on.
    pub(crate) inference: InferencePool,
    /// How busy they are.
    pub(crate) meter: Meter,
    /// What a photo may cost.
    pub(crate) limits: Limits,
    /// What there is for all of them.
    pub(crate) memory: Memory,
}

/// What finds objects.
pub trait Detect: fmt::Debug + Send + Sync {
    /// The model's name, as it is recorded with each prediction.
    fn name(&self) -> &str;

    /// The objects in an upright image, the most confident first, and how long each part took.
    ///
    /// # Errors
    /// [`DetectError`] if the network can't be run.
    fn detect(&self, image: &RgbImage) -> Result<(Vec<Detection>, Timings), DetectError>;
}

impl Detect for Detector {
    fn name(&self) -> &str {
        self.name()
    }

    fn detect(&self, image: &RgbImage) -> Result<(Vec<Detection>, Timings), DetectError> {
        self.detect_timed(image)
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResult {
    /// It can't succeed, however often it is tried.
    #[error(transparent)]
    Failed(#[from] FailureReason),
    /// AWS failed; it may succeed later.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// It was not begun: the worker stops.
    #[error("this worker stops")]
    Stopping,
}

/// A photo with what was found drawn on it.
struct Detected {
    labels: Vec<Label>,
    annotated_jpeg: Vec<u8>,
}

impl Pipeline {
    /// Fetch the photo under `image_key`, detect what is wished, store the annotated photo as `prediction_id`'s.
    ///
    /// # Errors
    /// [`NoResult`].
    pub(crate) async fn detect(
        &self,
        image_key: &str,
        prediction_id: Uuid,
        wish: &Wish,
        shutdown: &CancellationToken,
    ) -> Result<DetectionResult, NoResult> {
        let stage = Stage::start("fetch");
        let opened = match self.images.open(image_key, self.limits.max_bytes as u64).await {
            Ok(opened) => opened,
            Err(GetError::Aws(error)) => return Err(error.into()),
            Err(error @ GetError::NotFound { .. }) => {
                tracing::warn!(%prediction_id, %error, "the photo is gone");
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
            let detected = detect_and_annotate(&*detector, &photo, &limits, &wish);
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
        Ok(DetectionResult { predicted_img_path, labels: detected.labels, model: self.detector.name().into() })
    }

    /// Look at a photo before it is decoded; where the decoder may fail as it may, and not on the async runtime.
    async fn header(&self, photo: Bytes) -> Result<(Header, Bytes), FailureReason> {
        let limits = self.limits;
        let looked = self.inference.run(move || photo::header(&photo, &limits).map(|header| (header, photo))).await;
        looked.unwrap_or_else(|Panicked| Err(PhotoError::Unreadable("the decoder panicked".into()))).map_err(unreadable)
    }
}

/// A photo's bytes to labels and the JPEG that is wished. Heavy: not on the async runtime.
fn detect_and_annotate(
    detector: &dyn Detect,
    photo: &Bytes,
    limits: &Limits,
    wish: &Wish,
) -> Result<Detected, FailureReason> {
    let mut image = photo::decode(photo, limits).map_err(unreadable)?;
    let (mut detections, timings) = detector.detect(&image).map_err(|error| {
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
async fn unless<T>(shutdown: &CancellationToken, waited_for: impl Future<Output = T>) -> Result<T, NoResult> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Err(NoResult::Stopping),
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

/// The image as JPEG.
pub(crate) fn to_jpeg(image: RgbImage) -> Result<Vec<u8>, FailureReason> {
    photo::encode_jpeg(image, QUALITY).map_err(|error| {
        fleet::log!(JPEG_NOT_ENCODED, %error, "an annotated photo can't be written");
        FailureReason::ResultNotEncoded
    })
}

/// Times one stage; recorded only when it ends well.
pub(crate) struct Stage {
    name: &'static str,
    started: Instant,
}

impl Stage {
    pub(crate) fn start(name: &'static str) -> Self {
        Self { name, started: Instant::now() }
    }

    pub(crate) fn end(self) {
        let elapsed = self.started.elapsed();
        metrics::histogram!("worker_stage_seconds", "stage" => self.name).record(elapsed.as_secs_f64());
        // The line "job finished" carries its span's fields; in CloudWatch the dashboard's stages are made of them.
        tracing::Span::current().record(format!("{}_ms", self.name).as_str(), elapsed.as_millis() as u64);
    }
}
