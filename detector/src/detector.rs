//! Letterbox, network, decode and NMS put together.

use std::path::Path;
use std::time::{Duration, Instant};

use image::RgbImage;
use tract_onnx::prelude::TractError;

use crate::layout::Layout;
use crate::model::Options;
use crate::{Detection, LoadError, Model, StandIn, letterbox, nms, stand_in};

/// Which of the network's predictions are kept.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// The least confidence, `0..=1`.
    pub confidence: f32,
    /// Boxes of one class that overlap by more than this IoU are one object.
    pub iou: f32,
    /// The most detections in one image.
    pub max_detections: usize,
}

impl Default for Thresholds {
    /// YOLOv5's defaults: confidence 0.25, IoU 0.45; 300 detections.
    fn default() -> Self {
        Self { confidence: 0.25, iou: 0.45, max_detections: 300 }
    }
}

/// How long the parts of one detection took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Image to input tensor.
    pub preprocess: Duration,
    /// The network.
    pub inference: Duration,
    /// Raw output to detections.
    pub postprocess: Duration,
}

/// The network failed on an image.
#[derive(Debug, thiserror::Error)]
#[error("the model {model} failed on an image of {width} x {height}: {reason}")]
pub struct DetectError {
    model: String,
    width: u32,
    height: u32,
    reason: String,
}

/// A model and its thresholds. Immutable: share it between threads.
#[derive(Debug)]
pub struct Detector {
    backend: Backend,
    thresholds: Thresholds,
}

#[derive(Debug)]
enum Backend {
    Model(Box<Model>),
    StandIn(StandIn),
}

impl Detector {
    /// Loads the model in this ONNX file.
    ///
    /// # Errors
    /// See [`Model::load`].
    pub fn load(path: &Path, thresholds: Thresholds) -> Result<Self, LoadError> {
        Self::load_with(path, thresholds, &Options::default())
    }

    /// [`load`](Self::load) with options.
    ///
    /// # Errors
    /// See [`Model::load`].
    pub fn load_with(path: &Path, thresholds: Thresholds, options: &Options) -> Result<Self, LoadError> {
        Ok(Self { backend: Backend::Model(Box::new(Model::load_with(path, options)?)), thresholds })
    }

    /// A detector without a network, for tests of everything around it.
    #[must_use]
    pub fn stand_in(stand_in: StandIn) -> Self {
        Self { backend: Backend::StandIn(stand_in), thresholds: Thresholds::default() }
    }

    /// The model's name, which is recorded with each prediction.
    #[must_use]
    pub fn name(&self) -> &str {
        self.model().map_or(stand_in::NAME, Model::name)
    }

    /// The model; `None` for a stand-in.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        match &self.backend {
            Backend::Model(model) => Some(model),
            Backend::StandIn(_) => None,
        }
    }

    /// Finds the objects in an upright image and returns them, the most confident first.
    ///
    /// # Errors
    /// [`DetectError`] if the network can't be run.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<Detection>, DetectError> {
        self.detect_timed(image).map(|(detections, _)| detections)
    }

    /// [`detect`](Self::detect) that also returns how long each part took.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn detect_timed(&self, image: &RgbImage) -> Result<(Vec<Detection>, Timings), DetectError> {
        let start = Instant::now();
        let model = match &self.backend {
            Backend::Model(model) => model,
            Backend::StandIn(stand_in) => {
                let detections = stand_in.detect(image);
                return Ok((detections, Timings { inference: start.elapsed(), ..Timings::default() }));
            }
        };
        let (width, height) = model.input_size_for(image.width(), image.height());
        let mut input = vec![0.0; 3 * width as usize * height as usize];
        let letterbox = letterbox::fill(image, &mut input, width, height);
        let preprocessed = Instant::now();
        let failed = |error: TractError| DetectError {
            model: model.name().into(),
            width: image.width(),
            height: image.height(),
            reason: format!("{error:#}"),
        };
        let output = model.run(input, width, height).map_err(failed)?;
        let inferred = Instant::now();
        let candidates = output.candidates(self.thresholds.confidence).map_err(failed)?;
        let Thresholds { iou, max_detections, .. } = self.thresholds;
        let kept = match model.layout() {
            // What overlaps was left out by the network, or by the NMS that was exported with it.
            Layout::EndToEnd { .. } => nms::most_confident(candidates, max_detections),
            _ => nms::suppress(candidates, iou, max_detections),
        };
        let detections = kept
            .into_iter()
            .map(|candidate| Detection {
                class_id: candidate.class_id,
                class: model.class_name(candidate.class_id),
                confidence: candidate.confidence,
                bounding_box: letterbox.to_image(&candidate.bounding_box),
            })
            .collect();
        let timings = Timings {
            preprocess: preprocessed - start,
            inference: inferred - preprocessed,
            postprocess: inferred.elapsed(),
        };
        Ok((detections, timings))
    }
}
