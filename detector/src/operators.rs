//! The operators' kernels on made-up data, for the benchmarks. Each function returns a closure that runs the kernel once.

use crate::engine::kernels::attention::{self, AttentionHead, attend};
use crate::engine::kernels::convolution::{Convolution, Output, convolve};
use crate::engine::kernels::depthwise::{Depthwise, convolve_depthwise};
use crate::engine::kernels::epilogue::Activation;
use crate::engine::kernels::window::Window;
use crate::engine::kernels::winograd::{PLACES, Scratch, convolve_winograd};
use crate::engine::{Element, Isa, Precision};

/// Calls a function for the type that an instruction set computes in.
macro_rules! in_its_type {
    ($isa:ident, $function:ident($($argument:expr),*)) => {
        match $isa.precision() {
            Precision::F32 => Box::new($function::<f32>($isa, $($argument),*)) as Box<dyn FnMut()>,
            Precision::Bf16 => Box::new($function::<u16>($isa, $($argument),*)),
        }
    };
}

fn window(kernel: usize, stride: usize) -> Window {
    let padding = [kernel / 2; 2];
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1, 1], before: padding, after: padding }
}

fn values<E: Element>(count: usize) -> Vec<E> {
    (0..count).map(|i| E::from_f32((i % 251) as f32 / 251.0 - 0.5)).collect()
}

/// A convolution with SiLU; channel counts are multiples of 16.
#[must_use]
pub fn convolution(
    isa: Isa,
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: usize,
    stride: usize,
) -> Box<dyn FnMut()> {
    in_its_type!(isa, convolution_in(inputs, outputs, side, kernel, stride))
}

fn convolution_in<E: Element>(
    isa: Isa,
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: usize,
    stride: usize,
) -> impl FnMut() + use<E> {
    let window = window(kernel, stride);
    let [height, width] = window.output([side, side]);
    let (input, weights) = (values::<E>(inputs * side * side), values(inputs * outputs * kernel * kernel));
    let (bias, mut output) = (values(outputs), values(outputs * height * width));
    move || {
        let call = Convolution {
            window,
            input: [side, side],
            plane_channels: isa.lanes(),
            planes: &input.chunks_exact(side * side * isa.lanes()).collect::<Vec<_>>(),
            weights: &weights,
            bias: &bias,
            activation: Activation::Silu,
            residual: &[],
        };
        convolve(isa, &call, Output::Map(&mut output));
    }
}

/// [`convolution`] of 3x3 by 1, by Winograd's algorithm.
#[must_use]
pub fn winograd(isa: Isa, inputs: usize, outputs: usize, side: usize) -> Box<dyn FnMut()> {
    in_its_type!(isa, winograd_in(inputs, outputs, side))
}

fn winograd_in<E: Element>(isa: Isa, inputs: usize, outputs: usize, side: usize) -> impl FnMut() + use<E> {
    let (input, weights) = (values::<E>(inputs * side * side), values::<f32>(inputs * outputs * PLACES));
    let (bias, mut output) = (values(outputs), values(outputs * side * side));
    let mut scratch = Scratch::default();
    move || {
        let call = Convolution {
            window: window(3, 1),
            input: [side, side],
            plane_channels: isa.lanes(),
            planes: &input.chunks_exact(side * side * isa.lanes()).collect::<Vec<_>>(),
            weights: &[],
            bias: &bias,
            activation: Activation::Silu,
            residual: &[],
        };
        convolve_winograd(isa, &call, &weights, &mut scratch, Output::Map(&mut output));
    }
}

/// A depthwise convolution with SiLU; the channel count is a multiple of 16.
#[must_use]
pub fn depthwise(isa: Isa, channels: usize, side: usize, kernel: usize) -> Box<dyn FnMut()> {
    in_its_type!(isa, depthwise_in(channels, side, kernel))
}

fn depthwise_in<E: Element>(isa: Isa, channels: usize, side: usize, kernel: usize) -> impl FnMut() + use<E> {
    let window = window(kernel, 1);
    let (input, weights) = (values::<E>(channels * side * side), values(channels * kernel * kernel));
    let (bias, mut output) = (values(channels), values(channels * side * side));
    move || {
        let call = Depthwise {
            window,
            input: [side, side],
            planes: &input.chunks_exact(side * side * isa.lanes()).collect::<Vec<_>>(),
            weights: &weights,
            bias: &bias,
            activation: Activation::Silu,
            residual: &[],
        };
        convolve_depthwise(isa, &call, &mut output);
    }
}

/// One head of attention; the depth is a multiple of 16.
#[must_use]
pub fn attention(isa: Isa, tokens: usize, depth: usize) -> Box<dyn FnMut()> {
    in_its_type!(isa, attention_in(tokens, depth))
}

fn attention_in<E: Element>(isa: Isa, tokens: usize, depth: usize) -> impl FnMut() + use<E> {
    let (input, mut output, mut scratch) =
        (values::<E>(tokens * depth), values::<E>(tokens * depth), attention::Scratch::default());
    move || {
        let planes: Vec<&[E]> = input.chunks_exact(tokens * isa.lanes()).collect();
        let head = AttentionHead { tokens, scale: 0.2, queries: &planes, keys: &planes, values: &planes };
        let mut outputs: Vec<&mut [E]> = output.chunks_exact_mut(tokens * isa.lanes()).collect();
        attend(isa, &head, &mut scratch, &mut outputs);
    }
}
