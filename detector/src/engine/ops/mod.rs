//! Our own operators for tract's graphs, on blocked maps.
//!
//! A blocked map (NCHWc) is a tensor `[images, blocks, height, width, lanes]` of one [`Element`] type: channel `c` is lane `c % lanes` of block
//! `c / lanes`; lanes beyond the last channel are 0. One block of one image is a *plane*. Operators read planes, named by
//! [`PlaneId`], from any of their inputs in any order: so neither a concatenation nor a split of channels exists as work,
//! only as a list of planes.

mod activate;
mod add;
mod attention;
mod convert;
mod convolution;
mod depthwise;
mod interleave;
mod planar;
mod pool;
mod upsample;

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::kernels::window::Window;
use super::{Element, Isa, Precision};
pub(super) use activate::Activate;
pub(super) use add::Add;
pub(super) use attention::{Attention, HeadPlanes};
pub(super) use convert::{ToBf16, ToF32};
pub(super) use convolution::{Algorithm, Convolve, InputLayout};
pub(super) use depthwise::ConvolveDepthwise;
pub(super) use interleave::Interleave;
pub(super) use planar::{Block, Gather, Unblock};
pub(super) use pool::{Pool, PoolKind};
pub(super) use upsample::Upsample;

/// One plane among an operator's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlaneId {
    /// Which input.
    pub(super) input: usize,
    /// Which block of it.
    pub(super) block: usize,
}

/// One channel among an operator's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Channel {
    pub(super) plane: PlaneId,
    pub(super) lane: usize,
}

/// Values shared by all copies of an operator, and so by all plans of a model.
#[derive(Clone)]
pub(super) struct Shared(Arc<Tensor>);

impl<E: Element> From<Vec<E>> for Shared {
    fn from(values: Vec<E>) -> Self {
        Self(tensor1(&values).into())
    }
}

impl Shared {
    /// So many values, which are 0 before `fill` is given them.
    pub(super) fn filled<E: Element>(length: usize, fill: impl FnOnce(&mut [E])) -> TractResult<Self> {
        let mut tensor = Tensor::zero_dt(E::datum_type(), &[length])?;
        fill(tensor.try_as_plain_ram_mut()?.as_slice_mut()?);
        Ok(Self(tensor.into()))
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The values, if they are of this type.
    pub(super) fn values<E: Element>(&self) -> TractResult<&[E]> {
        self.0.try_as_plain_ram()?.as_slice()
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

/// An operator on blocked maps, beside what tract asks of every operator.
pub(super) trait BlockedOp {
    /// The instruction set that runs it, and so the type of its inputs' values.
    fn isa(&self) -> Isa;

    /// The output's shape for inputs of these shapes.
    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>>;

    /// Whether the output is `f32` whatever the inputs are.
    fn is_wide(&self) -> bool {
        false
    }

    /// The output for these inputs.
    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>>;
}

/// A tensor of rank 4 or 5, its values in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<'a, E> {
    pub(super) shape: &'a [usize],
    pub(super) values: &'a [E],
}

impl<'a, E> Map<'a, E> {
    /// Height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.shape[2], self.shape[3]]
    }

    /// Plane `block` of `image`; a plane of a rank 4 tensor is a channel.
    pub(super) fn plane(&self, image: usize, block: usize) -> &'a [E] {
        let plane: usize = self.shape[2..].iter().product();
        &self.values[(image * self.shape[1] + block) * plane..][..plane]
    }
}

/// These planes of one image.
pub(super) fn planes<'a, E>(inputs: &[Map<'a, E>], image: usize, ids: &[PlaneId]) -> Vec<&'a [E]> {
    ids.iter().map(|id| inputs[id.input].plane(image, id.block)).collect()
}

/// The shape of `planes` planes of a map's size.
pub(super) fn shape_of(planes: usize, map: &[usize]) -> TVec<usize> {
    let mut shape: TVec<usize> = map.into();
    shape[1] = planes;
    shape
}

/// The shape of `planes` planes that this window makes of an image or a map of this shape.
fn shape_behind(window: &Window, input: &[usize], planes: usize, lanes: usize) -> TVec<usize> {
    let [height, width] = window.output([input[2], input[3]]);
    tvec![input[0], planes, height, width, lanes]
}

/// tract's traits for a [`BlockedOp`].
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
    let output = match op.isa().precision() {
        Precision::F32 => op.run(&maps::<f32>(inputs)?)?,
        Precision::Bf16 => op.run(&maps::<u16>(inputs)?)?,
    };
    Ok(tvec!(output.into_tvalue()))
}

fn maps<E: Element>(inputs: &[TValue]) -> TractResult<TVec<Map<'_, E>>> {
    inputs.iter().map(|input| Ok(Map { shape: input.shape(), values: input.try_as_plain_ram()?.as_slice()? })).collect()
}

fn output_facts(op: &impl BlockedOp, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
    let shapes = inputs
        .iter()
        .map(|input| input.shape.as_concrete().context("a blocked operator needs a concrete shape"))
        .collect::<TractResult<TVec<_>>>()?;
    let shape = op.output_shape(&shapes)?;
    Ok(tvec!(match op.isa().precision() {
        Precision::Bf16 if !op.is_wide() => u16::fact(shape),
        _ => f32::fact(shape),
    }))
}
