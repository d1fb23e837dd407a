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

/// The head: for each level `4 * bins` channels of box logits (left, top, right, bottom) and the classes' logits. One bin is
/// the distance itself, as in YOLO26.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    pub(super) bins: usize,
    pub(super) classes: usize,
    pub(super) levels: Vec<Level>,
}

/// One size of maps.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Input pixels for each pixel of the maps.
    pub(super) stride: f32,
    /// Which map has the boxes, and from which channel on.
    pub(super) boxes: (usize, usize),
    /// Which map has the classes, and from which channel on.
    pub(super) scores: (usize, usize),
}

/// Channels of one map.
#[derive(Clone, Copy, Debug)]
struct Part {
    map: OutletId,
    first: usize,
    count: usize,
    height: usize,
    width: usize,
}

/// The head of this graph and its raw maps.
pub(super) fn find(model: &TypedModel) -> Option<(Distribution, Vec<OutletId>)> {
    let &[boxes, scores] = concatenated(model, *model.outputs.first()?, 1)? else { return None };
    let scores = parts(model, sigmoid_of(model, scores)?)?;
    let mut grid = Vec::new();
    for Part { height, width, .. } in &scores {
        let stride = stride(model, *height, *width)? as f32;
        grid.extend((0..height * width).map(|i| ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5, stride)));
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

    let (logits, bins) = logits(model, distances, grid.len())?;
    let boxes = parts(model, logits)?;
    let classes = scores.first()?.count;
    let fits = |(boxes, scores): (&Part, &Part)| {
        boxes.count == 4 * bins
            && scores.count == classes
            && (boxes.height, boxes.width) == (scores.height, scores.width)
    };
    if boxes.len() != scores.len() || !boxes.iter().zip(&scores).all(fits) {
        return None;
    }
    let mut maps = Vec::new();
    let mut index = |map: OutletId| {
        maps.iter().position(|&other| other == map).unwrap_or_else(|| {
            maps.push(map);
            maps.len() - 1
        })
    };
    let level = |(boxes, scores): (&Part, &Part)| {
        let stride = stride(model, boxes.height, boxes.width)? as f32;
        Some(Level { stride, boxes: (index(boxes.map), boxes.first), scores: (index(scores.map), scores.first) })
    };
    let levels = boxes.iter().zip(&scores).map(level).collect::<Option<_>>()?;
    Some((Distribution { bins, classes, levels }, maps))
}

/// The maps whose places, one map's behind the other's, are `outlet`: `[1, channels, places]`.
fn parts(model: &TypedModel, outlet: OutletId) -> Option<Vec<Part>> {
    if let Some((joined, start, end)) = sliced(model, outlet, 1) {
        let mut parts = parts(model, joined)?;
        for part in &mut parts {
            if end > part.count {
                return None;
            }
            (part.first, part.count) = (part.first + start, end - start);
        }
        return Some(parts);
    }
    let part = |&part: &OutletId| {
        let (map, AxisOp::Reshape(2, from, to)) = axes_changed(model, part)? else { return None };
        let [1, count, height, width] = shape(model, map)?[..] else { return None };
        ((from.len(), to.len()) == (2, 1)).then_some(Part { map, first: 0, count, height, width })
    };
    concatenated(model, outlet, 2)?.iter().map(part).collect()
}

/// The logits of distances and the number of their bins: a distance is the mean of 0, 1, 2... weighted by the softmax of its
/// logits; or of one bin, which then is the distance itself.
fn logits(model: &TypedModel, distances: OutletId, places: usize) -> Option<(OutletId, usize)> {
    let mean = model.node(unchanged(model, distances).node);
    if !mean.op.is::<Conv>() {
        return Some((distances, 1));
    }
    let bins = constant(model, mean.inputs[1])?;
    if bins.iter().enumerate().any(|(i, &bin)| bin != i as f32) {
        return None;
    }
    let softmax = model.node(unchanged(model, mean.inputs[0]).node);
    let &[axis] = &*softmax.op.downcast_ref::<Softmax>()?.axes else { return None };
    let softmax_shape = shape(model, softmax.inputs[0])?;
    if softmax_shape.get(axis) != Some(&bins.len()) || softmax_shape.last() != Some(&places) {
        return None;
    }
    // Edges first, then the bins of each.
    let mut by_edge = softmax.inputs[0];
    loop {
        let (input, change) = axes_changed(model, by_edge)?;
        if axes_changed(model, input).is_some() {
            by_edge = input;
            continue;
        }
        let AxisOp::Reshape(1, from, to) = change else { return None };
        let is_split = from[..] == [(4 * bins.len()).to_dim()] && to[..] == [4.to_dim(), bins.len().to_dim()];
        return is_split.then_some((input, bins.len()));
    }
}

/// The outlet that `outlet` is made of by changes of axes only.
fn unchanged(model: &TypedModel, mut outlet: OutletId) -> OutletId {
    while let Some((input, _)) = axes_changed(model, outlet) {
        outlet = input;
    }
    outlet
}

impl Distribution {
    pub(super) fn candidates(&self, maps: &[RawMap<'_>], min_confidence: f32) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for level in &self.levels {
            let scores = &maps[level.scores.0];
            let classes = level.scores.1..level.scores.1 + self.classes;
            for pixel in scores.pixels_reaching(classes.clone(), logit_below(min_confidence)) {
                let (mut class_id, mut logit) = (0, f32::NEG_INFINITY);
                for (class, channel) in classes.clone().enumerate() {
                    let value = scores.at(channel, pixel);
                    if value > logit {
                        (class_id, logit) = (class, value);
                    }
                }
                let confidence = sigmoid(logit);
                if confidence >= min_confidence {
                    let bounding_box = self.bounding_box(maps, level, pixel);
                    candidates.push(Candidate { class_id, confidence, bounding_box });
                }
            }
        }
        candidates
    }

    /// The output of an end-to-end model: of the `most` places with the highest score of any class, the `most` pairs of place
    /// and class with the highest scores, in descending order. (TopK twice in Ultralytics' exports.)
    pub(super) fn detections(&self, maps: &[RawMap<'_>], min_confidence: f32, most: usize) -> Vec<Candidate> {
        let least = logit_below(min_confidence);
        let by_logit = |a: f32, b: f32| b.total_cmp(&a);
        let mut places = Vec::new();
        for (index, level) in self.levels.iter().enumerate() {
            let scores = &maps[level.scores.0];
            let classes = level.scores.1..level.scores.1 + self.classes;
            for pixel in scores.pixels_reaching(classes.clone(), least) {
                let best = classes.clone().map(|channel| scores.at(channel, pixel)).fold(f32::NEG_INFINITY, f32::max);
                places.push((best, index, pixel));
            }
        }
        places.sort_by(|a, b| by_logit(a.0, b.0));
        places.truncate(most);
        let mut pairs = Vec::new();
        for (_, index, pixel) in places {
            let (map, first) = self.levels[index].scores;
            let logits = (0..self.classes).map(|class| (maps[map].at(first + class, pixel), class, index, pixel));
            pairs.extend(logits.filter(|&(logit, ..)| logit >= least));
        }
        pairs.sort_by(|a, b| by_logit(a.0, b.0));
        pairs.truncate(most);
        pairs
            .into_iter()
            .map(|(logit, class_id, index, pixel)| Candidate {
                class_id,
                confidence: sigmoid(logit),
                bounding_box: self.bounding_box(maps, &self.levels[index], pixel),
            })
            .filter(|candidate| candidate.confidence >= min_confidence)
            .collect()
    }

    fn bounding_box(&self, maps: &[RawMap<'_>], level: &Level, pixel: usize) -> BoundingBox {
        let (map, stride) = (&maps[level.boxes.0], level.stride);
        let x = (pixel % map.width()) as f32 + 0.5;
        let y = (pixel / map.width()) as f32 + 0.5;
        let [left, top, right, bottom] =
            std::array::from_fn(|edge| self.distance(map, level.boxes.1 + edge * self.bins, pixel));
        BoundingBox {
            left: (x - left) * stride,
            top: (y - top) * stride,
            right: (x + right) * stride,
            bottom: (y + bottom) * stride,
        }
    }

    /// From the middle of a pixel to the edge whose bins start at channel `first`, in pixels of the map.
    fn distance(&self, map: &RawMap<'_>, first: usize, pixel: usize) -> f32 {
        let logit = |bin| map.at(first + bin, pixel);
        if self.bins == 1 {
            return logit(0);
        }
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
