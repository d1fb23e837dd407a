//! Bounds on the memory that a file may ask for.
//!
//! A few bytes can say "repeat this a million times". tract computes what is constant while it reads a graph, and there a damaged
//! or hostile file would take all memory. So the shape of every operator's results is checked before they are computed, the
//! graph is checked for how much there is to compute, and the plan for what all its maps take at once.
//!
//! A file may take as much as it brings: the weights of a large model are no reason to refuse it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::Topk;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModelPatch, InferenceNode, InferenceOp};

/// The most bytes of one tensor, and of all that are alive at once while a network runs, beside the file's own weights. With
/// what the program itself and its operators take, it stays below 1 GB.
const MOST_BYTES: u64 = 768 << 20;

/// The most bytes of constants that are computed while reading, all together, beside as many as the file brings.
const MOST_CONSTANT_BYTES: u64 = 256 << 20;

/// The most products for one image: four times as many as YOLOv8x has for 1280x1280 pixels, minutes of a processor.
const MOST_PRODUCTS: f64 = (1_u64 << 41) as f64;

/// The most products of a window with a constant map: no exporter leaves any.
const MOST_CONSTANT_PRODUCTS: u64 = 1 << 34;

/// The most that tract's optimiser may have to do: the square of the number of tract's nodes, times the number of all. In the worst case
/// (an axis that all convolutions of a chain could do without) each of them has a patch that replaces all, and a patch compares each
/// new node with all others. A chain of 464 takes seconds.
const MOST_PATCHING: usize = 100_000_000;

/// Bytes of the constants that a file brings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brought(u64);

/// Makes every operator of a graph check its bounds before it takes memory; returns what the file brings.
pub(crate) fn bound(model: &mut InferenceModel) -> Brought {
    let spent = Arc::new(AtomicU64::new(0));
    let constants = model.nodes.iter().filter_map(|node| node.op_as::<Const>());
    let sizes = constants.map(|constant| (constant.val().len() * constant.val().datum_type().size_of()) as u64);
    let brought = Brought(sizes.sum());
    let most_computed = MOST_CONSTANT_BYTES + brought.0;
    for node in &mut model.nodes {
        let op = node.op.clone();
        node.op = Box::new(Bounded { op, counted: 0, spent: Arc::clone(&spent), most_computed });
    }
    brought
}

/// Returns a graph as tract's optimiser rewrites it: its operators run well only so. One of more nodes than any detector leaves to
/// them stays as it is, and runs as it is.
///
/// # Errors
/// tract's.
pub(crate) fn optimised(model: TypedModel) -> TractResult<TypedModel> {
    let is_tracts = |node: &&TypedNode| !node.op_is::<Const>() && !node.op.name().starts_with("Polybot");
    let nodes = model.nodes().iter().filter(is_tracts).count();
    if nodes.saturating_mul(nodes).saturating_mul(model.nodes().len()) <= MOST_PATCHING {
        return model.into_optimized();
    }
    tracing::warn!(nodes, "so many nodes run on tract's operators that they are not optimised");
    Ok(model)
}

/// Checks that a network comes to an end: how many products it computes, and how large the weights are that it packs for that.
///
/// # Errors
/// If it asks for more than a detector may.
pub(crate) fn ensure_it_ends(graph: &TypedModel, brought: Brought) -> TractResult<()> {
    let (mut products, mut packed) = (0.0, 0_u64);
    for id in graph.eval_order()? {
        let node = graph.node(id);
        products += products_of(graph, node)?;
        // tract fills up what is missing.
        let has_all = !node.op_is::<Topk>() || values_of(graph, node.id.into()) <= values_of(graph, node.inputs[0]);
        ensure!(has_all, "{} takes more of the greatest values than there are", node.name);
        if node.op_is::<Conv>() || node.op_is::<Deconv>() || node.op_is::<EinSum>() {
            let constants = node
                .inputs
                .iter()
                .filter_map(|&input| graph.outlet_fact(input).ok().filter(|fact| fact.konst.is_some()));
            packed = constants.map(typed_bytes).fold(packed, u64::saturating_add);
        }
    }
    ensure!(
        products <= MOST_PRODUCTS,
        "it computes {products:.1e} products for an image, more than {MOST_PRODUCTS:.1e}"
    );
    // Each operator packs a copy of its own, whether they share their weights or not.
    let most = MOST_CONSTANT_BYTES + brought.0.saturating_mul(2);
    ensure!(packed <= most, "its operators pack {} MB of weights, more than {} MB", packed >> 20, most >> 20);
    Ok(())
}

fn values_of(graph: &TypedModel, outlet: OutletId) -> f64 {
    let shape = graph.outlet_fact(outlet).ok().and_then(|fact| fact.shape.as_concrete());
    shape.map_or(0.0, |shape| shape.iter().map(|&side| side as f64).product())
}

/// Products, or values where an operator has none, that a node computes.
fn products_of(graph: &TypedModel, node: &TypedNode) -> TractResult<f64> {
    let values = |outlet: OutletId| values_of(graph, outlet);
    let of = |sides: &[usize]| sides.iter().map(|&side| side as f64).product::<f64>();
    let made: f64 = (0..node.outputs.len()).map(|slot| values(OutletId::new(node.id, slot))).sum();
    let input = |index: usize| node.inputs.get(index).map_or(0.0, |&input| values(input));
    Ok(if let Some(conv) = node.op_as::<Conv>() {
        made * of(&conv.pool_spec.kernel_shape) * (conv.input_channels() / conv.group.max(1)) as f64
    } else if let Some(conv) = node.op_as::<Deconv>() {
        let outputs = conv.pool_spec.output_channels / conv.group.max(1);
        input(0) * of(&conv.pool_spec.kernel_shape) * outputs as f64
    } else if let Some(pool) = node.op_as::<MaxPool>() {
        made * of(&pool.pool_spec.kernel_shape)
    } else if let Some(pool) = node.op_as::<SumPool>() {
        made * of(&pool.pool_spec.kernel_shape)
    } else if let Some(product) = node.op_as::<EinSum>() {
        let cost = product.cost(&graph.node_input_facts(node.id)?)?;
        cost.iter().map(|(_, count)| count.to_i64().unwrap_or(i64::MAX) as f64).sum()
    } else if node.op.name() == "NonMaxSuppression" {
        // Boxes [images, boxes, 4] and scores [images, classes, boxes]: in the worst case each with each.
        input(0) / 4.0 * input(1)
    } else {
        made
    })
}

/// Whether a network's tensors fit into memory while it runs in the order of this plan, which may be another than the graph's own.
///
/// An estimate: what is alive at once, constants included, beside those that the file brings, and what tract's operators make a second
/// time for themselves.
///
/// # Errors
/// If they don't.
pub(crate) fn ensure_it_fits(plan: &TypedRunnableModel, brought: Brought) -> TractResult<()> {
    let most = most_alive(plan, brought)?;
    ensure!(most <= MOST_BYTES, "its maps take {} MB at once, more than {} MB", most >> 20, MOST_BYTES >> 20);
    Ok(())
}

/// Bytes of all tensors that are alive at once, at most, while a plan runs; constants always are, but only those beyond what was
/// brought count.
fn most_alive(plan: &TypedRunnableModel, brought: Brought) -> TractResult<u64> {
    let (model, order) = (plan.model(), plan.order_without_consts());
    let bytes = |outlet: OutletId| model.outlet_fact(outlet).map_or(0, typed_bytes);
    let mut readers: HashMap<OutletId, usize> = HashMap::new();
    for input in order.iter().flat_map(|&id| &model.node(id).inputs).chain(model.output_outlets()?) {
        *readers.entry(*input).or_default() += 1;
    }
    let constants = model.nodes().iter().filter(|node| node.op_is::<Const>());
    let mut alive = constants.map(|node| bytes(node.id.into())).fold(0, u64::saturating_add).saturating_sub(brought.0);
    let mut most = alive;
    for &id in order {
        let node = model.node(id);
        let made = (0..node.outputs.len()).map(|slot| bytes(OutletId::new(id, slot)));
        let before = alive;
        alive = made.fold(alive, u64::saturating_add);
        // tract's operators make a copy on the way.
        let copied = if node.op.name().starts_with("Polybot") { 0 } else { alive - before };
        most = most.max(alive.saturating_add(copied));
        for input in node.inputs.iter().filter(|input| !model.node(input.node).op_is::<Const>()) {
            if let Some(left) = readers.get_mut(input) {
                *left -= 1;
                if *left == 0 {
                    alive = alive.saturating_sub(bytes(*input));
                }
            }
        }
    }
    Ok(most)
}

fn typed_bytes(fact: &TypedFact) -> u64 {
    let sides = fact.shape.as_concrete().unwrap_or_default();
    if sides.is_empty() { 0 } else { product(sides.iter().map(|&side| side as u64), fact.datum_type) }
}

fn product(mut sides: impl Iterator<Item = u64>, datum_type: DatumType) -> u64 {
    // Zero after an overflow does not count as an overflow.
    let values = sides.try_fold(1_u64, u64::checked_mul).unwrap_or(u64::MAX);
    values.saturating_mul(datum_type.size_of() as u64)
}

/// Bytes of a tensor, as far as they are known.
fn bytes(fact: &InferenceFact) -> u64 {
    let Some(shape) = fact.shape.concretize() else { return 0 };
    let datum_type = fact.datum_type.concretize().unwrap_or(f32::datum_type());
    product(shape.iter().map(|side| side.to_usize().map_or(1, |side| side as u64)), datum_type)
}

/// Whether a constant has a whole number that no size in a detector has.
fn has_huge_number(fact: &InferenceFact) -> bool {
    const HUGE: u64 = 1 << 24;
    let Some(tensor) = fact.value.concretize() else { return false };
    let is_whole = [i64::datum_type(), i32::datum_type(), TDim::datum_type()].contains(&tensor.datum_type());
    let numbers = tensor.cast_to::<i64>().ok().filter(|_| is_whole);
    let Some(numbers) = numbers else { return false };
    let Ok(numbers) = numbers.try_as_plain_ram() else { return false };
    numbers.as_slice::<i64>().is_ok_and(|numbers| numbers.iter().any(|number| number.unsigned_abs() > HUGE))
}

/// An operator that looks at the shapes of its results before it computes them.
#[derive(Clone, Debug)]
struct Bounded {
    op: Box<dyn InferenceOp>,
    /// The part of `spent` that is this operator's.
    counted: u64,
    /// Bytes of constants that all operators have computed.
    spent: Arc<AtomicU64>,
    /// How many those may be.
    most_computed: u64,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Bounded {}

impl Bounded {
    fn check(&mut self, outputs: &[InferenceFact], is_computed: bool) -> TractResult<()> {
        let all = outputs.iter().map(bytes).fold(0, u64::saturating_add);
        ensure!(all <= MOST_BYTES, "{} makes {} MB, more than {} MB", self.op.name(), all >> 20, MOST_BYTES >> 20);
        if is_computed {
            let more = all.saturating_sub(self.counted);
            self.counted += more;
            let spent = self.spent.fetch_add(more, Ordering::Relaxed).saturating_add(more);
            ensure!(spent <= self.most_computed, "its constants grow to more than {} MB", self.most_computed >> 20);
        }
        Ok(())
    }
}

impl Op for Bounded {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    fn as_typed(&self) -> Option<&dyn TypedOp> {
        self.op.as_typed()
    }
}

impl EvalOp for Bounded {
    fn eval(&self, context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.op.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.op.eval_out_of_plan(inputs)
    }

    fn state(&self, context: &EvalContext<'_>) -> TractResult<Option<Box<dyn OpState>>> {
        self.op.state(context)
    }
}

type Facts = TVec<InferenceFact>;

impl InferenceOp for Bounded {
    fn infer(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(Facts, Facts, Facts)> {
        let is_constant = |inputs: &[&InferenceFact]| {
            !inputs.is_empty() && inputs.iter().all(|input| input.value.concretize().is_some())
        };
        if is_constant(&inputs) {
            let (_, outputs, _) = self.op.infer_facts(inputs.clone(), outputs.clone(), observed.clone())?;
            let is_known = outputs.iter().all(|output| output.shape.concretize().is_some());
            // What is cut out of something is not larger than that, whatever the bounds: they are often the largest number.
            let name = self.op.name();
            // tract counts what is padded in 32 bits when it looks at shapes, and in 64 when it pads.
            let grows = name.starts_with("Pad") || name.starts_with("Tile");
            if grows || !is_known && !name.contains("Slice") {
                ensure!(!inputs.iter().any(|input| has_huge_number(input)), "{name} is given huge numbers");
            }
            self.check(&outputs, true)?;
            // What goes through a map with a window computes far more than it reads and makes.
            if ["ConvHir", "ConvTranspose", "MaxPool", "SumPool"].contains(&&*name) {
                let all = |facts: &[&InferenceFact]| facts.iter().map(|fact| bytes(fact) / 4).max().unwrap_or_default();
                let products = all(&inputs).saturating_mul(all(&outputs.iter().collect::<Vec<_>>()));
                ensure!(products <= MOST_CONSTANT_PRODUCTS, "{name} goes through a constant map that is too large");
            }
        }
        let inferred = self.op.infer(inputs, outputs, observed)?;
        self.check(&inferred.1, false)?;
        Ok(inferred)
    }

    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(Facts, Facts, Facts)> {
        self.op.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Vec<OutletId>> {
        self.op.observe_outlets(model, node)
    }

    fn incorporate(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Option<InferenceModelPatch>> {
        self.op.incorporate(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.op.nboutputs()
    }

    fn as_op(&self) -> &dyn Op {
        self.op.as_op()
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self.op.as_op_mut()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        self.op.to_typed(source, node, target, mapping)
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::ops::math;

    use super::*;

    /// So many products with 1, which tract's optimiser leaves out.
    fn of_products(count: usize) -> TypedModel {
        let mut model = TypedModel::default();
        let mut last = model.add_source("image", f32::fact([4])).expect("a source");
        let one = model.add_const("one", tensor1(&[1.0_f32])).expect("a constant");
        for index in 0..count {
            last = model.wire_node(format!("product {index}"), math::mul(), &[last, one]).expect("a product")[0];
        }
        model.select_output_outlets(&[last]).expect("an output");
        model
    }

    #[test]
    fn a_graph_of_too_many_nodes_stays_as_it_is() {
        let nodes = |count: usize| optimised(of_products(count)).expect("a graph").nodes().len();
        assert!(nodes(460) < 10);
        // With its input and the constant.
        assert_eq!(nodes(470), 472);
    }

    #[test]
    fn a_graph_has_so_many_products() {
        let mut model = TypedModel::default();
        let image = model.add_source("image", f32::fact([1, 4, 10, 20])).expect("a source");
        let weights =
            model.add_const("weights", Tensor::zero::<f32>(&[6, 2, 3, 5]).expect("weights")).expect("weights");
        let bias = model.add_const("bias", tensor1(&[0.0_f32; 6])).expect("a bias");
        let conv = Conv {
            pool_spec: tract_onnx::tract_core::ops::cnn::PoolSpec {
                data_format: tract_onnx::tract_core::ops::nn::DataFormat::NCHW,
                kernel_shape: tvec![3, 5],
                padding: tract_onnx::tract_core::ops::cnn::PaddingSpec::Valid,
                dilations: None,
                strides: None,
                input_channels: 4,
                output_channels: 6,
            },
            kernel_fmt: tract_onnx::tract_core::ops::cnn::KernelFormat::OIHW,
            group: 2,
            q_params: None,
        };
        let map = model.wire_node("map", conv, &[image, weights, bias]).expect("a convolution")[0];
        model.select_output_outlets(&[map]).expect("an output");
        let products = products_of(&model, model.node(map.node)).expect("a number");
        // Six channels of 8x16 pixels, each of two channels and 3x5 taps.
        assert_eq!(products, (6 * 8 * 16 * 2 * 15) as f64);
        ensure_it_ends(&model, Brought::default()).expect("few");
    }

    /// Weights that a file brings are no reason to refuse it.
    #[test]
    fn what_a_file_brings_does_not_count() {
        let mut model = TypedModel::default();
        let image = model.add_source("image", f32::fact([1024])).expect("a source");
        let weights = model.add_const("weights", Tensor::zero::<f32>(&[1024]).expect("weights")).expect("weights");
        let sum = model.wire_node("sum", math::add(), &[image, weights]).expect("a sum")[0];
        model.select_output_outlets(&[sum]).expect("an output");
        let plan = model.into_runnable().expect("a plan");
        let alive = |brought: u64| most_alive(&plan, Brought(brought)).expect("a number");
        // The image, the weights, the sum, and the sum again while it is made.
        assert_eq!(alive(0), 4 * 4096);
        assert_eq!(alive(1024), 4 * 4096 - 1024);
        // No more than there is: maps count, whatever was brought.
        assert_eq!(alive(1 << 30), 3 * 4096);
    }
}
