//! Conversions between blocked maps and the tensors that tract's own operators take: `[images, channels, height, width]` of `f32`.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::{BlockedOp, Channel, Map, blocked_op};
use crate::engine::{Element, Isa, Precision, buffers};

/// Pixels whose lanes are moved before those of the next: what stays in the first-level cache.
const TILE: usize = 64;

/// Copies channels of blocked maps into a planar tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Unblock {
    pub(in crate::engine) isa: Isa,
    /// In the order of the output.
    pub(in crate::engine) channels: Vec<Channel>,
}

blocked_op!(Unblock, "PolybotUnblock");

impl BlockedOp for Unblock {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(tvec![inputs[0][0], self.channels.len(), inputs[0][2], inputs[0][3]])
    }

    fn is_wide(&self) -> bool {
        true
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let (pixels, lanes) = (shape[2] * shape[3], self.isa.lanes());
        buffers::filled::<f32>(&shape, |output| {
            let mut outputs = output.chunks_exact_mut(pixels.max(1));
            for image in 0..shape[0] {
                for (channel, output) in self.channels.iter().zip(&mut outputs) {
                    let plane = inputs[channel.plane.input].plane(image, channel.plane.block);
                    for (output, values) in output.iter_mut().zip(plane.chunks_exact(lanes)) {
                        *output = values[channel.lane].to_f32();
                    }
                }
            }
        })
    }
}

/// Copies channels of blocked maps into a blocked map of their own, in whole blocks: for operators that read blocks only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Gather {
    pub(in crate::engine) isa: Isa,
    /// In the order of the output.
    pub(in crate::engine) channels: Vec<Channel>,
}

blocked_op!(Gather, "PolybotGather");

impl BlockedOp for Gather {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        let lanes = self.isa.lanes();
        Ok(tvec![inputs[0][0], self.channels.len().div_ceil(lanes), inputs[0][2], inputs[0][3], lanes])
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let (pixels, lanes) = (shape[2] * shape[3], self.isa.lanes());
        buffers::filled::<E>(&shape, |output| {
            let mut outputs = output.chunks_exact_mut((pixels * lanes).max(1));
            for image in 0..shape[0] {
                for (block, output) in self.channels.chunks(lanes).zip(&mut outputs) {
                    let planes: Vec<(&[E], usize)> = block
                        .iter()
                        .map(|channel| (inputs[channel.plane.input].plane(image, channel.plane.block), channel.lane))
                        .collect();
                    for (tile, output) in output.chunks_mut(TILE * lanes).enumerate() {
                        for (lane, &(plane, from)) in planes.iter().enumerate() {
                            let values = plane[tile * TILE * lanes..].chunks_exact(lanes);
                            for (output, values) in output.chunks_exact_mut(lanes).zip(values) {
                                output[lane] = values[from];
                            }
                        }
                        for output in output.chunks_exact_mut(lanes) {
                            output[planes.len()..].fill(E::default());
                        }
                    }
                }
            }
        })
    }
}

/// Copies a planar tensor into a blocked map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Block {
    pub(in crate::engine) isa: Isa,
}

impl Op for Block {
    fn name(&self) -> StaticName {
        "PolybotBlock".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Block {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let output = match self.isa.precision() {
            Precision::F32 => self.block::<f32>(&inputs[0]),
            Precision::Bf16 => self.block::<u16>(&inputs[0]),
        };
        Ok(tvec!(output?.into_tvalue()))
    }
}

impl TypedOp for Block {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.output_shape(inputs[0].shape.as_concrete().context("a map of unknown size")?)?;
        Ok(tvec!(match self.isa.precision() {
            Precision::F32 => f32::fact(shape),
            Precision::Bf16 => u16::fact(shape),
        }))
    }
}

impl Block {
    fn output_shape(&self, input: &[usize]) -> TractResult<TVec<usize>> {
        let &[images, channels, height, width] = input else { bail!("a map of {} axes", input.len()) };
        let lanes = self.isa.lanes();
        Ok(tvec![images, channels.div_ceil(lanes), height, width, lanes])
    }

    fn block<E: Element>(&self, input: &Tensor) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(input.shape())?;
        let values = input.try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let (pixels, lanes) = (shape[2] * shape[3], self.isa.lanes());
        let image_values = input.shape()[1] * pixels;
        buffers::filled::<E>(&shape, |output| {
            let mut outputs = output.chunks_exact_mut((pixels * lanes).max(1));
            for image in 0..shape[0] {
                let image = &values[image * image_values..][..image_values];
                for (channels, output) in image.chunks((pixels * lanes).max(1)).zip(&mut outputs) {
                    let count = channels.len() / pixels.max(1);
                    for (tile, output) in output.chunks_mut(TILE * lanes).enumerate() {
                        for (lane, channel) in channels.chunks_exact(pixels.max(1)).enumerate() {
                            let values = &channel[tile * TILE..];
                            for (output, &value) in output.chunks_exact_mut(lanes).zip(values) {
                                output[lane] = E::from_f32(value);
                            }
                        }
                        for output in output.chunks_exact_mut(lanes) {
                            output[count..].fill(E::default());
                        }
                    }
                }
            }
        })
    }
}
