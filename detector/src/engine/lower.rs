//! tract's typed graph to a [`Recipe`].

mod attention;

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, Sigmoid, Silu};
use tract_onnx::tract_core::ops::source::TypedSource;

use super::kernels::finish::Activation;
use super::kernels::window::Window;
use super::ops::{Add, Convolve, ConvolveDepthwise, InputLayout, Narrow, PlaneId, Pool, Shared, Upsample, Widen};
use super::recipe::{Piece, Recipe, Step};
use super::view::{View, push};
use super::{Isa, Precision};

/// What an outlet of tract's graph is among the steps.
#[derive(Clone, Debug)]
enum Value {
    /// The network's input: the step that it is read from, channels, height and width.
    Image { step: usize, channels: usize, size: [usize; 2] },
    /// Runs of channels of blocked maps.
    Map { pieces: Vec<Piece>, size: [usize; 2] },
    /// A map seen through other axes.
    Viewed(View),
    /// Nothing of its own; what reads it may know what to do.
    Pending,
}

/// The steps found so far.
struct Lowering<'a> {
    isa: Isa,
    model: &'a TypedModel,
    /// What is read from outside, and so can't be folded into what follows.
    outputs: &'a [OutletId],
    values: HashMap<OutletId, Value>,
    steps: Vec<Step>,
    /// For each step, its channels and the outlet of tract's graph that it computes.
    results: Vec<(usize, OutletId)>,
}

/// The part of `model` that computes `outputs`, as our operators. An error says what kept it from being lowered: the
/// model then has to run on tract's operators.
pub(crate) fn lower(model: &TypedModel, outputs: &[OutletId], isa: Isa) -> TractResult<Recipe> {
    let source = *model.input_outlets()?.first().context("no input")?;
    let order = tract_onnx::tract_core::model::order::eval_order_for_nodes(
        &model.nodes,
        &[source.node],
        &outputs.iter().map(|outlet| outlet.node).collect::<Vec<_>>(),
        &[],
    )?;
    let mut lowering = Lowering {
        isa,
        model,
        outputs,
        values: HashMap::new(),
        steps: Vec::new(),
        results: vec![(concrete(model.outlet_fact(source)?)?.get(1).copied().unwrap_or_default(), source)],
    };
    for node in order {
        let node = model.node(node);
        // Constants are read where they are used.
        if node.outputs.iter().all(|outlet| outlet.fact.konst.is_some()) || lowering.constant(node.id.into()).is_some()
        {
            continue;
        }
        let value = lowering.value_of(node).with_context(|| format!("lowering {node}"))?;
        lowering.values.insert(node.id.into(), value);
    }
    let outputs = outputs
        .iter()
        .map(|&output| lowering.map(output).map(|(pieces, _)| pieces))
        .collect::<TractResult<Vec<_>>>()?;
    let mut recipe = Recipe { steps: lowering.steps, outputs };
    if isa.precision() != Precision::F32 {
        widen_outputs(&mut recipe, isa);
    }
    Ok(recipe)
}

/// Have what leaves the network as `f32`: a convolution writes its sums as they are, anything else is converted.
fn widen_outputs(recipe: &mut Recipe, isa: Isa) {
    for step in recipe.output_steps() {
        let is_read = recipe.steps.iter().any(|other| other.inputs.contains(&step));
        let Step { name, op, .. } = &mut recipe.steps[step - 1];
        if let Some(convolve) = op.downcast_mut::<Convolve>().filter(|_| !is_read) {
            convolve.wide = true;
            continue;
        }
        let name = format!("{name}, wide");
        recipe.steps.push(Step { name, op: Widen { isa }.into(), inputs: vec![step] });
        let widened = recipe.steps.len();
        for piece in recipe.outputs.iter_mut().flatten().filter(|piece| piece.step == step) {
            piece.step = widened;
        }
    }
}

impl Lowering<'_> {
    fn value_of(&mut self, node: &TypedNode) -> TractResult<Value> {
        let op = &node.op;
        if op.is::<TypedSource>() {
            let shape = concrete(&node.outputs[0].fact)?;
            ensure!(shape.len() == 4, "an input of {shape:?}");
            let step = if self.isa.precision() == Precision::F32 {
                0
            } else {
                self.push(node, Narrow { isa: self.isa }, vec![0], shape[1]);
                if let Some(step) = self.steps.last_mut() {
                    step.name = format!("{}, narrow", node.name);
                }
                self.steps.len()
            };
            Ok(Value::Image { step, channels: shape[1], size: [shape[2], shape[3]] })
        } else if let Some(conv) = op.downcast_ref::<Conv>() {
            self.convolution(node, conv)
        } else if let Some(pool) = op.downcast_ref::<MaxPool>() {
            self.max_pool(node, pool)
        } else if let Some(concat) = op.downcast_ref::<TypedConcat>() {
            self.concatenation(node, concat)
        } else if let Some(slice) = op.downcast_ref::<Slice>() {
            let view = self.view(node.inputs[0])?;
            let (start, end) = (slice.start.to_usize()?, slice.end.to_usize()?);
            Ok(viewed(view.sliced(slice.axis, start, end).context("a slice through several factors")?))
        } else if let Some(change) = op.downcast_ref::<AxisOp>() {
            if matches!(self.values.get(&node.inputs[0]), Some(Value::Pending)) {
                return Ok(Value::Pending);
            }
            Ok(viewed(self.view(node.inputs[0])?.changed(change).context("axes that can't be followed")?))
        } else if op.name() == "Resize" {
            self.upsample(node)
        } else if is_binary::<math::Add>(node) {
            self.sum(node)
        } else if is_binary::<math::Mul>(node)
            && let Some(value) = self.silu(node)
        {
            Ok(value)
        } else if op.downcast_ref::<ElementWiseOp>().is_some_and(|op| op.0.is::<Silu>()) {
            self.activated(node.inputs[0], 1).context("a SiLU that follows no convolution")
        } else if let Some(value) = self.attention(node)? {
            Ok(value)
        } else {
            Ok(Value::Pending)
        }
    }

    /// The constant at an outlet, as `f32`.
    fn constant(&self, outlet: OutletId) -> Option<Arc<Tensor>> {
        let fact = self.model.outlet_fact(outlet).ok()?;
        if let Some(tensor) = &fact.konst {
            return (tensor.datum_type() == f32::datum_type()).then(|| Arc::clone(tensor));
        }
        let node = self.model.node(outlet.node);
        if matches!(node.op.downcast_ref::<AxisOp>(), Some(AxisOp::Add(_) | AxisOp::Rm(_))) {
            // More or fewer axes of length 1: the same values.
            return self.constant(node.inputs[0]);
        }
        let cast = node.op.downcast_ref::<Cast>()?;
        (cast.to == f32::datum_type()).then(|| self.constant(node.inputs[0]))?
    }

    /// An outlet as runs of channels, and its height and width.
    fn map(&self, outlet: OutletId) -> TractResult<(Vec<Piece>, [usize; 2])> {
        match self.values.get(&outlet) {
            Some(Value::Map { pieces, size }) => Ok((pieces.clone(), *size)),
            other => bail!("{} is no map but {other:?}", self.model.node(outlet.node)),
        }
    }

    fn view(&self, outlet: OutletId) -> TractResult<View> {
        match self.values.get(&outlet) {
            Some(Value::Viewed(view)) => Ok(view.clone()),
            _ => self.map(outlet).map(|(pieces, size)| View::of_map(&pieces, size)),
        }
    }

    /// Planes that hold whole blocks of these channels and nothing else; `inputs` collects the steps they are in.
    fn planes(&self, pieces: &[Piece], inputs: &mut Vec<usize>) -> TractResult<Vec<PlaneId>> {
        let lanes = self.isa.lanes();
        let mut planes = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            // Only the last block of all may be partly filled, and then only if it is so where it comes from.
            let is_last = index + 1 == pieces.len() && piece.first + piece.count == self.results[piece.step].0;
            ensure!(
                piece.first % lanes == 0 && (piece.count % lanes == 0 || is_last),
                "channels {piece:?} are no whole blocks"
            );
            planes.extend(blocks(piece, lanes).map(|block| PlaneId { input: input(inputs, piece.step), block }));
        }
        Ok(planes)
    }

    /// Add a step; its result as a value.
    fn push(
        &mut self,
        node: &TypedNode,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: Vec<usize>,
        channels: usize,
    ) -> Value {
        self.steps.push(Step { name: node.name.clone(), op: op.into(), inputs });
        self.results.push((channels, node.id.into()));
        let shape = &node.outputs[0].fact.shape;
        let side = |axis: usize| shape.get(axis).and_then(|side| side.to_usize().ok()).unwrap_or(0);
        let pieces = vec![Piece { step: self.steps.len(), first: 0, count: channels }];
        Value::Map { pieces, size: [side(2), side(3)] }
    }

    fn convolution(&mut self, node: &TypedNode, conv: &Conv) -> TractResult<Value> {
        ensure!(conv.q_params.is_none() && conv.kernel_fmt == KernelFormat::OIHW, "not a plain convolution");
        let lanes = self.isa.lanes();
        let weights = self.constant(node.inputs[1]).context("weights that are not constant")?;
        let bias = self.constant(node.inputs[2]).context("a bias that is not constant")?;
        let (weights, bias) = (weights.try_as_plain_ram()?, bias.try_as_plain_ram()?);
        let (weights, bias) = (weights.as_slice::<f32>()?, bias.as_slice::<f32>()?);
        let (inputs, outputs) = (conv.input_channels(), conv.output_channels());
        let mut padded_bias = vec![0.0; outputs.next_multiple_of(lanes)];
        for (output, value) in padded_bias.iter_mut().take(outputs).enumerate() {
            *value = if bias.len() == 1 { bias[0] } else { bias[output] };
        }
        let mut steps = Vec::new();
        if conv.group > 1 {
            let (pieces, size) = self.map(node.inputs[0])?;
            ensure!(conv.group == inputs && conv.group == outputs, "{} groups", conv.group);
            let op = ConvolveDepthwise {
                isa: self.isa,
                window: window(&conv.pool_spec, size)?,
                planes: self.planes(&pieces, &mut steps)?,
                weights: ConvolveDepthwise::pack(lanes, weights, outputs).into(),
                bias: padded_bias.into(),
                activation: Activation::None,
                residual: Vec::new(),
            };
            ensure!(op.window.is_supported(), "a window too wide");
            return Ok(self.push(node, op, steps, outputs));
        }
        let (layout, planes, lanes_of, size) = match self.values.get(&node.inputs[0]) {
            Some(&Value::Image { step, channels, size }) => {
                steps.push(step);
                let planes = (0..channels).map(|block| PlaneId { input: 0, block }).collect();
                (InputLayout::Planar, planes, (0..channels).map(|channel| vec![Some(channel)]).collect(), size)
            }
            _ => {
                // Runs that are no whole blocks are read with weights of 0 for the lanes beside them.
                let (pieces, size) = self.map(node.inputs[0])?;
                let (mut planes, mut lanes_of) = (Vec::new(), Vec::new());
                let mut before = 0;
                for piece in &pieces {
                    for block in blocks(piece, lanes) {
                        planes.push(PlaneId { input: input(&mut steps, piece.step), block });
                        let channel = |lane: usize| {
                            let channel = (block * lanes + lane).checked_sub(piece.first)?;
                            (channel < piece.count).then_some(before + channel)
                        };
                        lanes_of.push((0..lanes).map(channel).collect::<Vec<_>>());
                    }
                    before += piece.count;
                }
                (InputLayout::Blocked, planes, lanes_of, size)
            }
        };
        let window = window(&conv.pool_spec, size)?;
        ensure!(window.is_supported(), "a window too wide");
        let shape = [outputs, inputs];
        let weights: Shared = match self.isa.precision() {
            Precision::F32 => Convolve::pack::<f32>(lanes, &window, weights, shape, &lanes_of).into(),
            Precision::Bf16 => Convolve::pack::<u16>(lanes, &window, weights, shape, &lanes_of).into(),
        };
        let op = Convolve {
            isa: self.isa,
            window,
            layout,
            planes,
            weights,
            bias: padded_bias.into(),
            activation: Activation::None,
            residual: Vec::new(),
            wide: false,
        };
        Ok(self.push(node, op, steps, outputs))
    }

    fn max_pool(&mut self, node: &TypedNode, pool: &MaxPool) -> TractResult<Value> {
        ensure!(pool.with_index_outputs.is_none(), "indices are asked for");
        let (pieces, size) = self.map(node.inputs[0])?;
        let mut inputs = Vec::new();
        let op =
            Pool { isa: self.isa, window: window(&pool.pool_spec, size)?, planes: self.planes(&pieces, &mut inputs)? };
        Ok(self.push(node, op, inputs, channels(&pieces)))
    }

    fn concatenation(&mut self, node: &TypedNode, concat: &TypedConcat) -> TractResult<Value> {
        // Of the axes of a map only channels can be put behind each other without work.
        if concat.axis != 1 {
            return Ok(Value::Pending);
        }
        let mut all = Vec::new();
        let mut common = None;
        for &input in &node.inputs {
            let (pieces, size) = self.map(input)?;
            ensure!(*common.get_or_insert(size) == size, "maps of different sizes");
            for piece in pieces {
                push(&mut all, piece);
            }
        }
        Ok(Value::Map { pieces: all, size: common.context("nothing to concatenate")? })
    }

    /// Nearest-neighbour enlargement by whole factors. Exporters and opsets write it in many ways, so it is told by what
    /// it does to a map of all different values.
    fn upsample(&mut self, node: &TypedNode) -> TractResult<Value> {
        let (pieces, [height, width]) = self.map(node.inputs[0])?;
        let from = concrete(self.model.outlet_fact(node.inputs[0])?)?;
        let to = concrete(&node.outputs[0].fact)?;
        ensure!(from[..2] == to[..2] && to[2] % height == 0 && to[3] % width == 0, "{from:?} to {to:?}");
        let factors = [to[2] / height, to[3] / width];
        let probe: Vec<f32> = (0..from.iter().product::<usize>()).map(|i| i as f32).collect();
        let mut inputs = tvec!(Tensor::from_shape(&from, &probe)?.into_tvalue());
        for &input in &node.inputs[1..] {
            let constant = self.model.outlet_fact(input)?.konst.clone().context("a size that is not constant")?;
            inputs.push(constant.into_tvalue());
        }
        let result = node.op.eval_out_of_plan(inputs)?.context("a resize that can't be tried")?;
        let result = result[0].try_as_plain_ram()?;
        let is_nearest = result.as_slice::<f32>()?.iter().enumerate().all(|(i, &value)| {
            let (row, x) = (i / to[3], i % to[3]);
            let (plane, y) = (row / to[2], row % to[2]);
            value == ((plane * height + y / factors[0]) * width + x / factors[1]) as f32
        });
        ensure!(is_nearest, "a resize that is not nearest-neighbour");
        let mut inputs = Vec::new();
        let op = Upsample { isa: self.isa, planes: self.planes(&pieces, &mut inputs)?, factors };
        Ok(self.push(node, op, inputs, channels(&pieces)))
    }

    /// `x * sigmoid(x)`, folded into the convolution that made `x`.
    fn silu(&mut self, node: &TypedNode) -> Option<Value> {
        let is_sigmoid_of = |outlet: OutletId, of: OutletId| {
            let node = self.model.node(outlet.node);
            node.inputs.first() == Some(&of)
                && node.op.downcast_ref::<ElementWiseOp>().is_some_and(|op| op.0.is::<Sigmoid>())
        };
        let [a, b] = node.inputs[..] else { return None };
        if is_sigmoid_of(b, a) {
            self.activated(a, 2)
        } else if is_sigmoid_of(a, b) {
            self.activated(b, 2)
        } else {
            None
        }
    }

    /// SiLU folded into the convolution that made `outlet`, if no more than `readers` read it without.
    fn activated(&mut self, outlet: OutletId, readers: usize) -> Option<Value> {
        let (step, value) = self.only_step(outlet, readers)?;
        let op = &mut self.steps[step - 1].op;
        let (activation, residual) = if let Some(op) = op.downcast_mut::<Convolve>() {
            (&mut op.activation, &op.residual)
        } else {
            let op = op.downcast_mut::<ConvolveDepthwise>()?;
            (&mut op.activation, &op.residual)
        };
        if *activation != Activation::None || !residual.is_empty() {
            return None;
        }
        *activation = Activation::Silu;
        Some(value)
    }

    /// The step that made all of `outlet`, if that has `readers` readers and is no output.
    fn only_step(&self, outlet: OutletId, readers: usize) -> Option<(usize, Value)> {
        let value = self.values.get(&outlet)?;
        let Value::Map { pieces, .. } = value else { return None };
        let &[piece] = &pieces[..] else { return None };
        let is_whole = piece.first == 0 && piece.count == self.results[piece.step].0;
        let read = self.model.outlet_successors(outlet).len();
        (is_whole && piece.step > 0 && read == readers && !self.outputs.contains(&outlet))
            .then(|| (piece.step, value.clone()))
    }

    fn sum(&mut self, node: &TypedNode) -> TractResult<Value> {
        let [a, b] = node.inputs[..] else { bail!("a sum of {}", node.inputs.len()) };
        let ((pieces, size), (others, other_size)) = (self.map(a)?, self.map(b)?);
        ensure!(size == other_size && channels(&pieces) == channels(&others), "a sum of different shapes");
        for (outlet, other) in [(b, &pieces), (a, &others)] {
            if let Some(value) = self.with_residual(outlet, other) {
                return Ok(value);
            }
        }
        let mut inputs = Vec::new();
        let planes = self.planes(&pieces, &mut inputs)?;
        let others = self.planes(&others, &mut inputs)?;
        let channels = channels(&pieces);
        Ok(self.push(node, Add { isa: self.isa, planes, others }, inputs, channels))
    }

    /// A sum folded into the convolution that made `outlet`.
    fn with_residual(&mut self, outlet: OutletId, other: &[Piece]) -> Option<Value> {
        let (step, value) = self.only_step(outlet, 1)?;
        // A step reads what was made before it.
        if other.iter().any(|piece| piece.step >= step) {
            return None;
        }
        let mut inputs = self.steps[step - 1].inputs.clone();
        let planes = self.planes(other, &mut inputs).ok()?;
        let Step { op, inputs: step_inputs, .. } = &mut self.steps[step - 1];
        let residual = if let Some(op) = op.downcast_mut::<Convolve>() {
            &mut op.residual
        } else {
            &mut op.downcast_mut::<ConvolveDepthwise>()?.residual
        };
        if !residual.is_empty() {
            return None;
        }
        *residual = planes;
        *step_inputs = inputs;
        Some(value)
    }
}

/// A view, or the map that it comes down to.
fn viewed(view: View) -> Value {
    match view.as_map() {
        Some(pieces) => Value::Map { pieces, size: view.size },
        None => Value::Viewed(view),
    }
}

/// The blocks that a run of channels touches.
fn blocks(piece: &Piece, lanes: usize) -> std::ops::Range<usize> {
    piece.first / lanes..(piece.first + piece.count).div_ceil(lanes)
}

/// The index of `step` among `inputs`, added if it is new.
fn input(inputs: &mut Vec<usize>, step: usize) -> usize {
    inputs.iter().position(|&input| input == step).unwrap_or_else(|| {
        inputs.push(step);
        inputs.len() - 1
    })
}

fn channels(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.count).sum()
}

fn concrete(fact: &TypedFact) -> TractResult<Vec<usize>> {
    Ok(fact.shape.as_concrete().context("a shape that is not known")?.to_vec())
}

fn is_binary<Op: BinMiniOp>(node: &TypedNode) -> bool {
    node.op.downcast_ref::<TypedBinOp>().is_some_and(|op| op.0.is::<Op>())
}

fn window(spec: &PoolSpec, size: [usize; 2]) -> TractResult<Window> {
    ensure!(spec.data_format == DataFormat::NCHW && spec.kernel_shape.len() == 2, "not an image");
    let padding = spec.computed_padding(&size);
    let (strides, dilations) = (spec.strides(), spec.dilations());
    let window = Window {
        kernel: [spec.kernel_shape[0], spec.kernel_shape[1]],
        stride: [strides[0], strides[1]],
        dilation: [dilations[0], dilations[1]],
        before: [padding[0].pad_before, padding[1].pad_before],
        after: [padding[0].pad_after, padding[1].pad_after],
    };
    ensure!(window.output(size) == [padding[0].convoluted, padding[1].convoluted], "a window of ceiled size");
    Ok(window)
}
