//! Bounds on the memory that a file may ask for.
//!
//! A few bytes can say "repeat this a million times". tract computes what is constant while it reads a graph, and there a damaged
//! or hostile file would take all memory. So the shape of every operator's results is checked before they are computed, and
//! the plan is checked for what all its maps take at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModelPatch, InferenceNode, InferenceOp};

/// The most bytes of one tensor, and of all that are alive at once while a network runs. With what the program itself and its
/// operators take, it stays below 1 GB.
const MOST_BYTES: u64 = 768 << 20;

/// The most bytes of constants that are computed while reading, all together.
const MOST_CONSTANT_BYTES: u64 = 256 << 20;

/// Makes every operator of a graph check its bounds before it takes memory.
pub(crate) fn bound(model: &mut InferenceModel) {
    let spent = Arc::new(AtomicU64::new(0));
    for node in &mut model.nodes {
        let op = node.op.clone();
        node.op = Box::new(Bounded { op, counted: 0, spent: Arc::clone(&spent) });
    }
}

/// Whether a network's tensors fit into memory while it runs in the order of this plan, which may be another than the graph's own.
///
/// An estimate: what is alive at once, constants included, without what operators need for themselves.
///
/// # Errors
/// If they don't.
pub(crate) fn ensure_it_fits(plan: &TypedRunnableModel) -> TractResult<()> {
    let (model, order) = (plan.model(), plan.order_without_consts());
    let bytes = |outlet: OutletId| model.outlet_fact(outlet).map_or(0, typed_bytes);
    let mut readers: HashMap<OutletId, usize> = HashMap::new();
    for input in order.iter().flat_map(|&id| &model.node(id).inputs).chain(model.output_outlets()?) {
        *readers.entry(*input).or_default() += 1;
    }
    let constants = model.nodes().iter().filter(|node| node.op_is::<Const>());
    let mut alive = constants.map(|node| bytes(node.id.into())).fold(0, u64::saturating_add);
    let mut most = alive;
    for &id in order {
        let node = model.node(id);
        let made = (0..node.outputs.len()).map(|slot| bytes(OutletId::new(id, slot)));
        alive = made.fold(alive, u64::saturating_add);
        most = most.max(alive);
        for input in node.inputs.iter().filter(|input| !model.node(input.node).op_is::<Const>()) {
            if let Some(left) = readers.get_mut(input) {
                *left -= 1;
                if *left == 0 {
                    alive = alive.saturating_sub(bytes(*input));
                }
            }
        }
    }
    ensure!(most <= MOST_BYTES, "its maps take {} MB at once, more than {} MB", most >> 20, MOST_BYTES >> 20);
    Ok(())
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
            ensure!(spent <= MOST_CONSTANT_BYTES, "its constants grow to more than {} MB", MOST_CONSTANT_BYTES >> 20);
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
