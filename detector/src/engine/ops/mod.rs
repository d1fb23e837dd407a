//! Operators of our own for tract's graphs, on blocked maps.
//!
//! A blocked map is a tensor `[images, blocks, height, width, lanes]`: channel `c` is lane `c % lanes` of block
//! `c / lanes`; lanes beyond the last channel are 0. One block of one image is a *plane*. Operators read planes, named by
//! [`PlaneId`], from any of their inputs in any order: so neither a concatenation nor a split of channels exists as work,
//! only as a list of planes.

mod add;
mod attention;
mod convolution;
mod depthwise;
mod max_pool;
mod upsample;

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

pub(super) use add::Add;
pub(super) use attention::{Attention, HeadPlanes};
pub(super) use convolution::{Convolve, InputLayout};
pub(super) use depthwise::ConvolveDepthwise;
pub(super) use max_pool::Pool;
pub(super) use upsample::Upsample;

/// One plane among an operator's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlaneId {
    /// Which input.
    pub(super) input: usize,
    /// Which block of it.
    pub(super) block: usize,
}

/// Values shared by all copies of an operator, and so by all plans of a model.
#[derive(Clone)]
pub(super) struct Shared(Arc<[f32]>);

impl From<Vec<f32>> for Shared {
    fn from(values: Vec<f32>) -> Self {
        Self(values.into())
    }
}

impl std::ops::Deref for Shared {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shared {}

/// What an operator on blocked maps is, beside what tract asks of every operator.
pub(super) trait BlockedOp {
    /// The output's shape for inputs of these shapes.
    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>>;

    /// The output for these inputs.
    fn run(&self, inputs: &[Map<'_>]) -> TractResult<Arc<Tensor>>;
}

/// A tensor of rank 4 or 5, its values in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<'a> {
    pub(super) shape: &'a [usize],
    pub(super) values: &'a [f32],
}

impl<'a> Map<'a> {
    /// Height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.shape[2], self.shape[3]]
    }

    /// Plane `block` of `image`; a plane of a rank 4 tensor is a channel.
    pub(super) fn plane(&self, image: usize, block: usize) -> &'a [f32] {
        let plane: usize = self.shape[2..].iter().product();
        &self.values[(image * self.shape[1] + block) * plane..][..plane]
    }
}

/// These planes of one image.
pub(super) fn planes<'a>(inputs: &[Map<'a>], image: usize, ids: &[PlaneId]) -> Vec<&'a [f32]> {
    ids.iter().map(|id| inputs[id.input].plane(image, id.block)).collect()
}

/// [`BlockedOp`] as tract wants it.
macro_rules! blocked_op {
    ($Op:ty, $name:literal) => {
        const _: () = {
            use tract_onnx::tract_core::internal::*;

            impl Op for $Op {
                fn name(&self) -> StaticName {
                    $name.into()
                }

                op_as_typed_op!();
            }

            impl EvalOp for $Op {
                op_out_of_plan!();

                fn eval(&self, _context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
                    crate::engine::ops::eval(self, &inputs)
                }
            }

            impl TypedOp for $Op {
                as_op!();

                fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
                    crate::engine::ops::output_facts(self, inputs)
                }
            }
        };
    };
}
use blocked_op;

fn eval(op: &impl BlockedOp, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
    let maps = inputs
        .iter()
        .map(|input| Ok(Map { shape: input.shape(), values: input.try_as_plain_ram()?.as_slice::<f32>()? }))
        .collect::<TractResult<TVec<_>>>()?;
    Ok(tvec!(op.run(&maps)?.into_tvalue()))
}

fn output_facts(op: &impl BlockedOp, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
    let shapes = inputs
        .iter()
        .map(|input| input.shape.as_concrete().context("a blocked operator needs a concrete shape"))
        .collect::<TractResult<TVec<_>>>()?;
    Ok(tvec!(f32::fact(op.output_shape(&shapes)?)))
}
