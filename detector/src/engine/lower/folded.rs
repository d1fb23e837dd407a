//! Neighbouring pixels as channels (YOLOv5's and YOLOX's Focus, space to depth): slices with a step, concatenated.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::Conv;

use super::{Lowering, Value, window};

impl Lowering<'_> {
    /// A slice that leaves out rows or columns, from the first ones on. Bounds by axis: axes, starts, ends, steps.
    pub(super) fn strided(
        &mut self,
        node: &TypedNode,
        shape: &[usize],
        [axes, starts, ends, steps]: [&[i64]; 4],
    ) -> TractResult<Value> {
        let input = node.inputs[0];
        let (of, mut all_starts, mut all_steps) = match self.values.get(&input) {
            Some(Value::Strided { of, starts, steps }) => (*of, *starts, *steps),
            Some(Value::Image { .. } | Value::Map { .. }) => (input, [0; 2], [1; 2]),
            _ => bail!("steps through what is no map"),
        };
        ensure!(shape.len() == 4, "steps through {shape:?}");
        for (((&axis, &start), &end), &step) in axes.iter().zip(starts).zip(ends).zip(steps) {
            let axis = usize::try_from(if axis < 0 { axis + 4 } else { axis })?;
            ensure!((2..4).contains(&axis), "steps through channels");
            let (length, step) = (shape[axis], usize::try_from(step)?);
            let start = if start < 0 { start + length as i64 } else { start };
            let end = if end < 0 { end + length as i64 } else { end };
            let is_all = end >= length as i64 && (0..step as i64).contains(&start) && length.is_multiple_of(step);
            ensure!(is_all && all_steps[axis - 2] == 1, "steps that leave out the last pixels");
            (all_starts[axis - 2], all_steps[axis - 2]) = (start as usize, step);
        }
        Ok(Value::Strided { of, starts: all_starts, steps: all_steps })
    }

    /// A concatenation of slices with the same steps of the same map.
    pub(super) fn folded_pixels(&self, node: &TypedNode) -> Option<Value> {
        let mut all = Vec::new();
        let mut common = None;
        for input in &node.inputs {
            let Some(&Value::Strided { of, starts, steps }) = self.values.get(input) else { return None };
            if *common.get_or_insert((of, steps)) != (of, steps) {
                return None;
            }
            all.push(starts);
        }
        common.map(|(of, steps)| Value::Folded { of, starts: all, steps })
    }

    /// A convolution of such channels: one of the map itself, with a kernel and a stride as many times as large.
    pub(super) fn convolution_of_folded(
        &mut self,
        node: &TypedNode,
        conv: &Conv,
        of: OutletId,
        starts: &[[usize; 2]],
        steps: [usize; 2],
        (weights, bias): (&[f32], &[f32]),
    ) -> TractResult<Value> {
        let input = self.read(of)?;
        let size = [0, 1].map(|axis| input.size[axis] / steps[axis]);
        let mut window = window(&conv.pool_spec, size, [0; 2], [0; 2])?;
        ensure!(conv.group == 1 && window.dilation == [1, 1], "groups or dilations");
        let [rows, columns] = window.kernel;
        let output = window.output(size);
        for axis in 0..2 {
            for side in [&mut window.kernel, &mut window.stride, &mut window.before, &mut window.after] {
                side[axis] *= steps[axis];
            }
        }
        ensure!(window.output(input.size) == output, "a window of another size");
        let (folded, outputs) = (conv.input_channels(), conv.output_channels());
        let inputs = folded / starts.len();
        ensure!(inputs * starts.len() == folded, "{folded} channels");
        let taps = window.kernel[0].checked_mul(window.kernel[1]);
        let values = taps.and_then(|taps| taps.checked_mul(outputs)?.checked_mul(inputs));
        ensure!(values.is_some_and(|values| values <= super::LARGEST_CONSTANT), "steps so wide");
        let mut all = vec![0.0; outputs * inputs * window.kernel[0] * window.kernel[1]];
        for (index, &weight) in weights.iter().enumerate() {
            let (tap, channel) = (index % (rows * columns), index / (rows * columns) % folded);
            let [start_y, start_x] = starts[channel / inputs];
            let (y, x) = (tap / columns * steps[0] + start_y, tap % columns * steps[1] + start_x);
            let channel = index / (rows * columns) / folded * inputs + channel % inputs;
            // Added, as one slice may be there twice.
            all[(channel * window.kernel[0] + y) * window.kernel[1] + x] += weight;
        }
        let op = self.dense(&input, window, &all, [outputs, inputs], bias)?;
        Ok(self.push(node, op, input.steps, outputs))
    }
}
