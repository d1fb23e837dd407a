//! Convolution over all input channels, its bias, activation and residual included.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, Shared, blocked_op, planes};
use crate::engine::Isa;
use crate::engine::buffers;
use crate::engine::kernels::convolution::{Activation, Convolution, Window, convolve};

/// How a convolution's input lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum InputLayout {
    /// `[images, channels, height, width]`: the network's own input.
    Planar,
    /// A blocked map.
    Blocked,
}

/// The operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Convolve {
    pub(in crate::engine) isa: Isa,
    pub(in crate::engine) window: Window,
    pub(in crate::engine) layout: InputLayout,
    /// What it reads, in the order of its weights.
    pub(in crate::engine) planes: Vec<PlaneId>,
    /// Packed by [`Convolve::pack`].
    pub(in crate::engine) weights: Shared,
    /// In whole blocks.
    pub(in crate::engine) bias: Shared,
    pub(in crate::engine) activation: Activation,
    /// Added at the end; empty for none.
    pub(in crate::engine) residual: Vec<PlaneId>,
}

impl Convolve {
    /// `[output channels, input channels, kernel height, kernel width]` in the order that the kernel reads. `lanes_of`
    /// tells for each plane and each of its lanes which input channel is there, if any.
    pub(in crate::engine) fn pack(
        lanes: usize,
        weights: &[f32],
        [outputs, inputs, taps]: [usize; 3],
        lanes_of: &[Vec<Option<usize>>],
    ) -> Vec<f32> {
        let blocks = outputs.div_ceil(lanes);
        let plane_lanes = lanes_of.first().map_or(0, Vec::len);
        let mut packed = Vec::with_capacity(blocks * lanes * lanes_of.len() * plane_lanes * taps);
        let mut first = 0;
        while first < blocks {
            let pair = if first + 1 < blocks { 2 } else { 1 };
            for plane in lanes_of {
                for tap in 0..taps {
                    for &input in plane {
                        packed.extend((first * lanes..(first + pair) * lanes).map(|output| match input {
                            Some(input) if output < outputs => weights[(output * inputs + input) * taps + tap],
                            _ => 0.0,
                        }));
                    }
                }
            }
            first += pair;
        }
        packed
    }
}

blocked_op!(Convolve, "PolybotConvolve");

impl BlockedOp for Convolve {
    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        let &[images, _, height, width, ..] = inputs[0] else { unreachable!("an image or a blocked map") };
        let [height, width] = self.window.output([height, width]);
        Ok(tvec![images, self.bias.len() / self.isa.lanes(), height, width, self.isa.lanes()])
    }

    fn run(&self, inputs: &[Map<'_>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let image_values: usize = shape[1..].iter().product();
        buffers::filled(&shape, |output| {
            for image in 0..shape[0] {
                let call = Convolution {
                    window: self.window,
                    input: inputs[self.planes[0].input].size(),
                    plane_channels: match self.layout {
                        InputLayout::Planar => 1,
                        InputLayout::Blocked => self.isa.lanes(),
                    },
                    planes: &planes(inputs, image, &self.planes),
                    weights: &self.weights,
                    bias: &self.bias,
                    activation: self.activation,
                    residual: &planes(inputs, image, &self.residual),
                };
                convolve(self.isa, &call, &mut output[image * image_values..][..image_values]);
            }
        })
    }
}
