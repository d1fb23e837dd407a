//! The operators' kernels on made-up data, for the benchmarks. Each function answers one that runs the kernel once.

use crate::engine::Isa;
use crate::engine::kernels::attention::{Head, attend};
use crate::engine::kernels::convolution::{Activation, Convolution, Window, convolve};
use crate::engine::kernels::depthwise::{Depthwise, convolve_depthwise};

fn window(kernel: usize, stride: usize) -> Window {
    let padding = [kernel / 2; 2];
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1, 1], before: padding, after: padding }
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect()
}

/// A convolution with SiLU; channel counts are multiples of 16.
pub fn convolution(
    isa: Isa,
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: usize,
    stride: usize,
) -> impl FnMut() + use<> {
    let window = window(kernel, stride);
    let [height, width] = window.output([side, side]);
    let (input, weights) = (values(inputs * side * side), values(inputs * outputs * kernel * kernel));
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
        convolve(isa, &call, &mut output);
    }
}

/// A depthwise convolution with SiLU; the channel count is a multiple of 16.
pub fn depthwise(isa: Isa, channels: usize, side: usize, kernel: usize) -> impl FnMut() + use<> {
    let window = window(kernel, 1);
    let (input, weights) = (values(channels * side * side), values(channels * kernel * kernel));
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
pub fn attention(isa: Isa, tokens: usize, depth: usize) -> impl FnMut() + use<> {
    let (input, mut output, mut scratch) = (values(tokens * depth), values(tokens * depth), Vec::new());
    move || {
        let planes: Vec<&[f32]> = input.chunks_exact(tokens * isa.lanes()).collect();
        let head = Head { tokens, scale: 0.2, queries: &planes, keys: &planes, values: &planes };
        let mut outputs: Vec<&mut [f32]> = output.chunks_exact_mut(tokens * isa.lanes()).collect();
        attend(isa, &head, &mut scratch, &mut outputs);
    }
}
