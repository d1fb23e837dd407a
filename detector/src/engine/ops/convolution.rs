//! Convolution over all input channels, its bias, activation and residual included.

use std::cell::RefCell;
use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, Shared, blocked_op, planes, shape_behind};
use crate::engine::kernels::convolution::{Convolution, Output, Rounds, convolve};
use crate::engine::kernels::epilogue::Activation;
use crate::engine::kernels::window::Window;
use crate::engine::kernels::winograd::{self, convolve_winograd};
use crate::engine::{Element, Isa, buffers};

/// How a convolution's input lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum InputLayout {
    /// `[images, channels, height, width]`: the network's own input.
    Planar,
    /// A blocked map.
    Blocked,
}

thread_local! {
    /// For the convolutions by Winograd's algorithm that this thread runs, one after the other.
    static SCRATCH: RefCell<winograd::Scratch> = RefCell::default();
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Algorithm {
    /// Directly.
    Direct,
    /// By [`convolve_winograd`].
    Winograd,
}

/// A convolution, its bias, activation and residual included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Convolve {
    pub(in crate::engine) isa: Isa,
    pub(in crate::engine) window: Window,
    pub(in crate::engine) layout: InputLayout,
    /// The input planes, in the order of the weights.
    pub(in crate::engine) planes: Vec<PlaneId>,
    pub(in crate::engine) algorithm: Algorithm,
    /// Packed by [`Convolve::pack`] or [`Convolve::pack_winograd`].
    pub(in crate::engine) weights: Shared,
    /// In whole blocks.
    pub(in crate::engine) bias: Shared,
    pub(in crate::engine) activation: Activation,
    /// Planes added at the end; empty if there is no residual.
    pub(in crate::engine) residual: Vec<PlaneId>,
    /// Whether the output is `f32` whatever the inputs are.
    pub(in crate::engine) wide: bool,
}

impl Convolve {
    /// `[output channels, input channels, kernel height, kernel width]` in the order that the kernel reads. `lanes_of`
    /// tells for each plane and each of its lanes which input channel is there, if any.
    pub(in crate::engine) fn pack<E: Element>(
        isa: Isa,
        window: &Window,
        weights: &[f32],
        [outputs, inputs]: [usize; 2],
        lanes_of: &[Vec<Option<usize>>],
    ) -> TractResult<Shared> {
        let (lanes, group_length) = (isa.lanes(), isa.group());
        let blocks = outputs.div_ceil(lanes);
        let plane_lanes = lanes_of.first().map_or(0, Vec::len);
        let rounds = Rounds::of(isa, window, plane_lanes);
        let [rows, columns] = window.kernel;
        let row_weights = rounds.weights() * lanes;
        Shared::filled(blocks * lanes_of.len() * rows * row_weights, |packed: &mut [E]| {
            let (mut first, mut at) = (0, 0);
            while first < blocks {
                let pair = if first + 1 < blocks { 2 } else { 1 };
                let pair_outputs = first * lanes..((first + pair) * lanes).min(outputs);
                for plane in lanes_of {
                    for row in 0..rows {
                        for (round, group) in (0..rounds.count).flat_map(|r| (0..rounds.groups).map(move |g| (r, g))) {
                            for i in 0..group_length {
                                // A group is neighbouring taps of one channel, or neighbouring channels at one tap.
                                let (lane, column) = if plane_lanes == 1 {
                                    (0, round * rounds.taps + i)
                                } else {
                                    (group * group_length + i, round)
                                };
                                let is_tap = column < columns && (plane_lanes > 1 || i < rounds.taps);
                                let Some(input) = plane[lane].filter(|_| is_tap) else { continue };
                                for (slot, output) in pair_outputs.clone().enumerate() {
                                    let weight = weights[((output * inputs + input) * rows + row) * columns + column];
                                    packed[at + slot * group_length + i] = E::from_f32(weight);
                                }
                            }
                            at += pair * lanes * group_length;
                        }
                    }
                }
                first += pair;
            }
        })
    }

    /// [`pack`](Self::pack) for [`convolve_winograd`].
    pub(in crate::engine) fn pack_winograd(
        isa: Isa,
        weights: &[f32],
        [outputs, inputs]: [usize; 2],
        lanes_of: &[Vec<Option<usize>>],
    ) -> TractResult<Shared> {
        let lanes = isa.lanes();
        let blocks = outputs.div_ceil(lanes);
        let place_values = blocks * lanes * lanes_of.len() * lanes;
        Shared::filled(winograd::PLACES * place_values, |packed: &mut [f32]| {
            let mut kernels = winograd::Kernels::default();
            let mut at = 0;
            for first in (0..blocks).step_by(2) {
                let slots = (blocks - first).min(2) * lanes;
                let pair_outputs = first * lanes..(first * lanes + slots).min(outputs);
                for input in lanes_of.iter().flatten() {
                    if let &Some(input) = input {
                        let of_outputs =
                            pair_outputs.clone().map(|output| &weights[(output * inputs + input) * winograd::TAPS..]);
                        kernels.transform(isa, of_outputs);
                        for (packed, values) in packed.chunks_exact_mut(place_values).zip(kernels.places()) {
                            packed[at..at + slots].copy_from_slice(&values[..slots]);
                        }
                    }
                    at += slots;
                }
            }
        })
    }
}

blocked_op!(Convolve, "PolybotConvolve");

impl BlockedOp for Convolve {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(shape_behind(&self.window, inputs[0], self.bias.len() / self.isa.lanes(), self.isa.lanes()))
    }

    fn is_wide(&self) -> bool {
        self.wide
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        // Closures, as the variants by themselves are functions of one lifetime.
        if self.wide {
            self.fill(inputs, |output| Output::F32(output))
        } else {
            self.fill(inputs, |output| Output::Map(output))
        }
    }
}

impl Convolve {
    /// Convolves each image into its part of the output.
    fn fill<E: Element, O: Element>(
        &self,
        inputs: &[Map<'_, E>],
        output_of: impl for<'a> Fn(&'a mut [O]) -> Output<'a, E>,
    ) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let image_values: usize = shape[1..].iter().product();
        let bias = self.bias.values()?;
        let (direct, transformed) = match self.algorithm {
            Algorithm::Direct => (self.weights.values()?, None),
            Algorithm::Winograd => (&[][..], Some(self.weights.values()?)),
        };
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
                    weights: direct,
                    bias,
                    activation: self.activation,
                    residual: &planes(inputs, image, &self.residual),
                };
                let output = output_of(&mut output[image * image_values..][..image_values]);
                match transformed {
                    None => convolve(self.isa, &call, output),
                    Some(weights) => SCRATCH.with_borrow_mut(|scratch| {
                        convolve_winograd(self.isa, &call, weights, scratch, output);
                    }),
                }
            }
        })
    }
}
