//! The head of YOLOX: centre and size relative to each place, with objectness and without anchors.

use super::{logit_below, sigmoid};
use crate::BoundingBox;
use crate::decode::Candidate;
use crate::raw_map::RawMap;

/// The head: for each level a map of 4 channels (centre, logarithm of the size), one of objectness and one of classes.
#[derive(Clone, Debug)]
pub(crate) struct Points {
    pub(super) classes: usize,
    pub(super) levels: Vec<Level>,
}

/// One size of maps.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Input pixels for each pixel of the maps.
    pub(super) stride: f32,
    /// Which map has the boxes.
    pub(super) boxes: usize,
    /// Which map has the objectness.
    pub(super) objectness: usize,
    /// Which map has the classes.
    pub(super) scores: usize,
}

impl Points {
    pub(super) fn candidates(&self, maps: &[RawMap<'_>], min_confidence: f32) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for level in &self.levels {
            let [boxes, objectness, scores] = [level.boxes, level.objectness, level.scores].map(|index| &maps[index]);
            // No score exceeds 1, so neither does a confidence exceed its objectness.
            for pixel in objectness.pixels_reaching(0..1, logit_below(min_confidence)) {
                let (mut class_id, mut best) = (0, f32::NEG_INFINITY);
                for class in 0..self.classes {
                    let value = scores.at(class, pixel);
                    if value > best {
                        (class_id, best) = (class, value);
                    }
                }
                let confidence = sigmoid(objectness.at(0, pixel)) * sigmoid(best);
                if confidence < min_confidence {
                    continue;
                }
                let place = [pixel % boxes.width(), pixel / boxes.width()];
                let centre = |axis: usize| (boxes.at(axis, pixel) + place[axis] as f32) * level.stride;
                let side = |axis: usize| boxes.at(2 + axis, pixel).exp() * level.stride;
                let bounding_box = BoundingBox::from_centre(centre(0), centre(1), side(0), side(1));
                candidates.push(Candidate { class_id, confidence, bounding_box });
            }
        }
        candidates
    }
}
