//! A list of operators, from which a graph for any input size is built.

use tract_onnx::tract_core::internal::*;

use super::ops::{Convolve, ConvolveDepthwise};
use crate::bounded;

/// A run of channels in the result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The step; 0 is the input image.
    pub(crate) step: usize,
    /// The first channel.
    pub(crate) first: usize,
    /// How many.
    pub(crate) count: usize,
}

/// One operator.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The name of the node in tract's graph that it stands for.
    pub(super) name: String,
    pub(super) op: Box<dyn TypedOp>,
    /// The steps whose results it reads.
    pub(super) inputs: Vec<usize>,
    /// Which result of each of them; empty if it is the first of all. Our operators have only one.
    pub(super) slots: Vec<usize>,
}

/// One output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Produced {
    /// A map, made of these runs of channels.
    Map(Vec<Piece>),
    /// The tensor that this step makes, with the axes of tract's graph.
    Tensor(usize),
}

/// The operators of a network in the order to run them. Weights are shared with every graph built from it.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Step `n` here is step `n + 1` of a [`Piece`]: 0 is the image.
    pub(super) steps: Vec<Step>,
    pub(crate) outputs: Vec<Produced>,
    /// The nodes that run on tract's operators, each with the reason.
    pub(crate) foreign: Vec<String>,
}

impl Recipe {
    /// The steps whose results are outputs, each once; the graph's outputs in this order.
    pub(crate) fn output_steps(&self) -> Vec<usize> {
        let mut steps = Vec::new();
        for output in &self.outputs {
            match output {
                Produced::Map(pieces) => steps.extend(pieces.iter().map(|piece| piece.step)),
                Produced::Tensor(step) => steps.push(*step),
            }
        }
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The steps that are operators of this crate and compute something.
    pub(crate) fn own_steps(&self) -> usize {
        self.steps.iter().filter(|step| step.op.is::<Convolve>() || step.op.is::<ConvolveDepthwise>()).count()
    }

    /// The graph for an input of this shape: images, channels, height, width.
    ///
    /// # Errors
    /// tract's, where an operator does not accept the size.
    pub(crate) fn build(&self, input: [usize; 4]) -> TractResult<TypedModel> {
        let mut model = TypedModel::default();
        let mut outlets = vec![tvec!(model.add_source("image", f32::fact(input))?)];
        for step in &self.steps {
            let slot = |index: usize| step.slots.get(index).copied().unwrap_or_default();
            let inputs = step.inputs.iter().enumerate();
            let inputs: TVec<OutletId> = inputs.map(|(index, &input)| outlets[input][slot(index)]).collect();
            outlets.push(model.wire_node(&*step.name, step.op.clone(), &inputs)?);
        }
        let outputs: Vec<OutletId> = self.output_steps().into_iter().map(|step| outlets[step][0]).collect();
        model.select_output_outlets(&outputs)?;
        if self.foreign.is_empty() { Ok(model) } else { bounded::optimised(model) }
    }
}
