//! Heads recognised by what they compute, in whatever way their exporter writes them.
//!
//! The graph is cut behind the last convolutions, those that make the raw maps. tract runs what follows once, on maps of
//! made-up values; the head is the known one whose arithmetic gives the same boxes and confidences at every place.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::nn;

use super::anchors::{self, Anchors};
use super::distribution::{self, Distribution};
use super::graph::{constant, shape, stride};
use super::points::{self, Points};
use super::{Head, sigmoid, softmax};
use crate::bounded::{self, Brought};
use crate::decode::{self, Candidate};
use crate::layout::Layout;
use crate::raw_map::RawMap;

/// Maps of one size.
#[derive(Debug)]
struct Level {
    stride: usize,
    /// The maps, by their places among all of them, and how many channels each has.
    maps: Vec<(usize, usize)>,
}

/// The head of this graph and its raw maps, for an output of this layout.
pub(super) fn find(model: &TypedModel, layout: Layout) -> Option<(Head, Vec<OutletId>)> {
    let (maps, nodes) = raw_maps(model)?;
    let mut levels = BTreeMap::new();
    for (index, &map) in maps.iter().enumerate() {
        let [1, channels, height, width] = shape(model, map)?[..] else { return None };
        let stride = stride(model, height, width)?;
        levels.entry(stride).or_insert_with(|| Level { stride, maps: Vec::new() }).maps.push((index, channels));
    }
    let levels: Vec<Level> = levels.into_values().collect();
    let is_alone = levels.iter().all(|level| level.maps.len() == 1);
    let mut random = Random(1);
    let values: Vec<Tensor> = maps
        .iter()
        .map(|&map| {
            let shape = shape(model, map)?;
            // Logits that give a wide range of probabilities, and distances that give boxes.
            let least = if is_alone || shape[1] == layout.classes() { -4.0 } else { 0.0 };
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| least + 5.0 * random.next()).collect();
            Tensor::from_shape(&shape, &values).ok()
        })
        .collect::<Option<_>>()?;
    let output = run(model, &maps, &nodes, &values).ok()?;
    let output = output.as_plain_ram()?;
    let output = output.as_slice::<f32>().ok().filter(|output| output.len() == layout.values())?;
    let expected = decode::candidates(output, layout, 0.0).ok()?;
    let raw: Vec<RawMap<'_>> = values.iter().map(RawMap::of_planar).collect::<Option<_>>()?;
    hypotheses(&levels, layout, output, &raw)
        .into_iter()
        .find(|head| agree(&head.candidates(&raw, 0.0, layout), &expected))
        .map(|head| (head, maps))
}

/// The last convolutions before the output whose results are maps, and the nodes behind them.
fn raw_maps(model: &TypedModel) -> Option<(Vec<OutletId>, Vec<usize>)> {
    let source = model.input_outlets().ok()?.first()?.node;
    let (mut maps, mut behind, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    let mut open = vec![model.outputs.first()?.node];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = model.node(id);
        let is_map = || match shape(model, id.into())?[..] {
            [1, _, height, width] if height > 0 && width > 0 => stride(model, height, width),
            _ => None,
        };
        // The mean of a distribution: weights 0, 1, 2... It makes no map, though its result may have the shape of one.
        let is_mean = || {
            let bins = node.inputs.get(1).and_then(|&weights| constant(model, weights));
            bins.is_some_and(|bins| bins.len() > 1 && bins.iter().enumerate().all(|(i, &bin)| bin == i as f32))
        };
        if id == source {
            return None;
        } else if node.op.is::<Conv>() && is_map().is_some() && !is_mean() {
            maps.push(OutletId::from(id));
        } else {
            behind.push(id);
            let is_constant = |outlet: &OutletId| model.outlet_fact(*outlet).is_ok_and(|fact| fact.konst.is_some());
            open.extend(node.inputs.iter().filter(|&outlet| !is_constant(outlet)).map(|outlet| outlet.node));
        }
    }
    // A typed graph's nodes stand after what they read.
    maps.sort_unstable();
    behind.sort_unstable();
    (!maps.is_empty()).then_some((maps, behind))
}

/// The output for these values of the maps.
fn run(model: &TypedModel, maps: &[OutletId], nodes: &[usize], values: &[Tensor]) -> TractResult<Arc<Tensor>> {
    let mut tail = TypedModel::default();
    let mut outlets: HashMap<OutletId, OutletId> = HashMap::new();
    for (&map, values) in maps.iter().zip(values) {
        let name = model.node(map.node).name.clone();
        outlets.insert(map, tail.add_source(name, f32::fact(values.shape()))?);
    }
    for &id in nodes {
        let node = model.node(id);
        let mut inputs = tvec!();
        for input in &node.inputs {
            let outlet = match (outlets.get(input), &model.outlet_fact(*input)?.konst) {
                (Some(&outlet), _) => outlet,
                (None, Some(constant)) => {
                    let name = format!("{}, {}", model.node(input.node).name, input.slot);
                    let outlet = tail.add_const(name, Arc::clone(constant))?;
                    outlets.insert(*input, outlet);
                    outlet
                }
                (None, None) => bail!("{} comes from nowhere", model.node(input.node)),
            };
            inputs.push(outlet);
        }
        let results = tail.wire_node(&*node.name, quick(node), &inputs)?;
        outlets.extend(results.into_iter().enumerate().map(|(slot, result)| (OutletId::new(id, slot), result)));
    }
    let output = outlets.get(&model.outputs[0]).context("no output")?;
    tail.select_output_outlets(&[*output])?;
    let plan = tail.into_runnable()?;
    bounded::ensure_it_fits(&plan, Brought::default())?;
    let inputs = values.iter().map(|values| values.clone().into_tvalue()).collect();
    let results = plan.run(inputs)?;
    Ok(results.into_iter().next().context("no output")?.into_arc_tensor())
}

/// Returns the operator of a node, or one of this crate that does the same in less time.
fn quick(node: &TypedNode) -> Box<dyn TypedOp> {
    match node.op_as::<nn::Softmax>() {
        Some(softmax) if softmax.quant_output_dt.is_none() && softmax.axes.len() == 1 => {
            softmax::Softmax { axis: softmax.axes[0] }.into()
        }
        _ => node.op.clone(),
    }
}

/// What the head may be, by the numbers of the maps' channels.
fn hypotheses(levels: &[Level], layout: Layout, output: &[f32], raw: &[RawMap<'_>]) -> Vec<Head> {
    let of_class_maps = |which: usize| -> Option<(usize, usize)> {
        let (_, classes) = levels.first()?.maps[which];
        let (_, boxes) = levels.first()?.maps[1 - which];
        let is_alike = |level: &Level| level.maps[which].1 == classes && level.maps[1 - which].1 == boxes;
        let is_known = matches!(layout, Layout::EndToEnd { .. }) || classes == layout.classes();
        (boxes > 0 && boxes % 4 == 0 && is_known && levels.iter().all(is_alike)).then_some((boxes / 4, classes))
    };
    match levels.iter().map(|level| level.maps.len()).collect::<HashSet<_>>().into_iter().collect::<Vec<_>>()[..] {
        [1] => anchors(levels, layout, output, raw).into_iter().collect(),
        [2] => (0..2)
            .filter_map(|which| {
                let (bins, classes) = of_class_maps(which)?;
                let level = |level: &Level| distribution::Level {
                    stride: level.stride as f32,
                    boxes: (level.maps[1 - which].0, 0),
                    scores: (level.maps[which].0, 0),
                };
                let levels = levels.iter().map(level).collect();
                Some(Head::Distribution(Distribution { bins, classes, levels }))
            })
            .collect(),
        [3] => points(levels, layout).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// YOLOv5's head, its anchors taken from the first box that each gives.
fn anchors(levels: &[Level], layout: Layout, output: &[f32], raw: &[RawMap<'_>]) -> Option<Head> {
    let Layout::RowsWithObjectness { classes, .. } = layout else { return None };
    let values = 5 + classes;
    let mut first_row = 0;
    let mut found = Vec::new();
    for level in levels {
        let (map, channels) = level.maps[0];
        if channels % values != 0 {
            return None;
        }
        let mut of_level = Vec::new();
        for anchor in 0..channels / values {
            let row = output.get(first_row * values..(first_row + 1) * values)?;
            let side = |side: usize| row[side] / (2.0 * sigmoid(raw[map].at(anchor * values + side, 0))).powi(2);
            of_level.push([side(2), side(3)]);
            first_row += raw[map].pixels();
        }
        found.push(anchors::Level { stride: level.stride as f32, anchors: of_level });
    }
    Some(Head::Anchors(Anchors { classes, levels: found }))
}

/// YOLOX's head.
fn points(levels: &[Level], layout: Layout) -> Option<Head> {
    let Layout::RowsWithObjectness { classes, .. } = layout else { return None };
    let level = |level: &Level| {
        // A model of one class, or of four, has two maps alike: in the order of the graph then.
        let mut left = level.maps.clone();
        let mut take = |channels: usize| {
            let index = left.iter().position(|&(_, other)| other == channels)?;
            Some(left.remove(index).0)
        };
        let (boxes, objectness, scores) = (take(4)?, take(1)?, take(classes)?);
        Some(points::Level { stride: level.stride as f32, boxes, objectness, scores })
    };
    Some(Head::Points(Points { classes, levels: levels.iter().map(level).collect::<Option<_>>()? }))
}

/// Whether these are the same, except for a few whose scores are too close to tell them apart.
fn agree(found: &[Candidate], expected: &[Candidate]) -> bool {
    let is_same = |(found, expected): (&Candidate, &Candidate)| {
        let (a, b) = (&found.bounding_box, &expected.bounding_box);
        let edges = [(a.left, b.left), (a.top, b.top), (a.right, b.right), (a.bottom, b.bottom)];
        found.class_id == expected.class_id
            && (found.confidence - expected.confidence).abs() < 1e-4
            && edges.iter().all(|(a, b)| (a - b).abs() <= 0.02 + 1e-4 * b.abs())
    };
    let same = found.iter().zip(expected).filter(|&pair| is_same(pair)).count();
    found.len() == expected.len() && !found.is_empty() && same * 100 >= found.len() * 98
}

/// The same values in every run.
struct Random(u32);

impl Random {
    /// In `0..1`.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 24) as f32
    }
}
