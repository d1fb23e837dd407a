//! tract's typed graph to a [`Recipe`].

mod attention;
mod folded;
mod transposed;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, StridedSlice, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, HardSwish, LeakyRelu, Sigmoid, Silu};
use tract_onnx::tract_core::ops::source::TypedSource;

use super::kernels::epilogue::Activation;
use super::kernels::window::Window;
use super::kernels::winograd;
use super::ops::{
    Activate, Add, Algorithm, Block, Channel, Convolve, ConvolveDepthwise, Gather, InputLayout, Interleave, PlaneId,
    Pool, PoolKind, Shared, ToBf16, ToF32, Unblock, Upsample,
};
use super::recipe::{Piece, Produced, Recipe, Step};
use super::view::{View, push};
use super::{Isa, Precision};

/// An outlet of tract's graph, in terms of the steps.
#[derive(Clone, Debug)]
enum Value {
    /// The network's input: the step that it is read from, channels, height and width.
    Image { step: usize, channels: usize, size: [usize; 2] },
    /// Runs of channels of blocked maps.
    Map { pieces: Vec<Piece>, size: [usize; 2] },
    /// Runs of channels, with zeros above and left, below and right of them: what reads them may pad.
    Padded { inner: Box<Self>, before: [usize; 2], after: [usize; 2] },
    /// A map seen through other axes.
    Viewed(View),
    /// Pixels of an image or a map at a distance from each other, down and across, from these on.
    Strided { of: OutletId, starts: [usize; 2], steps: [usize; 2] },
    /// The channels of several of these, one behind the other.
    Folded { of: OutletId, starts: Vec<[usize; 2]>, steps: [usize; 2] },
    /// Not a step of its own; what reads it may fold it in. Otherwise it runs on tract's operator.
    Pending,
}

impl Value {
    /// The runs of channels that it consists of.
    fn pieces(&self) -> usize {
        match self {
            Self::Map { pieces, .. } => pieces.len(),
            Self::Viewed(view) => view.pieces.len(),
            Self::Padded { inner, .. } => inner.pieces(),
            Self::Folded { starts, .. } => starts.len(),
            Self::Image { .. } | Self::Strided { .. } | Self::Pending => 0,
        }
    }
}

/// The most nodes in a row that wait for one that reads them.
const MOST_PENDING: usize = 400;

/// A convolution of up to this many groups is computed as one without groups, whose other weights are 0; one of more, as several.
const MOST_GROUPS: usize = 8;

/// The most groups of a convolution that is computed as several: more than that is depthwise, or not found in any network.
const MOST_GROUPS_APART: usize = 1024;

/// The most steps that splitting convolutions may lead to: the time to build a graph grows with their square.
const MOST_STEPS: usize = 10_000;

/// The most values of a constant that is computed while lowering.
const LARGEST_CONSTANT: usize = 1 << 24;

/// The most values of all such constants together.
const MOST_CONSTANTS: usize = 1 << 26;

/// The most packed weights of all convolutions, beside twice as many as their own: 128 MB. A plane that is read for one channel only takes as
/// many as one that is full.
const MOST_PACKED: usize = 1 << 25;

/// The most runs of channels that all values consist of, 12 MB: each concatenation has those of all before it.
const MOST_PIECES: usize = 1 << 19;

/// The most weights of convolutions by Winograd's algorithm, four times as many as those that they are made of: 128 MB.
const MOST_TRANSFORMED: usize = 1 << 25;

/// A map without the zeros around it, and how many those are: above and left of it, below and right of it.
struct Unpadded {
    pieces: Vec<Piece>,
    size: [usize; 2],
    before: [usize; 2],
    after: [usize; 2],
}

/// What a convolution reads.
struct Read {
    layout: InputLayout,
    planes: Vec<PlaneId>,
    /// For each plane and each of its lanes, which channel is there.
    lanes_of: Vec<Vec<Option<usize>>>,
    /// Height and width.
    size: [usize; 2],
    /// The steps that the planes are in.
    steps: Vec<usize>,
}

/// The steps found so far.
struct Lowering<'a> {
    isa: Isa,
    model: &'a TypedModel,
    /// Outlets that are read from outside, and so can't be folded into what follows.
    outputs: &'a [OutletId],
    values: HashMap<OutletId, Value>,
    steps: Vec<Step>,
    /// For each step, its channels.
    results: Vec<usize>,
    /// What tract's operators read and write: the step, and which of its results.
    tensors: HashMap<OutletId, (usize, usize)>,
    /// Constants that were computed; `None` for outlets that are not constant.
    constants: RefCell<HashMap<OutletId, Option<Arc<Tensor>>>>,
    /// Their values.
    computed: Cell<usize>,
    /// Weights of convolutions, as they are and as they are packed; those by Winograd's algorithm apart.
    weights: Cell<usize>,
    packed: Cell<usize>,
    transformed: Cell<usize>,
    /// Runs of channels of all values.
    pieces: usize,
    /// Why a node could not be lowered.
    reasons: HashMap<usize, String>,
    /// The nodes that run on tract's operators, and why.
    foreign: Vec<String>,
}

/// Lowers the part of `model` that computes `outputs`, which are maps, to our operators. What they don't cover runs on tract's in
/// between, on tensors that are unblocked for it.
///
/// # Errors
/// Why it can't be lowered: the whole model then has to run on tract's operators.
pub(crate) fn lower(model: &TypedModel, outputs: &[OutletId], isa: Isa) -> TractResult<Recipe> {
    let mut lowering = Lowering::of(model, outputs, isa)?;
    let outputs = outputs
        .iter()
        .map(|&output| lowering.map(output).map(|(pieces, _)| Produced::Map(pieces)))
        .collect::<TractResult<Vec<_>>>()?;
    Ok(lowering.recipe(outputs))
}

/// [`lower`], of the graph up to its own first output, whatever that is.
///
/// # Errors
/// As [`lower`].
pub(crate) fn lower_whole(model: &TypedModel, isa: Isa) -> TractResult<Recipe> {
    let output = *model.output_outlets()?.first().context("no output")?;
    let outputs = [output];
    let mut lowering = Lowering::of(model, &outputs, isa)?;
    let (step, slot) = lowering.tensor(output, 0)?;
    ensure!(slot == 0 && step > 0, "an output that is made beside another");
    Ok(lowering.recipe(vec![Produced::Tensor(step)]))
}

impl<'a> Lowering<'a> {
    /// Lowers all nodes that `outputs` need.
    fn of(model: &'a TypedModel, outputs: &'a [OutletId], isa: Isa) -> TractResult<Self> {
        let source = *model.input_outlets()?.first().context("no input")?;
        let order = tract_onnx::tract_core::model::order::eval_order_for_nodes(
            &model.nodes,
            &[source.node],
            &outputs.iter().map(|outlet| outlet.node).collect::<Vec<_>>(),
            &[],
        )?;
        let mut lowering = Self {
            isa,
            model,
            outputs,
            values: HashMap::new(),
            steps: Vec::new(),
            results: vec![concrete(model.outlet_fact(source)?)?.get(1).copied().unwrap_or_default()],
            tensors: HashMap::new(),
            constants: RefCell::default(),
            computed: Cell::new(0),
            weights: Cell::new(0),
            packed: Cell::new(0),
            transformed: Cell::new(0),
            pieces: 0,
            reasons: HashMap::new(),
            foreign: Vec::new(),
        };
        for node in order {
            let node = model.node(node);
            // Constants are read where they are used.
            if lowering.constant_tensor(node.id.into()).is_some() {
                continue;
            }
            let value = lowering.value_of(node).and_then(|value| lowering.counted(value)).unwrap_or_else(|error| {
                lowering.reasons.insert(node.id, format!("{error:#}"));
                Value::Pending
            });
            lowering.values.insert(node.id.into(), value);
        }
        Ok(lowering)
    }

    /// A value, if there is room for its runs of channels beside those of all others.
    fn counted(&mut self, value: Value) -> TractResult<Value> {
        let pieces = self.pieces + value.pieces();
        ensure!(pieces <= MOST_PIECES, "more than {MOST_PIECES} runs of channels");
        self.pieces = pieces;
        Ok(value)
    }

    fn recipe(self, outputs: Vec<Produced>) -> Recipe {
        let mut recipe = Recipe { steps: self.steps, outputs, foreign: self.foreign };
        if self.isa.precision() != Precision::F32 {
            widen_outputs(&mut recipe, self.isa);
        }
        recipe
    }
}

/// Makes the outputs `f32`: a convolution writes its sums as they are, anything else is converted.
fn widen_outputs(recipe: &mut Recipe, isa: Isa) {
    let maps = recipe.outputs.iter().filter_map(|output| match output {
        Produced::Map(pieces) => Some(pieces),
        Produced::Tensor(_) => None,
    });
    let mut steps: Vec<usize> = maps.flatten().map(|piece| piece.step).collect();
    steps.sort_unstable();
    steps.dedup();
    for step in steps {
        let is_read = recipe.steps.iter().any(|other| other.inputs.contains(&step));
        let Step { name, op, .. } = &mut recipe.steps[step - 1];
        if let Some(convolve) = op.downcast_mut::<Convolve>().filter(|_| !is_read) {
            convolve.wide = true;
            continue;
        }
        let name = format!("{name}, wide");
        recipe.steps.push(Step { name, op: ToF32 { isa }.into(), inputs: vec![step], slots: vec![] });
        let widened = recipe.steps.len();
        for output in &mut recipe.outputs {
            let Produced::Map(pieces) = output else { continue };
            for piece in pieces.iter_mut().filter(|piece| piece.step == step) {
                piece.step = widened;
            }
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
                self.push(node, ToBf16 { isa: self.isa }, vec![0], shape[1]);
                self.steps.len()
            };
            Ok(Value::Image { step, channels: shape[1], size: [shape[2], shape[3]] })
        } else if let Some(conv) = op.downcast_ref::<Conv>() {
            self.convolution(node, conv)
        } else if let Some(conv) = op.downcast_ref::<Deconv>() {
            self.transposed_convolution(node, conv)
        } else if let Some(pool) = op.downcast_ref::<MaxPool>() {
            self.max_pool(node, pool)
        } else if let Some(pool) = op.downcast_ref::<SumPool>() {
            self.average_pool(node, pool)
        } else if let Some(pad) = op.downcast_ref::<Pad>() {
            self.padded(node, pad)
        } else if let Some(concat) = op.downcast_ref::<TypedConcat>() {
            self.concatenation(node, concat)
        } else if let Some(slice) = op.downcast_ref::<Slice>() {
            let view = self.view(node.inputs[0])?;
            let (start, end) = (slice.start.to_usize()?, slice.end.to_usize()?);
            Ok(viewed(view.sliced(slice.axis, start, end).context("a slice through several factors")?))
        } else if let Some(slice) = op.downcast_ref::<StridedSlice>() {
            self.sliced(node, slice)
        } else if let Some(change) = op.downcast_ref::<AxisOp>() {
            Ok(viewed(self.view(node.inputs[0])?.changed(change).context("axes that can't be followed")?))
        } else if op.is::<Cast>() || op.is::<Identity>() {
            self.unchanged(node)
        } else if op.name() == "Resize" {
            self.upsample(node)
        } else if is_binary::<math::Add>(node) {
            self.sum(node)
        } else if is_binary::<math::Mul>(node)
            && let Some(value) = self.silu(node).or_else(|| self.mish(node))
        {
            Ok(value)
        } else if let Some(activation) = self.activation(node) {
            let (input, activation) = activation;
            self.activate(node, input, 1, activation)
        } else if let Some(value) = self.attention(node)? {
            Ok(value)
        } else {
            Ok(Value::Pending)
        }
    }

    /// The constant at an outlet, if it is of `f32`.
    fn constant(&self, outlet: OutletId) -> Option<Arc<Tensor>> {
        self.constant_tensor(outlet).filter(|tensor| tensor.datum_type() == f32::datum_type())
    }

    /// The constant at an outlet: one of the file's, or what operators make of such.
    fn constant_tensor(&self, outlet: OutletId) -> Option<Arc<Tensor>> {
        let fact = self.model.outlet_fact(outlet).ok()?;
        if let Some(tensor) = &fact.konst {
            return Some(Arc::clone(tensor));
        }
        if let Some(known) = self.constants.borrow().get(&outlet) {
            return known.clone();
        }
        let node = self.model.node(outlet.node);
        let size = fact.shape.as_concrete().map_or(usize::MAX, |shape| shape.iter().product());
        let is_small = size <= LARGEST_CONSTANT && self.computed.get() + size <= MOST_CONSTANTS;
        // Nodes come after what they read, so this goes down by one.
        let inputs = (!node.inputs.is_empty() && is_small).then(|| {
            let input = |&input: &OutletId| self.constant_tensor(input).map(|tensor| tensor.into_tvalue());
            node.inputs.iter().map(input).collect::<Option<TVec<TValue>>>()
        });
        let outputs = inputs.flatten().and_then(|inputs| node.op.eval_out_of_plan(inputs).ok().flatten());
        let found = outputs.and_then(|outputs| Some(outputs.get(outlet.slot)?.clone().into_arc_tensor()));
        if found.is_some() {
            self.computed.set(self.computed.get() + size);
        }
        self.constants.borrow_mut().insert(outlet, found.clone());
        found
    }

    /// The whole numbers of a constant.
    fn numbers(&self, outlet: OutletId) -> TractResult<Vec<i64>> {
        let tensor = self.constant_tensor(outlet).context("a number that is not constant")?;
        let tensor = tensor.cast_to::<i64>()?;
        Ok(tensor.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    }

    /// An outlet as runs of channels, and its height and width.
    fn map(&mut self, outlet: OutletId) -> TractResult<(Vec<Piece>, [usize; 2])> {
        if let Some(Value::Map { pieces, size }) = self.values.get(&outlet) {
            return Ok((pieces.clone(), *size));
        }
        let fact = self.model.outlet_fact(outlet)?;
        let shape = concrete(fact)?;
        let &[_, channels, height, width] = &shape[..] else { bail!("{shape:?} is no map") };
        ensure!(fact.datum_type == f32::datum_type(), "a map of {:?}", fact.datum_type);
        ensure!(shape.iter().product::<usize>() > 0, "a map of nothing");
        let (step, slot) = self.tensor(outlet, 0)?;
        let name = format!("{}, blocked", self.model.node(outlet.node).name);
        self.steps.push(Step { name, op: Block { isa: self.isa }.into(), inputs: vec![step], slots: vec![slot] });
        self.results.push(channels);
        let pieces = vec![Piece { step: self.steps.len(), first: 0, count: channels }];
        let size = [height, width];
        self.values.insert(outlet, Value::Map { pieces: pieces.clone(), size });
        Ok((pieces, size))
    }

    /// An outlet as a tensor that tract's operators read: the step that makes it, and which of its results it is.
    fn tensor(&mut self, outlet: OutletId, pending: usize) -> TractResult<(usize, usize)> {
        if let Some(&found) = self.tensors.get(&outlet) {
            return Ok(found);
        }
        ensure!(pending < MOST_PENDING, "more than {MOST_PENDING} nodes that are not covered");
        let node = self.model.node(outlet.node);
        let name = |what: &str| format!("{}, {what} {}", node.name, outlet.slot);
        if let Some(constant) = self.constant_tensor(outlet) {
            return Ok(self.push_tensor(outlet, name("constant"), Const::new(constant)?.into(), vec![], vec![]));
        }
        match self.values.get(&outlet) {
            // The source itself, which is of `f32`.
            Some(Value::Image { .. }) => {
                self.tensors.insert(outlet, (0, 0));
                Ok((0, 0))
            }
            Some(Value::Map { pieces, .. }) => {
                let mut inputs = Vec::new();
                let channels = self.channels(&pieces.clone(), &mut inputs);
                let op = Unblock { isa: self.isa, channels };
                Ok(self.push_tensor(outlet, name("unblocked"), op.into(), inputs, vec![]))
            }
            _ => {
                let (mut inputs, mut slots) = (Vec::new(), Vec::new());
                for &input in &node.inputs {
                    let (step, slot) = self.tensor(input, pending + 1)?;
                    inputs.push(step);
                    slots.push(slot);
                }
                let reason = self.reasons.get(&node.id).map_or(String::new(), |reason| format!(": {reason}"));
                self.foreign.push(format!("{} ({}){reason}", node.name, node.op.name()));
                let (step, _) = self.push_tensor(outlet, node.name.clone(), node.op.clone(), inputs, slots);
                for slot in 0..node.outputs.len() {
                    self.tensors.insert(OutletId::new(node.id, slot), (step, slot));
                }
                Ok((step, outlet.slot))
            }
        }
    }

    fn push_tensor(
        &mut self,
        outlet: OutletId,
        name: String,
        op: Box<dyn TypedOp>,
        inputs: Vec<usize>,
        slots: Vec<usize>,
    ) -> (usize, usize) {
        self.steps.push(Step { name, op, inputs, slots });
        self.results.push(0);
        self.tensors.insert(outlet, (self.steps.len(), 0));
        (self.steps.len(), 0)
    }

    fn view(&self, outlet: OutletId) -> TractResult<View> {
        match self.values.get(&outlet) {
            Some(Value::Viewed(view)) => Ok(view.clone()),
            Some(Value::Map { pieces, size }) => Ok(View::of_map(pieces, *size)),
            _ => bail!("an input that is no map"),
        }
    }

    /// Where each of these channels is; `inputs` collects the steps they are in.
    fn channels(&self, pieces: &[Piece], inputs: &mut Vec<usize>) -> Vec<Channel> {
        let lanes = self.isa.lanes();
        let mut channels = Vec::new();
        for piece in pieces {
            let input = input(inputs, piece.step);
            channels.extend(
                (piece.first..piece.first + piece.count)
                    .map(|channel| Channel { plane: PlaneId { input, block: channel / lanes }, lane: channel % lanes }),
            );
        }
        channels
    }

    /// Planes that hold whole blocks of these channels and nothing else; `inputs` collects the steps they are in.
    fn whole_planes(&self, pieces: &[Piece], inputs: &mut Vec<usize>) -> TractResult<Vec<PlaneId>> {
        let lanes = self.isa.lanes();
        let mut planes = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            // Only the last block of all may be partly filled, and then only if it is so where it comes from.
            let is_last = index + 1 == pieces.len() && piece.first + piece.count == self.results[piece.step];
            ensure!(
                piece.first % lanes == 0 && (piece.count % lanes == 0 || is_last),
                "channels {piece:?} are no whole blocks"
            );
            planes.extend(blocks(piece, lanes).map(|block| PlaneId { input: input(inputs, piece.step), block }));
        }
        Ok(planes)
    }

    /// [`whole_planes`](Self::whole_planes), of a step that gathers the channels if they are not whole blocks.
    fn planes(&mut self, node: &TypedNode, pieces: &[Piece], inputs: &mut Vec<usize>) -> Vec<PlaneId> {
        if let Ok(planes) = self.whole_planes(pieces, &mut inputs.clone()) {
            for piece in pieces {
                input(inputs, piece.step);
            }
            return planes;
        }
        let mut sources = Vec::new();
        let op = Gather { isa: self.isa, channels: self.channels(pieces, &mut sources) };
        let name = format!("{}, gathered {}", node.name, self.steps.len());
        self.steps.push(Step { name, op: op.into(), inputs: sources, slots: vec![] });
        self.results.push(channels(pieces));
        let input = input(inputs, self.steps.len());
        (0..channels(pieces).div_ceil(self.isa.lanes())).map(|block| PlaneId { input, block }).collect()
    }

    /// Adds a step and returns its result as a value.
    fn push(
        &mut self,
        node: &TypedNode,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: Vec<usize>,
        channels: usize,
    ) -> Value {
        let name = format!("{}, lowered", node.name);
        self.steps.push(Step { name, op: op.into(), inputs, slots: vec![] });
        self.results.push(channels);
        let shape = &node.outputs[0].fact.shape;
        let side = |axis: usize| shape.get(axis).and_then(|side| side.to_usize().ok()).unwrap_or(0);
        let pieces = vec![Piece { step: self.steps.len(), first: 0, count: channels }];
        Value::Map { pieces, size: [side(2), side(3)] }
    }

    fn convolution(&mut self, node: &TypedNode, conv: &Conv) -> TractResult<Value> {
        ensure!(conv.q_params.is_none() && conv.kernel_fmt == KernelFormat::OIHW, "not a plain convolution");
        let (inputs, outputs) = (conv.input_channels(), conv.output_channels());
        ensure_groups(conv.group, [inputs, outputs])?;
        let (weights, bias) = self.weights(node, outputs)?;
        let weights = weights.try_as_plain_ram()?;
        let weights = weights.as_slice::<f32>()?;
        let (before, after) = match self.values.get(&node.inputs[0]) {
            Some(Value::Padded { before, after, .. }) => (*before, *after),
            _ => ([0; 2], [0; 2]),
        };
        if conv.group > 1 && conv.group == inputs && conv.group == outputs {
            let lanes = self.isa.lanes();
            let Unpadded { pieces, size, before, after } = self.unpadded_map(node.inputs[0])?;
            let window = window(&conv.pool_spec, size, before, after)?;
            ensure!(window.is_supported(), "a window too wide");
            let mut steps = Vec::new();
            let op = ConvolveDepthwise {
                isa: self.isa,
                window,
                planes: self.planes(node, &pieces, &mut steps),
                weights: ConvolveDepthwise::pack(lanes, weights, outputs).into(),
                bias: whole_blocks(&bias, lanes).into(),
                activation: Activation::None,
                residual: Vec::new(),
            };
            return Ok(self.push(node, op, steps, outputs));
        }
        if let Some(Value::Folded { of, starts, steps }) = self.values.get(&node.inputs[0]) {
            let (of, starts, steps) = (*of, starts.clone(), *steps);
            return self.convolution_of_folded(node, conv, of, &starts, steps, (weights, &bias));
        }
        if conv.group > MOST_GROUPS {
            return self.groups_apart(node, conv, (weights, &bias));
        }
        let input = self.read(node.inputs[0])?;
        let window = window(&conv.pool_spec, input.size, before, after)?;
        let op = if conv.group > 1 {
            self.dense(&input, window, &ungrouped(weights, conv.group, outputs, inputs), [outputs, inputs], &bias)?
        } else {
            self.dense(&input, window, weights, [outputs, inputs], &bias)?
        };
        Ok(self.push(node, op, input.steps, outputs))
    }

    /// A convolution of many groups: a few at a time, each over the channels that they look at.
    fn groups_apart(&mut self, node: &TypedNode, conv: &Conv, (weights, bias): (&[f32], &[f32])) -> TractResult<Value> {
        ensure!(conv.group <= MOST_GROUPS_APART, "{} groups", conv.group);
        let steps = self.steps.len() + conv.group.div_ceil(MOST_GROUPS);
        ensure!(steps <= MOST_STEPS, "more than {MOST_STEPS} steps");
        let Unpadded { pieces, size, before, after } = self.unpadded_map(node.inputs[0])?;
        let window = window(&conv.pool_spec, size, before, after)?;
        let [inputs, outputs] = [conv.input_channels(), conv.output_channels()].map(|channels| channels / conv.group);
        let group_weights = weights.len() / conv.group;
        let mut found = Vec::new();
        for first in (0..conv.group).step_by(MOST_GROUPS) {
            let groups = first..(first + MOST_GROUPS).min(conv.group);
            let count = groups.len();
            let input = self.read_pieces(&run(&pieces, groups.start * inputs..groups.end * inputs), size);
            let weights = &weights[groups.start * group_weights..groups.end * group_weights];
            let weights = ungrouped(weights, count, count * outputs, count * inputs);
            let bias = &bias[groups.start * outputs..groups.end * outputs];
            let op = self.dense(&input, window, &weights, [count * outputs, count * inputs], bias)?;
            let name = format!("{}, groups from {first} on", node.name);
            self.steps.push(Step { name, op: op.into(), inputs: input.steps, slots: vec![] });
            self.results.push(count * outputs);
            found.push(Piece { step: self.steps.len(), first: 0, count: count * outputs });
        }
        Ok(Value::Map { pieces: found, size: window.output(size) })
    }

    /// The weights of a convolution, and its bias for each output channel.
    fn weights(&self, node: &TypedNode, outputs: usize) -> TractResult<(Arc<Tensor>, Vec<f32>)> {
        let weights = self.constant(node.inputs[1]).context("weights that are not constant")?;
        let bias = self.constant(node.inputs[2]).context("a bias that is not constant")?;
        let bias = bias.try_as_plain_ram()?;
        let bias = bias.as_slice::<f32>()?;
        let bias = if let [bias] = bias { vec![*bias; outputs] } else { bias.to_vec() };
        ensure!(bias.len() == outputs, "a bias of {} values", bias.len());
        self.weights.set(self.weights.get() + weights.len());
        Ok((weights, bias))
    }

    /// What a convolution over all channels of this outlet reads, without the zeros around it.
    fn read(&mut self, outlet: OutletId) -> TractResult<Read> {
        let unpadded = match self.values.get(&outlet) {
            Some(Value::Padded { inner, .. }) => Some(&**inner),
            other => other,
        };
        if let Some(&Value::Image { step, channels, size }) = unpadded {
            let planes = (0..channels).map(|block| PlaneId { input: 0, block }).collect();
            let lanes_of = (0..channels).map(|channel| vec![Some(channel)]).collect();
            return Ok(Read { layout: InputLayout::Planar, planes, lanes_of, size, steps: vec![step] });
        }
        let Unpadded { pieces, size, .. } = self.unpadded_map(outlet)?;
        Ok(self.read_pieces(&pieces, size))
    }

    /// What a convolution over all of these channels reads.
    fn read_pieces(&self, pieces: &[Piece], size: [usize; 2]) -> Read {
        let lanes = self.isa.lanes();
        // Runs that are not whole blocks are read with weights of 0 for the lanes beside them.
        let (mut planes, mut lanes_of, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = 0;
        for piece in pieces {
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
        Read { layout: InputLayout::Blocked, planes, lanes_of, size, steps }
    }

    /// A convolution over all of an input's channels.
    fn dense(
        &self,
        input: &Read,
        window: Window,
        weights: &[f32],
        shape: [usize; 2],
        bias: &[f32],
    ) -> TractResult<Convolve> {
        ensure!(window.is_supported(), "a window too wide");
        let lanes = self.isa.lanes();
        let algorithm = self.algorithm(input, &window, shape);
        if algorithm == Algorithm::Direct {
            let values =
                window.kernel.iter().product::<usize>() * self.lanes_read(input) * shape[0].next_multiple_of(lanes);
            let packed = self.packed.get().saturating_add(values);
            ensure!(packed <= MOST_PACKED + 2 * self.weights.get(), "weights that take too much memory when packed");
            self.packed.set(packed);
        }
        let weights: Shared = match (algorithm, self.isa.precision()) {
            (Algorithm::Winograd, _) => Convolve::pack_winograd(self.isa, weights, shape, &input.lanes_of)?,
            (_, Precision::F32) => Convolve::pack::<f32>(self.isa, &window, weights, shape, &input.lanes_of)?,
            (_, Precision::Bf16) => Convolve::pack::<u16>(self.isa, &window, weights, shape, &input.lanes_of)?,
        };
        Ok(Convolve {
            isa: self.isa,
            window,
            layout: input.layout,
            planes: input.planes.clone(),
            algorithm,
            weights,
            bias: whole_blocks(bias, lanes).into(),
            activation: Activation::None,
            residual: Vec::new(),
            wide: false,
        })
    }

    /// Channels of all planes that a convolution reads, whether it looks at them or not.
    fn lanes_read(&self, input: &Read) -> usize {
        match input.layout {
            InputLayout::Planar => input.planes.len(),
            InputLayout::Blocked => input.planes.len() * self.isa.lanes(),
        }
    }

    /// The faster way to compute a convolution, as long as there is room for its weights.
    fn algorithm(&self, input: &Read, window: &Window, [outputs, _]: [usize; 2]) -> Algorithm {
        // In bf16, too, a quarter of the products in f32 takes less time than all of them with AVX512-BF16. It has not been
        // measured with other instructions for bf16.
        let is_measured =
            self.isa.precision() == Precision::F32 || matches!(self.isa, Isa::Avx512Bf16 | Isa::PortableBf16);
        let is_faster = is_measured && winograd::is_supported(window) && input.layout == InputLayout::Blocked;
        let values = winograd::PLACES * self.lanes_read(input) * outputs.next_multiple_of(self.isa.lanes());
        if !is_faster || self.transformed.get() + values > MOST_TRANSFORMED {
            return Algorithm::Direct;
        }
        self.transformed.set(self.transformed.get() + values);
        Algorithm::Winograd
    }

    /// [`map`](Self::map), without the zeros around it.
    fn unpadded_map(&mut self, outlet: OutletId) -> TractResult<Unpadded> {
        if let Some(Value::Padded { inner, before, after }) = self.values.get(&outlet)
            && let Value::Map { pieces, size } = &**inner
        {
            return Ok(Unpadded { pieces: pieces.clone(), size: *size, before: *before, after: *after });
        }
        // Zeros around an image are put there by tract's operator.
        let (pieces, size) = self.map(outlet)?;
        Ok(Unpadded { pieces, size, before: [0; 2], after: [0; 2] })
    }

    /// Zeros around a map, left to a convolution that reads it.
    fn padded(&mut self, node: &TypedNode, pad: &Pad) -> TractResult<Value> {
        let is_zero = match &pad.mode {
            PadMode::Constant(value) => value.cast_to_scalar::<f32>()? == 0.0,
            _ => false,
        };
        let &[(0, 0), (0, 0), (top, bottom), (left, right)] = &pad.pads[..] else { bail!("not of height and width") };
        let inner =
            self.values.get(&node.inputs[0]).filter(|value| matches!(value, Value::Image { .. } | Value::Map { .. }));
        ensure!(is_zero, "not with zeros");
        let inner = Box::new(inner.context("not of a map")?.clone());
        Ok(Value::Padded { inner, before: [top, left], after: [bottom, right] })
    }

    fn max_pool(&mut self, node: &TypedNode, pool: &MaxPool) -> TractResult<Value> {
        ensure!(pool.with_index_outputs.is_none(), "indices are asked for");
        let (pieces, size) = self.map(node.inputs[0])?;
        let window = pool_window(&pool.pool_spec, size)?;
        let mut inputs = Vec::new();
        let planes = self.planes(node, &pieces, &mut inputs);
        Ok(self.push(node, Pool { isa: self.isa, window, planes, kind: PoolKind::Max }, inputs, channels(&pieces)))
    }

    /// The mean of a window: a depthwise convolution whose weights are all the same, unless what is padded does not count.
    fn average_pool(&mut self, node: &TypedNode, pool: &SumPool) -> TractResult<Value> {
        let (pieces, size) = self.map(node.inputs[0])?;
        let mut inputs = Vec::new();
        let (lanes, channels) = (self.isa.lanes(), channels(&pieces));
        let partial =
            pool_window(&pool.pool_spec, size).ok().filter(|window| window.before != [0; 2] || window.after != [0; 2]);
        if let Some(window) = partial.filter(|_| pool.normalize && !pool.count_include_pad) {
            let planes = self.planes(node, &pieces, &mut inputs);
            return Ok(self.push(node, Pool { isa: self.isa, window, planes, kind: PoolKind::Mean }, inputs, channels));
        }
        let window = window(&pool.pool_spec, size, [0; 2], [0; 2])?;
        ensure!(window.is_supported(), "a window too wide");
        let taps = window.kernel[0].saturating_mul(window.kernel[1]);
        ensure!(taps.saturating_mul(channels) <= LARGEST_CONSTANT, "a window of {taps} taps");
        let weight = if pool.normalize { 1.0 / taps as f32 } else { 1.0 };
        let op = ConvolveDepthwise {
            isa: self.isa,
            window,
            planes: self.planes(node, &pieces, &mut inputs),
            weights: ConvolveDepthwise::pack(lanes, &vec![weight; channels * taps], channels).into(),
            bias: vec![0.0_f32; channels.next_multiple_of(lanes)].into(),
            activation: Activation::None,
            residual: Vec::new(),
        };
        Ok(self.push(node, op, inputs, channels))
    }

    /// A cast to the type that is there already, as files of 16 bits have them, or an operator that does nothing at all.
    fn unchanged(&self, node: &TypedNode) -> TractResult<Value> {
        let input = node.inputs[0];
        let is_same = self.model.outlet_fact(input)?.datum_type == node.outputs[0].fact.datum_type;
        ensure!(is_same, "another type");
        let value = self.values.get(&input).filter(|value| !matches!(value, Value::Pending)).context("of no map")?;
        // What makes a map may be changed for its reader: there must be no other.
        let is_alone = self.model.outlet_successors(input).len() == 1 && !self.outputs.contains(&input);
        ensure!(is_alone || matches!(value, Value::Image { .. }), "of a map that is read elsewhere");
        Ok(value.clone())
    }

    /// A slice whose bounds are inputs of it, all constant.
    fn sliced(&mut self, node: &TypedNode, slice: &StridedSlice) -> TractResult<Value> {
        ensure!(slice.begin_mask == 0 && slice.end_mask == 0 && slice.shrink_axis_mask == 0, "bounds that are masked");
        let shape = concrete(self.model.outlet_fact(node.inputs[0])?)?;
        let (starts, ends) = (self.numbers(node.inputs[1])?, self.numbers(node.inputs[2])?);
        let optional = |input: Option<usize>| input.map(|input| self.numbers(node.inputs[input])).transpose();
        let axes = optional(slice.optional_axes_input)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = optional(slice.optional_steps_input)?.unwrap_or_else(|| vec![1; starts.len()]);
        ensure!(axes.len() == starts.len() && axes.len() == ends.len(), "bounds for other axes");
        ensure!(axes.len() == steps.len(), "steps for other axes");
        let is_strided = matches!(self.values.get(&node.inputs[0]), Some(Value::Strided { .. }));
        if is_strided || steps.iter().any(|&step| step != 1) {
            return self.strided(node, &shape, [&axes, &starts, &ends, &steps]);
        }
        let mut view = self.view(node.inputs[0])?;
        for ((&axis, &start), &end) in axes.iter().zip(&starts).zip(&ends) {
            let from_end = |index: i64, length: usize| if index < 0 { index + length as i64 } else { index };
            let axis = usize::try_from(from_end(axis, shape.len()))?;
            let length = *shape.get(axis).context("an axis that is not there")?;
            let bound = |index: i64| from_end(index, length).clamp(0, length as i64) as usize;
            let (start, end) = (bound(start), bound(end));
            ensure!(start < end, "a slice of nothing");
            if (start, end) != (0, length) {
                view = view.sliced(axis, start, end).context("a slice through several factors")?;
            }
        }
        Ok(viewed(view))
    }

    fn concatenation(&mut self, node: &TypedNode, concat: &TypedConcat) -> TractResult<Value> {
        // Of the axes of a map only channels can be put behind each other without work.
        if concat.axis != 1 || node.outputs[0].fact.rank() != 4 {
            return Ok(Value::Pending);
        }
        if let Some(folded) = self.folded_pixels(node) {
            return Ok(folded);
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

    /// Nearest-neighbour enlargement by whole factors. Exporters and opsets write it in many ways, so it is recognised by what it
    /// does to a map of all different values.
    fn upsample(&mut self, node: &TypedNode) -> TractResult<Value> {
        let (pieces, [height, width]) = self.map(node.inputs[0])?;
        let from = concrete(self.model.outlet_fact(node.inputs[0])?)?;
        let to = concrete(&node.outputs[0].fact)?;
        let to: [usize; 4] = to.try_into().map_err(|to| TractError::msg(format!("{from:?} to {to:?}")))?;
        let is_whole = to[2].is_multiple_of(height) && to[3].is_multiple_of(width);
        ensure!(from[..2] == to[..2] && is_whole, "{from:?} to {to:?}");
        let factors = [to[2] / height, to[3] / width];
        // All channels are alike: two tell, unless they can't be tried by themselves.
        let few = from[1].min(2);
        let is_nearest = self
            .is_nearest(node, few, [height, width], &to)
            .or_else(|_| self.is_nearest(node, from[1], [height, width], &to))?;
        ensure!(is_nearest, "a resize that is not nearest-neighbour");
        let mut inputs = Vec::new();
        let op = Upsample { isa: self.isa, planes: self.planes(node, &pieces, &mut inputs), factors };
        Ok(self.push(node, op, inputs, channels(&pieces)))
    }

    /// Whether this makes of so many channels of a map of this size their nearest-neighbour enlargement.
    fn is_nearest(
        &self,
        node: &TypedNode,
        channels: usize,
        [height, width]: [usize; 2],
        all: &[usize; 4],
    ) -> TractResult<bool> {
        let factors = [all[2] / height, all[3] / width];
        let (from, to) = ([all[0], channels, height, width], [all[0], channels, all[2], all[3]]);
        let probe: Vec<f32> = (0..from.iter().product::<usize>()).map(|i| i as f32).collect();
        let mut inputs = tvec!(Tensor::from_shape(&from, &probe)?.into_tvalue());
        for &input in &node.inputs[1..] {
            let constant = self.constant_tensor(input).context("a size that is not constant")?;
            // A size names the channels, a factor is for any number of them.
            let is_size = !constant.datum_type().is_float() && self.numbers(input)? == all.map(|side| side as i64);
            inputs.push(if is_size {
                let sides = tensor1(&to.map(|side| side as i64));
                sides.cast_to_dt(constant.datum_type())?.into_owned().into_tvalue()
            } else {
                constant.into_tvalue()
            });
        }
        let result = node.op.eval_out_of_plan(inputs)?.context("a resize that can't be tried")?;
        ensure!(result[0].shape() == to, "a resize to {:?}", result[0].shape());
        let result = result[0].try_as_plain_ram()?;
        Ok(result.as_slice::<f32>()?.iter().enumerate().all(|(i, &value)| {
            let (row, x) = (i / to[3], i % to[3]);
            let (plane, y) = (row / to[2], row % to[2]);
            value == ((plane * height + y / factors[0]) * width + x / factors[1]) as f32
        }))
    }

    /// `x * sigmoid(x)`, if that is what this product is.
    fn silu(&mut self, node: &TypedNode) -> Option<Value> {
        let is_sigmoid_of = |outlet: OutletId, of: OutletId| {
            let node = self.model.node(outlet.node);
            node.inputs.first() == Some(&of)
                && node.op.downcast_ref::<ElementWiseOp>().is_some_and(|op| op.0.is::<Sigmoid>())
        };
        let [a, b] = node.inputs[..] else { return None };
        let (input, sigmoid) = if is_sigmoid_of(b, a) {
            (a, b)
        } else if is_sigmoid_of(a, b) {
            (b, a)
        } else {
            return None;
        };
        // The sigmoid by itself may be read, too, and is then made of the same values.
        let readers = if self.model.outlet_successors(sigmoid).len() == 1 { 2 } else { usize::MAX };
        self.activate(node, input, readers, Activation::Silu).ok()
    }

    /// `x * tanh(ln(1 + e^x))`, if that is what this product is.
    fn mish(&mut self, node: &TypedNode) -> Option<Value> {
        let [a, b] = node.inputs[..] else { return None };
        let (input, between) = [(a, b), (b, a)].into_iter().find_map(|(x, tanh)| {
            let ln = self.input_of(tanh, |op| op.is::<math::Tanh>())?;
            let sum = self.input_of(ln, |op| op.is::<math::Ln>())?;
            let exp = self.one_less(sum)?;
            let is_of_x = self.input_of(exp, |op| op.is::<math::Exp>()) == Some(x);
            is_of_x.then_some((x, [tanh, ln, sum, exp]))
        })?;
        // What is between may be read, too, and is then made of the same values.
        let is_alone =
            between.iter().all(|at| self.model.outlet_successors(*at).len() == 1 && !self.outputs.contains(at));
        let readers = if is_alone { 2 } else { usize::MAX };
        self.activate(node, input, readers, Activation::Mish).ok()
    }

    /// The input of the node behind `outlet`, if that is this operator of single values.
    fn input_of(&self, outlet: OutletId, is_op: impl Fn(&dyn ElementWiseMiniOp) -> bool) -> Option<OutletId> {
        let node = self.model.node(outlet.node);
        let op = node.op.downcast_ref::<ElementWiseOp>()?;
        if is_op(&*op.0) { node.inputs.first().copied() } else { None }
    }

    /// The other summand, if `outlet` is 1 plus something.
    fn one_less(&self, outlet: OutletId) -> Option<OutletId> {
        let node = self.model.node(outlet.node);
        let inputs = is_binary::<math::Add>(node).then_some(&node.inputs)?;
        (0..2).find_map(|side| {
            let one = self.constant(inputs[side]).filter(|constant| constant.len() == 1)?;
            (one.cast_to_scalar::<f32>().ok()? == 1.0).then_some(inputs[1 - side])
        })
    }

    /// The activation that a node is by itself, and of what.
    fn activation(&self, node: &TypedNode) -> Option<(OutletId, Activation)> {
        let input = *node.inputs.first()?;
        if let Some(op) = node.op.downcast_ref::<ElementWiseOp>() {
            let activation = if op.0.is::<Silu>() {
                Activation::Silu
            } else if op.0.is::<HardSwish>() {
                Activation::HardSwish
            } else {
                Activation::LeakyRelu(op.0.downcast_ref::<LeakyRelu>()?.alpha)
            };
            return Some((input, activation));
        }
        let is_max = is_binary::<math::Max>(node);
        if !is_max && !is_binary::<math::Min>(node) {
            return None;
        }
        let (input, bound) = (0..2).find_map(|side| {
            let bound = self.constant(node.inputs[side]).filter(|bound| bound.len() == 1)?;
            Some((node.inputs[1 - side], bound.cast_to_scalar::<f32>().ok()?))
        })?;
        let (least, most) = if is_max { (bound, f32::INFINITY) } else { (f32::NEG_INFINITY, bound) };
        (!bound.is_nan()).then_some((input, Activation::Clip { least, most }))
    }

    /// An activation folded into the convolution that made `outlet`, if no more than `readers` read it without; else a step
    /// of its own.
    fn activate(
        &mut self,
        node: &TypedNode,
        outlet: OutletId,
        readers: usize,
        activation: Activation,
    ) -> TractResult<Value> {
        if let Some(value) = self.folded(outlet, readers, activation) {
            return Ok(value);
        }
        let Some(Value::Map { pieces, .. }) = self.values.get(&outlet) else { bail!("not of a map") };
        let pieces = pieces.clone();
        let mut inputs = Vec::new();
        let planes = self.planes(node, &pieces, &mut inputs);
        Ok(self.push(node, Activate { isa: self.isa, planes, activation }, inputs, channels(&pieces)))
    }

    /// An activation folded into the convolution that made `outlet`, if no more than `readers` read it without.
    fn folded(&mut self, outlet: OutletId, readers: usize, activation: Activation) -> Option<Value> {
        let (mut step, value) = self.only_step(outlet, readers)?;
        // A transposed convolution is one whose pixels are moved apart.
        if self.steps[step - 1].op.is::<Interleave>() {
            step = self.steps[step - 1].inputs[0];
        }
        let op = &mut self.steps[step - 1].op;
        let (present, residual) = if let Some(op) = op.downcast_mut::<Convolve>() {
            (&mut op.activation, &op.residual)
        } else {
            let op = op.downcast_mut::<ConvolveDepthwise>()?;
            (&mut op.activation, &op.residual)
        };
        if !residual.is_empty() {
            return None;
        }
        *present = match (*present, activation) {
            (Activation::None, activation) => activation,
            // A lower and an upper bound are two nodes.
            (Activation::Clip { least, most }, Activation::Clip { least: other, most: lower }) if other <= least => {
                Activation::Clip { least, most: most.min(lower) }
            }
            _ => return None,
        };
        Some(value)
    }

    /// The step that made all of `outlet`, if `outlet` has `readers` readers and is not an output.
    fn only_step(&self, outlet: OutletId, readers: usize) -> Option<(usize, Value)> {
        let value = self.values.get(&outlet)?;
        let Value::Map { pieces, .. } = value else { return None };
        let &[piece] = &pieces[..] else { return None };
        let is_whole = piece.first == 0 && piece.count == self.results[piece.step];
        let read = self.model.outlet_successors(outlet).len();
        (is_whole && piece.step > 0 && read == readers && !self.outputs.contains(&outlet))
            .then(|| (piece.step, value.clone()))
    }

    fn sum(&mut self, node: &TypedNode) -> TractResult<Value> {
        let [a, b] = node.inputs[..] else { bail!("a sum of {}", node.inputs.len()) };
        let is_map = |outlet: &OutletId| matches!(self.values.get(outlet), Some(Value::Map { .. }));
        ensure!(is_map(&a) || is_map(&b), "a sum of no maps");
        ensure!(self.constant_tensor(a).or_else(|| self.constant_tensor(b)).is_none(), "a sum with a constant");
        let ((pieces, size), (others, other_size)) = (self.map(a)?, self.map(b)?);
        ensure!(size == other_size && channels(&pieces) == channels(&others), "a sum of different shapes");
        for (outlet, other) in [(b, &pieces), (a, &others)] {
            if let Some(value) = self.with_residual(outlet, other) {
                return Ok(value);
            }
        }
        let mut inputs = Vec::new();
        let planes = self.planes(node, &pieces, &mut inputs);
        let others = self.planes(node, &others, &mut inputs);
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
        let planes = self.whole_planes(other, &mut inputs).ok()?;
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

/// A view, or the map that it equals.
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

/// The index of `step` among `inputs`; adds it if it is new.
fn input(inputs: &mut Vec<usize>, step: usize) -> usize {
    inputs.iter().position(|&input| input == step).unwrap_or_else(|| {
        inputs.push(step);
        inputs.len() - 1
    })
}

/// These of the channels of runs behind each other.
fn run(pieces: &[Piece], wanted: std::ops::Range<usize>) -> Vec<Piece> {
    let (mut found, mut before) = (Vec::new(), 0);
    for piece in pieces {
        let start = wanted.start.clamp(before, before + piece.count);
        let end = wanted.end.clamp(before, before + piece.count);
        if start < end {
            found.push(Piece { first: piece.first + start - before, count: end - start, ..*piece });
        }
        before += piece.count;
    }
    found
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

/// tract checks this when it runs the weights, not before.
fn ensure_groups(groups: usize, channels: [usize; 2]) -> TractResult<()> {
    let are_whole = groups > 0 && channels.iter().all(|channels| channels.is_multiple_of(groups));
    ensure!(are_whole, "{channels:?} channels in {groups} groups");
    Ok(())
}

/// Weights `[outputs, inputs / groups, taps]` as those of a convolution over all inputs: 0 for the inputs of other groups.
fn ungrouped(weights: &[f32], groups: usize, outputs: usize, inputs: usize) -> Vec<f32> {
    let taps = weights.len() * groups / (outputs * inputs);
    let (seen, mut all) = (inputs / groups * taps, vec![0.0; outputs * inputs * taps]);
    for (output, weights) in weights.chunks_exact(seen).enumerate() {
        let group = output * groups / outputs;
        all[output * inputs * taps + group * seen..][..seen].copy_from_slice(weights);
    }
    all
}

/// One value for each channel, in whole blocks.
fn whole_blocks(values: &[f32], lanes: usize) -> Vec<f32> {
    let mut blocks = values.to_vec();
    blocks.resize(values.len().next_multiple_of(lanes), 0.0);
    blocks
}

/// The window of a convolution or a pool over a map of this size with this padding.
fn window(spec: &PoolSpec, size: [usize; 2], before: [usize; 2], after: [usize; 2]) -> TractResult<Window> {
    let (window, output) = declared_window(spec, size, before, after)?;
    ensure!(window.output(size) == output, "a window of ceiled size");
    Ok(window)
}

/// The window of a pool that ignores what is outside the map. Where the output's size is rounded up, the window reaches that far
/// outside.
fn pool_window(spec: &PoolSpec, size: [usize; 2]) -> TractResult<Window> {
    let (mut window, output) = declared_window(spec, size, [0; 2], [0; 2])?;
    for axis in 0..2 {
        let span = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let needed = (output[axis].max(1) - 1) * window.stride[axis] + span;
        window.after[axis] = window.after[axis].max(needed.saturating_sub(window.before[axis] + size[axis]));
    }
    ensure!(window.output(size) == output, "a window of another size");
    Ok(window)
}

/// The window that a pool's or convolution's attributes declare, and the height and width of its output.
fn declared_window(
    spec: &PoolSpec,
    size: [usize; 2],
    before: [usize; 2],
    after: [usize; 2],
) -> TractResult<(Window, [usize; 2])> {
    ensure!(spec.data_format == DataFormat::NCHW && spec.kernel_shape.len() == 2, "not an image");
    let padded = [0, 1].map(|axis| before[axis] + size[axis] + after[axis]);
    let padding = spec.computed_padding(&padded);
    let (strides, dilations) = (spec.strides(), spec.dilations());
    let window = Window {
        kernel: [spec.kernel_shape[0], spec.kernel_shape[1]],
        stride: [strides[0], strides[1]],
        dilation: [dilations[0], dilations[1]],
        before: [0, 1].map(|axis| before[axis] + padding[axis].pad_before),
        after: [0, 1].map(|axis| after[axis] + padding[axis].pad_after),
    };
    Ok((window, [padding[0].convoluted, padding[1].convoluted]))
}
