//! The head of YOLOv5: centre and size relative to a few anchors at each place.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math::{Add, Mul, Pow};

use super::graph::{axes_changed, concatenated, shape, sigmoid_of, sliced, stride, with_constant, with_number};
use super::{logit_below, sigmoid};
use crate::BoundingBox;
use crate::decode::Candidate;
use crate::raw_map::RawMap;

/// The head: for each anchor `5 + classes` channels of logits (centre, size, objectness, classes).
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    pub(super) classes: usize,
    pub(super) levels: Vec<Level>,
}

/// One raw map.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Input pixels for each pixel of the map.
    pub(super) stride: f32,
    /// Width and height of each anchor, in input pixels.
    pub(super) anchors: Vec<[f32; 2]>,
}

/// The head of this graph and its raw maps.
pub(super) fn find(model: &TypedModel) -> Option<(Anchors, Vec<OutletId>)> {
    let mut maps = Vec::new();
    let mut levels = Vec::new();
    let mut classes = None;
    for &rows in concatenated(model, *model.outputs.first()?, 1)? {
        let (parts, _) = axes_changed(model, rows)?;
        let &[centre, size, scores] = concatenated(model, parts, 4)? else { return None };
        let (sigmoids, 4, end) = sliced(model, scores, 4)? else { return None };
        let (moved, AxisOp::Move(2, 4)) = axes_changed(model, sigmoid_of(model, sigmoids)?)? else { return None };
        let (map, AxisOp::Reshape(1, from, to)) = axes_changed(model, moved)? else { return None };
        let [1, anchors, channels, height, width] = shape(model, moved)?[..] else { return None };
        if (from.len(), to.len()) != (1, 2) || channels != end || channels <= 5 {
            return None;
        }
        let stride = stride(model, height, width)? as f32;
        let values = anchors * height * width * 2;

        // (2 * sigmoid + place - 0.5) * stride
        let (placed, factor) = with_number::<Mul>(model, centre)?;
        let (doubled, places) = with_constant::<Add>(model, placed)?;
        let (raw, 2.0) = with_number::<Mul>(model, doubled)? else { return None };
        let is_place = |(i, &value): (usize, &f32)| {
            let pixel = i / 2 % (height * width);
            value == (if i % 2 == 0 { pixel % width } else { pixel / width }) as f32 - 0.5
        };
        if factor != stride
            || sliced(model, raw, 4)? != (sigmoids, 0, 2)
            || places.len() != values
            || !places.iter().enumerate().all(is_place)
        {
            return None;
        }

        // (2 * sigmoid)^2 * anchor
        let (squared, sides) = with_constant::<Mul>(model, size)?;
        let (doubled, 2.0) = with_number::<Pow>(model, squared)? else { return None };
        let (raw, 2.0) = with_number::<Mul>(model, doubled)? else { return None };
        if sliced(model, raw, 4)? != (sigmoids, 2, 4) || sides.len() != values {
            return None;
        }
        let of_anchor: Vec<[f32; 2]> =
            sides.chunks_exact(height * width * 2).map(|sides| [sides[0], sides[1]]).collect();
        let repeats = |(sides, first): (&[f32], &[f32; 2])| sides.chunks_exact(2).all(|side| side == first);
        if !sides.chunks_exact(height * width * 2).zip(&of_anchor).all(repeats) {
            return None;
        }
        if *classes.get_or_insert(channels - 5) != channels - 5 {
            return None;
        }
        maps.push(map);
        levels.push(Level { stride, anchors: of_anchor });
    }
    Some((Anchors { classes: classes?, levels }, maps))
}

impl Anchors {
    pub(super) fn candidates(&self, maps: &[RawMap<'_>], min_confidence: f32) -> Vec<Candidate> {
        let least = logit_below(min_confidence);
        let mut candidates = Vec::new();
        for (map, level) in maps.iter().zip(&self.levels) {
            for (index, anchor) in level.anchors.iter().enumerate() {
                let first = index * (5 + self.classes);
                // No score exceeds 1, so neither does a confidence exceed its objectness.
                for pixel in map.pixels_reaching(first + 4..first + 5, least) {
                    let logit = |channel| map.at(first + channel, pixel);
                    let (mut class_id, mut best) = (0, f32::NEG_INFINITY);
                    for class in 0..self.classes {
                        let value = logit(5 + class);
                        if value > best {
                            (class_id, best) = (class, value);
                        }
                    }
                    let confidence = sigmoid(logit(4)) * sigmoid(best);
                    if confidence < min_confidence {
                        continue;
                    }
                    let centre =
                        |channel, place: usize| (2.0 * sigmoid(logit(channel)) + place as f32 - 0.5) * level.stride;
                    let side = |channel, anchor: f32| (2.0 * sigmoid(logit(channel))).powi(2) * anchor;
                    let bounding_box = BoundingBox::from_centre(
                        centre(0, pixel % map.width()),
                        centre(1, pixel / map.width()),
                        side(2, anchor[0]),
                        side(3, anchor[1]),
                    );
                    candidates.push(Candidate { class_id, confidence, bounding_box });
                }
            }
        }
        candidates
    }
}
