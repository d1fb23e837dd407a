//! Transposed convolution: one whose output pixels each come from a few taps, by their place within the stride.

use std::borrow::Cow;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::{Lowering, MOST_GROUPS, Value, ensure_groups, ungrouped};
use crate::engine::kernels::window::Window;
use crate::engine::ops::Interleave;
use crate::engine::recipe::Step;

/// The widest stride; exporters write 2.
const MOST_STRIDE: usize = 64;

/// One axis of a transposed convolution.
#[derive(Clone, Copy, Debug)]
struct Axis {
    kernel: usize,
    stride: usize,
    /// Output pixels cut off at the start.
    before: usize,
    /// Input pixels from an output pixel's group to the first tap's, and to the last one's.
    first: isize,
    last: isize,
    /// Input pixels and output pixels.
    input: usize,
    output: usize,
}

impl Axis {
    fn new(kernel: usize, stride: usize, before: usize, input: usize, output: usize) -> Self {
        let mut axis = Self { kernel, stride, before, first: isize::MAX, last: isize::MIN, input, output };
        for phase in 0..stride {
            for (_, offset) in axis.taps(phase) {
                (axis.first, axis.last) = (axis.first.min(offset), axis.last.max(offset));
            }
        }
        axis
    }

    /// What output pixels at this place within their group of `stride` read: taps of the kernel, each with the input pixel's
    /// distance from the group. Output pixel `stride * group + phase` is `tap` pixels from where input pixel `group + distance`
    /// was put: `stride * group + phase + before = stride * (group + distance) + tap`.
    fn taps(self, phase: usize) -> impl Iterator<Item = (usize, isize)> {
        let at = phase + self.before;
        let tap = move |tap: &usize| tap % self.stride == at % self.stride;
        (0..self.kernel).filter(tap).map(move |tap| (tap, (at as isize - tap as isize) / self.stride as isize))
    }

    /// Kernel, padding before and after of the convolution that computes all phases.
    fn window(self) -> Option<[usize; 3]> {
        let kernel = usize::try_from(self.last - self.first + 1).ok()?;
        let before = usize::try_from(-self.first).ok()?;
        let groups = self.output.div_ceil(self.stride);
        Some([kernel, before, (groups + kernel - 1).saturating_sub(self.input + before)])
    }
}

impl Lowering<'_> {
    /// Computes it as a convolution of as many maps as pixels come from one, whose pixels are then put between each other.
    pub(super) fn transposed_convolution(&mut self, node: &TypedNode, conv: &Deconv) -> TractResult<Value> {
        let spec = &conv.pool_spec;
        ensure!(conv.kernel_format == KernelFormat::OIHW && spec.data_format == DataFormat::NCHW, "another layout");
        ensure!(spec.kernel_shape.len() == 2 && spec.dilations().iter().all(|&dilation| dilation == 1), "dilations");
        let before = match &spec.padding {
            PaddingSpec::Valid => [0; 2],
            PaddingSpec::Explicit(before, _) => [before[0], before[1]],
            other => bail!("padding {other:?}"),
        };
        let (inputs, outputs) = (spec.input_channels, spec.output_channels);
        let (weights, bias) = self.weights(node, outputs)?;
        let weights = weights.try_as_plain_ram()?;
        let mut weights = Cow::Borrowed(weights.as_slice::<f32>()?);
        if conv.group > 1 {
            ensure!(conv.group <= MOST_GROUPS, "{} groups", conv.group);
            ensure_groups(conv.group, [inputs, outputs])?;
            weights = Cow::Owned(ungrouped(&weights, conv.group, outputs, inputs));
        }
        let output = super::concrete(&node.outputs[0].fact)?;
        // Zeros around it are inside it, so to speak: what was padded is put apart, too.
        ensure!(!matches!(self.values.get(&node.inputs[0]), Some(Value::Padded { .. })), "zeros around its input");
        let input = self.read(node.inputs[0])?;
        let strides = spec.strides();
        // A wide stride on a map of one pixel does not make a large result, so nothing else stops it.
        ensure!(strides.iter().all(|stride| (1..=MOST_STRIDE).contains(stride)), "strides so wide");
        let axes = [0, 1].map(|axis| {
            Axis::new(spec.kernel_shape[axis], strides[axis], before[axis], input.size[axis], output[2 + axis])
        });
        let [down, across] = axes;
        let (Some(rows), Some(columns)) = (down.window(), across.window()) else {
            bail!("a pixel that nothing reaches")
        };
        let window = Window {
            kernel: [rows[0], columns[0]],
            stride: [1, 1],
            dilation: [1, 1],
            before: [rows[1], columns[1]],
            after: [rows[2], columns[2]],
        };
        let lanes = self.isa.lanes();
        // Each phase's channels begin a block.
        let of_phase = outputs.next_multiple_of(lanes);
        let phases = down.stride * across.stride;
        let taps = rows[0] * columns[0];
        let values = [of_phase, inputs, taps].into_iter().try_fold(phases, usize::checked_mul);
        ensure!(values.is_some_and(|values| values <= super::LARGEST_CONSTANT), "strides so wide");
        let mut all = vec![0.0; phases * of_phase * inputs * taps];
        let mut all_bias = vec![0.0; phases * of_phase];
        for phase in 0..phases {
            all_bias[phase * of_phase..][..outputs].copy_from_slice(&bias);
            for (tap_y, offset_y) in down.taps(phase / across.stride) {
                for (tap_x, offset_x) in across.taps(phase % across.stride) {
                    let (y, x) = ((offset_y - down.first) as usize, (offset_x - across.first) as usize);
                    for channel in 0..outputs * inputs {
                        let from = (channel * down.kernel + tap_y) * across.kernel + tap_x;
                        let to = (phase * of_phase * inputs + channel) * taps + y * columns[0] + x;
                        all[to] = weights[from];
                    }
                }
            }
        }
        let convolved = window.output(input.size);
        let cropped = [0, 1].map(|axis| (convolved[axis] * axes[axis].stride).checked_sub(output[2 + axis]));
        let [Some(bottom), Some(right)] = cropped else { bail!("an output of {output:?}") };
        let op = self.dense(&input, window, &all, [phases * of_phase, inputs], &all_bias)?;
        let name = format!("{}, phases", node.name);
        self.steps.push(Step { name, op: op.into(), inputs: input.steps, slots: vec![] });
        self.results.push(phases * of_phase);
        let apart = Interleave { isa: self.isa, factors: [down.stride, across.stride], cropped: [bottom, right] };
        let step = self.steps.len();
        Ok(self.push(node, apart, vec![step], outputs))
    }
}
