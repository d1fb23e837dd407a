//! A list of operators, from which a graph for any input size is built.

use tract_onnx::tract_core::internal::*;

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
    /// Of the node in tract's graph that it stands for.
    pub(super) name: String,
    pub(super) op: Box<dyn TypedOp>,
    /// The steps whose results it reads.
    pub(super) inputs: Vec<usize>,
}

/// The operators of a network in the order to run them. Weights are shared with every graph built from it.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Step `n` here is step `n + 1` of a [`Piece`]: 0 is the image.
    pub(super) steps: Vec<Step>,
    /// The runs of channels that each output is made of.
    pub(crate) outputs: Vec<Vec<Piece>>,
}

impl Recipe {
    /// The steps whose results are outputs, each once; the graph's outputs in this order.
    pub(crate) fn output_steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = self.outputs.iter().flatten().map(|piece| piece.step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The graph for an input of this shape: images, channels, height, width.
    ///
    /// # Errors
    /// tract's, where an operator does not accept the size.
    pub(crate) fn build(&self, input: [usize; 4]) -> TractResult<TypedModel> {
        let mut model = TypedModel::default();
        let mut outlets = vec![model.add_source("image", f32::fact(input))?];
        for step in &self.steps {
            let inputs: TVec<OutletId> = step.inputs.iter().map(|&input| outlets[input]).collect();
            outlets.push(model.wire_node(&*step.name, step.op.clone(), &inputs)?[0]);
        }
        let outputs: Vec<OutletId> = self.output_steps().into_iter().map(|step| outlets[step]).collect();
        model.select_output_outlets(&outputs)?;
        Ok(model)
    }
}
