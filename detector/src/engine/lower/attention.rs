//! Softmax attention, in every spelling that exporters use.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Div, Exp, Mul, Sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

use super::{Lowering, Value, is_binary};
use crate::engine::ops::{Attention, HeadPlanes, PlaneId};
use crate::engine::view::{Factor, View, channel_of, push};

/// An axis that queries, keys and values have in common: the heads, or the areas of the image.
struct Batch {
    /// Its letter in the product of weights and values.
    letter: char,
    queries: Factor,
    keys: Factor,
    values: Factor,
}

impl Lowering<'_> {
    /// `softmax(scale * queries * keys) * values`, if that is what ends in `node`.
    pub(super) fn attention(&mut self, node: &TypedNode) -> TractResult<Option<Value>> {
        let Some((inputs, output)) = letters(node) else { return Ok(None) };
        let is_viewed = |outlet| matches!(self.values.get(&outlet), Some(Value::Viewed(_) | Value::Map { .. }));
        let Some(side) = (0..2).find(|&side| is_viewed(node.inputs[side])) else { return Ok(None) };
        let (values, mut weights) = (self.view(node.inputs[side])?, node.inputs[1 - side]);
        if is_viewed(weights) {
            // Queries times keys: seen when its softmax is multiplied with the values.
            return Ok(None);
        }
        let values_letters = &inputs[side];
        // The axes of the weights, by the letters of this product, as they are before any move.
        let mut weights_letters = inputs[1 - side].clone();
        while let Some(&AxisOp::Move(from, to)) = self.model.node(weights.node).op.downcast_ref::<AxisOp>() {
            let letter = weights_letters.remove(to);
            weights_letters.insert(from, letter);
            weights = self.model.node(weights.node).inputs[0];
        }
        let Some((scores, axis)) = self.softmax(weights) else { return Ok(None) };
        let (product, mut scale) = self.scaled(scores)?;
        let product = self.model.node(product.node);
        let (sides, product_output) = letters(product).context("a softmax of no product")?;
        ensure!(product_output.len() == weights_letters.len(), "a softmax of another rank");
        let key_token = product_output[axis];
        ensure!(weights_letters[axis] != '-' && values_letters.contains(&weights_letters[axis]), "not over the keys");
        ensure!(!output.contains(&weights_letters[axis]), "the keys are not summed over");
        let keys_side = usize::from(!sides[0].contains(&key_token));
        // Some scale the queries, or both, before the product.
        let mut view = |outlet| {
            let (view, factor) = self.scaled_view(outlet)?;
            scale *= factor;
            TractResult::Ok(view)
        };
        let (queries, keys) = (view(product.inputs[1 - keys_side])?, view(product.inputs[keys_side])?);
        let (queries_letters, keys_letters) = (&sides[1 - keys_side], &sides[keys_side]);
        ensure!(!queries_letters.contains(&key_token), "the keys' tokens are in the queries");

        let factor = |view: &View, letters: &[char], letter: char| {
            let axis = letters.iter().position(|&other| other == letter).context("a missing axis")?;
            view.single(axis).context("an axis of several factors")
        };
        let (mut batches, mut query_token) = (Vec::new(), None);
        for (&letter, &later) in product_output.iter().zip(&weights_letters) {
            if letter == key_token {
                continue;
            }
            if keys_letters.contains(&letter) {
                batches.push(Batch {
                    letter: later,
                    queries: factor(&queries, queries_letters, letter)?,
                    keys: factor(&keys, keys_letters, letter)?,
                    values: factor(&values, values_letters, later)?,
                });
            } else {
                query_token = Some((letter, later));
            }
        }
        let (query_token, query_token_later) = query_token.context("no queries' tokens")?;
        let depth = *keys_letters
            .iter()
            .find(|&&letter| letter != key_token && !product_output.contains(&letter))
            .context("no depth")?;
        let value_depth = *values_letters
            .iter()
            .find(|letter| !weights_letters.contains(letter))
            .context("no depth of the values")?;
        let pixels = values.pixels();
        ensure!(queries.pixels() == pixels && keys.pixels() == pixels, "maps of different sizes");

        // Tokens are neighbouring pixels, components neighbouring channels.
        let tokens = factor(&queries, queries_letters, query_token)?;
        ensure!(tokens.stride == 1 || tokens.length == 1, "the queries' tokens are no neighbours");
        ensure!(factor(&keys, keys_letters, key_token)? == tokens, "keys of other pixels");
        ensure!(factor(&values, values_letters, weights_letters[axis])? == tokens, "values of other pixels");
        let components = factor(&queries, queries_letters, depth)?;
        ensure!(factor(&keys, keys_letters, depth)? == components, "keys of another depth");
        let value_components = factor(&values, values_letters, value_depth)?;
        ensure!(components.stride == pixels && value_components.stride == pixels, "components are no channels");
        for view in [&queries, &keys, &values] {
            ensure!(view.offset % pixels == 0, "tokens that start within the image");
        }

        let mut areas = None;
        let mut heads = None;
        for batch in batches.iter().filter(|batch| batch.queries.length > 1) {
            if batch.queries.stride % pixels == 0 {
                ensure!(heads.replace(batch).is_none(), "two axes of heads");
            } else {
                let is_next_area = batch.queries.stride == tokens.length
                    && batch.keys == batch.queries
                    && batch.values == batch.queries;
                ensure!(is_next_area && areas.replace(batch).is_none(), "areas that do not follow each other");
            }
        }
        let area_count = areas.map_or(1, |batch| batch.queries.length);
        ensure!(area_count * tokens.length == pixels, "some pixels take no part");
        let head_count = heads.map_or(1, |batch| batch.queries.length);
        let mut steps = Vec::new();
        let mut planes = |view: &View, stride: Option<usize>, head: usize, depth: usize| -> TractResult<Vec<PlaneId>> {
            let first = (view.offset + head * stride.unwrap_or(0)) / pixels;
            let mut pieces = Vec::new();
            for channel in first..first + depth {
                push(&mut pieces, channel_of(&view.pieces, channel).context("a channel outside the map")?);
            }
            ensure!(depth.is_multiple_of(self.isa.lanes()), "a depth of {depth}");
            self.whole_planes(&pieces, &mut steps)
        };
        let heads_planes = (0..head_count)
            .map(|head| {
                Ok(HeadPlanes {
                    queries: planes(&queries, heads.map(|batch| batch.queries.stride), head, components.length)?,
                    keys: planes(&keys, heads.map(|batch| batch.keys.stride), head, components.length)?,
                    values: planes(&values, heads.map(|batch| batch.values.stride), head, value_components.length)?,
                })
            })
            .collect::<TractResult<Vec<_>>>()?;
        let op = Attention { isa: self.isa, areas: area_count, scale, heads: heads_planes };
        let channels = head_count * value_components.length;
        let Value::Map { pieces, .. } = self.push(node, op, steps, channels) else { bail!("a step is a map") };

        // Its result as tract's graph sees it.
        let mut view = View { pieces, size: values.size, offset: 0, axes: Vec::new() };
        for letter in output {
            let factor = if letter == query_token_later {
                tokens
            } else if letter == value_depth {
                value_components
            } else {
                let batch = batches.iter().find(|batch| batch.letter == letter).context("an axis from nowhere")?;
                let is_heads = heads.is_some_and(|heads| heads.letter == letter);
                Factor {
                    length: batch.queries.length,
                    stride: if is_heads { value_components.length * pixels } else { batch.queries.stride },
                }
            };
            view.axes.push(vec![factor]);
        }
        Ok(Some(super::viewed(view)))
    }

    /// `outlet` as a number times a map, seen through any axes.
    fn scaled_view(&self, outlet: OutletId) -> TractResult<(View, f32)> {
        if let Ok(view) = self.view(outlet) {
            return Ok((view, 1.0));
        }
        let node = self.model.node(outlet.node);
        if let Some(change) = node.op.downcast_ref::<AxisOp>() {
            let (view, factor) = self.scaled_view(node.inputs[0])?;
            return Ok((view.changed(change).context("axes that can't be followed")?, factor));
        }
        let (inner, factor) = self.scaled(outlet)?;
        ensure!(inner != outlet, "an input that is no map");
        let (view, other) = self.scaled_view(inner)?;
        Ok((view, factor * other))
    }

    /// What `outlet` is the softmax of, and over which axis.
    fn softmax(&self, outlet: OutletId) -> Option<(OutletId, usize)> {
        let node = self.model.node(outlet.node);
        if let Some(softmax) = node.op.downcast_ref::<Softmax>() {
            return match softmax.axes[..] {
                [axis] if softmax.kind == SoftmaxKind::Softmax => Some((node.inputs[0], axis)),
                _ => None,
            };
        }
        // Exp(x - max(x)) / sum of it.
        if !is_binary::<Div>(node) {
            return None;
        }
        let (exp, sum) = (self.model.node(node.inputs[0].node), self.model.node(node.inputs[1].node));
        let reduced = |node: &TypedNode, reducer: Reducer| {
            let reduce = node.op.downcast_ref::<Reduce>().filter(|reduce| reduce.reducer == reducer)?;
            match reduce.axes[..] {
                [axis] => Some((node.inputs[0], axis)),
                _ => None,
            }
        };
        let (summed, axis) = reduced(sum, Reducer::Sum)?;
        if summed != node.inputs[0] || !exp.op.downcast_ref::<ElementWiseOp>()?.0.is::<Exp>() {
            return None;
        }
        let difference = self.model.node(exp.inputs[0].node);
        if !is_binary::<Sub>(difference) {
            return None;
        }
        let greatest = reduced(self.model.node(difference.inputs[1].node), Reducer::Max)?;
        (greatest == (difference.inputs[0], axis)).then_some(greatest)
    }

    /// `outlet` as a number times another outlet.
    fn scaled(&self, outlet: OutletId) -> TractResult<(OutletId, f32)> {
        let node = self.model.node(outlet.node);
        if !is_binary::<Mul>(node) && !is_binary::<Div>(node) {
            return Ok((outlet, 1.0));
        }
        let sides = if is_binary::<Mul>(node) { 0..2 } else { 1..2 };
        for side in sides {
            if let Some(factor) = self.constant(node.inputs[side]).filter(|factor| factor.len() == 1) {
                let factor = factor.try_as_plain_ram()?.as_slice::<f32>()?[0];
                let scale = if is_binary::<Mul>(node) { factor } else { 1.0 / factor };
                ensure!(scale.is_finite() && scale > 0.0, "a scale of {scale}");
                return Ok((node.inputs[1 - side], scale));
            }
        }
        bail!("a scale that is not constant")
    }
}

/// The axes of a product's two inputs and of its output, by letter.
fn letters(node: &TypedNode) -> Option<([Vec<char>; 2], Vec<char>)> {
    let axes = &node.op.downcast_ref::<EinSum>()?.axes;
    let (inputs, outputs) = axes.to_strs();
    let [a, b] = &inputs[..] else { return None };
    Some(([a.chars().collect(), b.chars().collect()], outputs.first()?.chars().collect()))
}
