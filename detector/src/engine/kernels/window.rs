//! The greatest value in a window, on blocked planes.

use super::convolution::Window;
use super::dispatch;
use super::lanes::Lanes;
use crate::engine::Isa;

/// One image through a max pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPool<'a> {
    /// Which values meet. What lies outside the input takes no part.
    pub(crate) window: Window,
    /// Height and width of each plane.
    pub(crate) input: [usize; 2],
    /// The input: `[height, width, lanes]` each.
    pub(crate) planes: &'a [&'a [f32]],
}

/// Pool into `output`: `[planes, output height, output width, lanes]`.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn max_pool(isa: Isa, call: &MaxPool<'_>, output: &mut [f32]) {
    let [height, width] = call.window.output(call.input);
    assert_eq!(output.len(), call.planes.len() * height * width * isa.lanes());
    for plane in call.planes {
        assert_eq!(plane.len(), call.input[0] * call.input[1] * isa.lanes());
    }
    // SAFETY: the sizes were checked above.
    dispatch!(isa, body, (&MaxPool<'_>, &mut [f32]), (call, output));
}

/// # Safety
/// As [`Lanes`]; the sizes are as [`max_pool`] checks.
#[inline(always)]
unsafe fn body<L: Lanes>((call, output): (&MaxPool<'_>, &mut [f32])) {
    let window = &call.window;
    let [height, width] = window.output(call.input);
    let mut output = output.as_mut_ptr();
    for plane in call.planes {
        for y in 0..height {
            let (first_row, end_row) = window.rows(y, call.input[0]);
            for x in 0..width {
                let left = x * window.stride[1];
                let first = window.before[1].saturating_sub(left).div_ceil(window.dilation[1]);
                let end = (call.input[1] + window.before[1]).saturating_sub(left).div_ceil(window.dilation[1]);
                // SAFETY: only taps inside the plane are read; the output holds `L::N` values for each pixel.
                unsafe {
                    let mut greatest = L::splat(f32::NEG_INFINITY);
                    for tap_y in first_row..end_row {
                        let row = y * window.stride[0] + tap_y * window.dilation[0] - window.before[0];
                        for tap_x in first..end.min(window.kernel[1]) {
                            let column = left + tap_x * window.dilation[1] - window.before[1];
                            let at = (row * call.input[1] + column) * L::N;
                            greatest = greatest.max(L::load(plane.as_ptr().add(at)));
                        }
                    }
                    greatest.store(output);
                    output = output.add(L::N);
                }
            }
        }
    }
}
