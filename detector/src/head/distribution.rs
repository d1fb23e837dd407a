//! The head of YOLOv8 and later: distances to the four edges, each as a distribution over bins.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::math::{Add, Div, Mul, Sub};
use tract_onnx::tract_core::ops::nn::Softmax;

use super::graph::{
    axes_changed, binary, concatenated, constant, shape, sigmoid_of, sliced, stride, with_constant, with_number,
};
use super::{logit_below, sigmoid};
use crate::BoundingBox;
use crate::decode::Candidate;
use crate::raw_map::RawMap;

/// The head: maps have `4 * bins` channels of box logits (left, top, right, bottom), then the classes' logits.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    bins: usize,
    pub(super) classes: usize,
    /// Input pixels for each pixel of each map.
    strides: Vec<f32>,
}

/// The head of this graph and its raw maps.
pub(super) fn find(model: &TypedModel) -> Option<(Distribution, Vec<OutletId>)> {
    let &[boxes, scores] = concatenated(model, *model.outputs.first()?, 1)? else { return None };
    let (joined, first_class, end) = sliced(model, sigmoid_of(model, scores)?, 1)?;
    let (mut maps, mut strides, mut grid) = (Vec::new(), Vec::new(), Vec::new());
    for &part in concatenated(model, joined, 2)? {
        let (map, AxisOp::Reshape(2, from, to)) = axes_changed(model, part)? else { return None };
        let [1, channels, height, width] = shape(model, map)?[..] else { return None };
        if (channels, from.len(), to.len()) != (end, 2, 1) {
            return None;
        }
        let stride = stride(model, height, width)?;
        grid.extend((0..height * width).map(|i| ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5, stride as f32)));
        maps.push(map);
        strides.push(stride as f32);
    }

    // (centre, size) * stride, from the two corners.
    let (corners, factors) = with_constant::<Mul>(model, boxes)?;
    let &[centre, size] = concatenated(model, corners, 1)? else { return None };
    let (bottom_right, top_left) = binary::<Sub>(model, size)?;
    let half = |outlet| match (with_number::<Div>(model, outlet), with_number::<Mul>(model, outlet)) {
        (Some((sum, 2.0)), _) | (_, Some((sum, 0.5))) => Some(sum),
        _ => None,
    };
    let (a, b) = binary::<Add>(model, half(centre)?)?;
    if (a, b) != (top_left, bottom_right) && (b, a) != (top_left, bottom_right) {
        return None;
    }
    // The corners, from the distances to the middle of the place.
    let (places, to_top_left) = binary::<Sub>(model, top_left)?;
    let (to_bottom_right, other_places) = with_constant::<Add>(model, bottom_right)?;
    let places = constant(model, places)?;
    let is_grid = |places: &[f32]| {
        places.len() == 2 * grid.len()
            && places[..grid.len()].iter().zip(&grid).all(|(&x, place)| x == place.0)
            && places[grid.len()..].iter().zip(&grid).all(|(&y, place)| y == place.1)
    };
    let is_strides = factors.len() == grid.len() && factors.iter().zip(&grid).all(|(&stride, place)| stride == place.2);
    if !is_grid(&places) || !is_grid(&other_places) || !is_strides {
        return None;
    }
    let (distances, 0, 2) = sliced(model, to_top_left, 1)? else { return None };
    if sliced(model, to_bottom_right, 1)? != (distances, 2, 4) {
        return None;
    }

    // A distance is the mean of 0, 1, 2... weighted by the softmax of its logits.
    let mean = model.node(unchanged(model, distances).node);
    mean.op.downcast_ref::<Conv>()?;
    let bins = constant(model, mean.inputs[1])?;
    if bins.iter().enumerate().any(|(i, &bin)| bin != i as f32) || 4 * bins.len() != first_class {
        return None;
    }
    let softmax = model.node(unchanged(model, mean.inputs[0]).node);
    let &[axis] = &*softmax.op.downcast_ref::<Softmax>()?.axes else { return None };
    let softmax_shape = shape(model, softmax.inputs[0])?;
    if softmax_shape.get(axis) != Some(&bins.len()) || softmax_shape.last() != Some(&grid.len()) {
        return None;
    }
    if sliced(model, unchanged(model, softmax.inputs[0]), 1)? != (joined, 0, first_class) {
        return None;
    }
    Some((Distribution { bins: bins.len(), classes: end - first_class, strides }, maps))
}

/// What `outlet` is before changes of axes.
fn unchanged(model: &TypedModel, mut outlet: OutletId) -> OutletId {
    while let Some((input, _)) = axes_changed(model, outlet) {
        outlet = input;
    }
    outlet
}

impl Distribution {
    pub(super) fn candidates(&self, maps: &[RawMap<'_>], min_confidence: f32) -> Vec<Candidate> {
        let least = logit_below(min_confidence);
        let classes = 4 * self.bins..4 * self.bins + self.classes;
        let mut candidates = Vec::new();
        for (map, &stride) in maps.iter().zip(&self.strides) {
            for pixel in map.pixels_reaching(classes.clone(), least) {
                let (mut class_id, mut logit) = (0, f32::NEG_INFINITY);
                for (class, channel) in classes.clone().enumerate() {
                    let value = map.at(channel, pixel);
                    if value > logit {
                        (class_id, logit) = (class, value);
                    }
                }
                let confidence = sigmoid(logit);
                if confidence < min_confidence {
                    continue;
                }
                let x = (pixel % map.width()) as f32 + 0.5;
                let y = (pixel / map.width()) as f32 + 0.5;
                let [left, top, right, bottom] = std::array::from_fn(|edge| self.distance(map, edge, pixel));
                let bounding_box = BoundingBox {
                    left: (x - left) * stride,
                    top: (y - top) * stride,
                    right: (x + right) * stride,
                    bottom: (y + bottom) * stride,
                };
                candidates.push(Candidate { class_id, confidence, bounding_box });
            }
        }
        candidates
    }

    /// From the middle of a pixel to an edge, in pixels of the map.
    fn distance(&self, map: &RawMap<'_>, edge: usize, pixel: usize) -> f32 {
        let logit = |bin| map.at(edge * self.bins + bin, pixel);
        let greatest = (0..self.bins).map(logit).fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for bin in 0..self.bins {
            let weight = (logit(bin) - greatest).exp();
            sum += weight;
            weighted += weight * bin as f32;
        }
        weighted / sum
    }
}
