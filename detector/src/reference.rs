//! What another runtime finds in some images, to compare a detector with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{BoundingBox, Detection};

/// A file of expected detections:
/// `{"images": {"NAME": {"labels": [{"class", "confidence", "cx", "cy", "width", "height"}]}}}`, in parts of the image's sides.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    /// By the image's file name.
    pub images: BTreeMap<String, Expected>,
}

/// The expected detections in one image.
#[derive(Clone, Debug, Deserialize)]
pub struct Expected {
    labels: Vec<Label>,
}

#[derive(Clone, Debug, Deserialize)]
struct Label {
    class: String,
    confidence: f32,
    cx: f32,
    cy: f32,
    width: f32,
    height: f32,
}

/// How much a detection may differ.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The least overlap (IoU) with the reference's box.
    pub least_iou: f32,
    /// The largest difference in confidence.
    pub most_difference: f32,
    /// Detections below this confidence don't count, on either side.
    pub least_confidence: f32,
}

/// The file is not a reference.
#[derive(Debug, thiserror::Error)]
#[error("can't read the reference {path}: {reason}")]
pub struct ReferenceError {
    path: PathBuf,
    reason: String,
}

impl Reference {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ReferenceError`] if it can't be read or is not a reference.
    pub fn read(path: &Path) -> Result<Self, ReferenceError> {
        let failed = |reason: String| ReferenceError { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
    }
}

impl Expected {
    /// Compares detections in an image of this width and height with the reference. Returns a sentence for each that only one of
    /// them has, and for each whose box or confidence differs by more than `limits` allow.
    #[must_use]
    pub fn differences(&self, found: &[Detection], (width, height): (u32, u32), limits: &Limits) -> Vec<String> {
        let (width, height) = (width as f32, height as f32);
        let mut left: Vec<&Detection> =
            found.iter().filter(|detection| detection.confidence >= limits.least_confidence).collect();
        let mut differences = Vec::new();
        for label in self.labels.iter().filter(|label| label.confidence >= limits.least_confidence) {
            let there = BoundingBox::from_centre(
                label.cx * width,
                label.cy * height,
                label.width * width,
                label.height * height,
            );
            let of_class = left.iter().enumerate().filter(|(_, detection)| *detection.class == *label.class);
            let best = of_class
                .map(|(index, detection)| (index, detection.bounding_box.iou(&there), detection.confidence))
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .filter(|&(_, iou, _)| iou > 0.5);
            let Label { class, confidence, .. } = label;
            let Some((index, iou, found)) = best else {
                differences.push(format!("a {class} of confidence {confidence:.3} is not found"));
                continue;
            };
            left.swap_remove(index);
            if iou < limits.least_iou || (found - confidence).abs() > limits.most_difference {
                differences
                    .push(format!("a {class} has IoU {iou:.3}, confidence {found:.3} instead of {confidence:.3}"));
            }
        }
        let more = |detection: &&Detection| {
            format!("a {} of confidence {:.3} is not in the reference", detection.class, detection.confidence)
        };
        differences.extend(left.iter().map(more));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        let json = r#"{"images": {"a.png": {"labels": [
            {"class": "cat", "confidence": 0.9, "cx": 0.5, "cy": 0.5, "width": 0.2, "height": 0.4},
            {"class": "dog", "confidence": 0.3, "cx": 0.2, "cy": 0.2, "width": 0.1, "height": 0.1}
        ]}}}"#;
        let reference: Reference = serde_json::from_str(json).expect("a reference");
        let cat = |confidence: f32, left: f32| Detection {
            class_id: 0,
            class: "cat".into(),
            confidence,
            bounding_box: BoundingBox { left, top: 15.0, right: 60.0, bottom: 35.0 },
        };
        let limits = Limits { least_iou: 0.95, most_difference: 0.02, least_confidence: 0.5 };
        let differences =
            |found: &[Detection], limits| reference.images["a.png"].differences(found, (100, 50), &limits);
        assert_eq!(differences(&[cat(0.91, 40.0), cat(0.4, 0.0)], limits), Vec::<String>::new());
        let all = differences(&[cat(0.91, 40.0)], Limits { least_confidence: 0.0, ..limits });
        assert_eq!(all, ["a dog of confidence 0.300 is not found"]);
        for wrong in [cat(0.8, 40.0), cat(0.9, 45.0)] {
            assert!(differences(&[wrong], limits)[0].starts_with("a cat has IoU"));
        }
        let twice = differences(&[cat(0.9, 40.0), cat(0.9, 40.0)], limits);
        assert_eq!(twice, ["a cat of confidence 0.900 is not in the reference"]);
    }
}
