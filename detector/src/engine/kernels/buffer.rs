//! Memory for an operator's output.

use tract_onnx::prelude::*;

/// A tensor of this shape, filled by `fill`, which must write every value before it reads it.
///
/// Zeroing what is about to be written costs a pass over memory for each operator; every caller is in this crate and
/// hands the slice to one kernel, which writes all of it.
pub(crate) fn filled(shape: &[usize], fill: impl FnOnce(&mut [f32])) -> TractResult<Tensor> {
    // SAFETY: any bits are an `f32`, and the kernels write each value before anything reads it.
    let mut tensor = unsafe { Tensor::uninitialized_aligned::<f32>(shape, 64)? };
    fill(tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
    Ok(tensor)
}
