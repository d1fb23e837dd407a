//! Convolution of each channel by itself, its bias, activation and residual included.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, Shared, blocked_op, planes, shape_behind};
use crate::engine::kernels::depthwise::{Depthwise, convolve_depthwise};
use crate::engine::kernels::epilogue::Activation;
use crate::engine::kernels::window::Window;
use crate::engine::{Element, Isa, buffers};

/// A depthwise convolution, its bias, activation and residual included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ConvolveDepthwise {
    pub(in crate::engine) isa: Isa,
    pub(in crate::engine) window: Window,
    /// The input planes, in the order of the weights.
    pub(in crate::engine) planes: Vec<PlaneId>,
    /// `[planes, kernel height, kernel width, lanes]`, see [`ConvolveDepthwise::pack`].
    pub(in crate::engine) weights: Shared,
    /// In whole blocks.
    pub(in crate::engine) bias: Shared,
    pub(in crate::engine) activation: Activation,
    /// Planes added at the end; empty if there is no residual.
    pub(in crate::engine) residual: Vec<PlaneId>,
}

impl ConvolveDepthwise {
    /// `[channels, kernel height * kernel width]` in the order that the kernel reads.
    pub(in crate::engine) fn pack(lanes: usize, weights: &[f32], channels: usize) -> Vec<f32> {
        let taps = weights.len() / channels;
        let blocks = channels.div_ceil(lanes);
        let mut packed = vec![0.0; blocks * taps * lanes];
        for channel in 0..channels {
            for tap in 0..taps {
                packed[(channel / lanes * taps + tap) * lanes + channel % lanes] = weights[channel * taps + tap];
            }
        }
        packed
    }
}

blocked_op!(ConvolveDepthwise, "PolybotConvolveDepthwise");

impl BlockedOp for ConvolveDepthwise {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(shape_behind(&self.window, inputs[0], self.planes.len(), self.isa.lanes()))
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let image_values: usize = shape[1..].iter().product();
        let (weights, bias) = (self.weights.values()?, self.bias.values()?);
        buffers::filled(&shape, |output| {
            for image in 0..shape[0] {
                let call = Depthwise {
                    window: self.window,
                    input: inputs[self.planes[0].input].size(),
                    planes: &planes(inputs, image, &self.planes),
                    weights,
                    bias,
                    activation: self.activation,
                    residual: &planes(inputs, image, &self.residual),
                };
                convolve_depthwise(self.isa, &call, &mut output[image * image_values..][..image_values]);
            }
        })
    }
}
