//! The greatest value in a window, or the mean of them, on blocked planes.

use super::Kernel;
use super::format::Format;
use super::lanes::Lanes;
use super::window::Window;
use crate::engine::{Element, Isa};

/// How the values in a window become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolKind {
    /// The greatest.
    Max,
    /// Their mean.
    Mean,
}

/// One image through a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool<'a, E> {
    pub(crate) kind: PoolKind,
    /// Which input pixels each output pixel reads. What lies outside the input takes no part.
    pub(crate) window: Window,
    /// Height and width of each plane.
    pub(crate) input: [usize; 2],
    /// The input: `[height, width, lanes]` each.
    pub(crate) planes: &'a [&'a [E]],
}

/// Pools into `output`: `[planes, output height, output width, lanes]`.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn pool<E: Element>(isa: Isa, call: &Pool<'_, E>, output: &mut [E]) {
    let [height, width] = call.window.output(call.input);
    assert_eq!(output.len(), call.planes.len() * height * width * isa.lanes());
    for plane in call.planes {
        assert_eq!(plane.len(), call.input[0] * call.input[1] * isa.lanes());
    }
    // SAFETY: the sizes were checked above.
    unsafe { E::run(isa, Pooling { call, output }) }
}

struct Pooling<'a, E> {
    call: &'a Pool<'a, E>,
    output: &'a mut [E],
}

impl<E: Element> Kernel<E> for Pooling<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let call = self.call;
        let window = &call.window;
        let [height, width] = window.output(call.input);
        let mut output = self.output.as_mut_ptr();
        for plane in call.planes {
            for y in 0..height {
                let (first_row, end_row) = window.rows(y, call.input[0]);
                for x in 0..width {
                    let left = x * window.stride[1];
                    let first = window.before[1].saturating_sub(left).div_ceil(window.dilation[1]);
                    let end = (call.input[1] + window.before[1]).saturating_sub(left).div_ceil(window.dilation[1]);
                    let end = end.min(window.kernel[1]);
                    // SAFETY: only taps inside the plane are read; the output holds `N` values for each pixel.
                    unsafe {
                        let is_max = matches!(call.kind, PoolKind::Max);
                        let mut result = F::Lanes::splat(if is_max { f32::NEG_INFINITY } else { 0.0 });
                        for tap_y in first_row..end_row {
                            let row = y * window.stride[0] + tap_y * window.dilation[0] - window.before[0];
                            for tap_x in first..end {
                                let column = left + tap_x * window.dilation[1] - window.before[1];
                                let at = (row * call.input[1] + column) * F::Lanes::N;
                                let value = F::load(plane.as_ptr().add(at));
                                result = if is_max { result.max(value) } else { result.add(value) };
                            }
                        }
                        if !is_max {
                            let count = (end_row.saturating_sub(first_row) * end.saturating_sub(first)).max(1);
                            result = result.mul(F::Lanes::splat(1.0 / count as f32));
                        }
                        F::store(result, output);
                        output = output.add(F::Lanes::N);
                    }
                }
            }
        }
    }
}
