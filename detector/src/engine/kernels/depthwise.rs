//! Convolution of each channel by itself, on blocked planes.

use std::mem::MaybeUninit;

use super::convolution::{Activation, SCRATCH, Window};
use super::dispatch;
use super::lanes::{Lanes, silu};
use crate::engine::Isa;

/// One image through a depthwise convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depthwise<'a> {
    /// Which values meet.
    pub(crate) window: Window,
    /// Height and width of each plane.
    pub(crate) input: [usize; 2],
    /// The input: `[height, width, lanes]` each.
    pub(crate) planes: &'a [&'a [f32]],
    /// `[planes, kernel height, kernel width, lanes]`.
    pub(crate) weights: &'a [f32],
    /// One value for each channel, in whole blocks.
    pub(crate) bias: &'a [f32],
    /// What follows.
    pub(crate) activation: Activation,
    /// Planes like the output's, added at the end; empty for none.
    pub(crate) residual: &'a [&'a [f32]],
}

/// Pixels at once: one register each, beside the weights.
const PIXELS: usize = 8;

/// Convolve into `output`: `[planes, output height, output width, lanes]`.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn convolve_depthwise(isa: Isa, call: &Depthwise<'_>, output: &mut [f32]) {
    let lanes = isa.lanes();
    let [height, width] = call.window.output(call.input);
    let taps = call.window.kernel[0] * call.window.kernel[1];
    let blocks = call.planes.len();
    assert!(call.window.is_supported());
    assert_eq!(call.bias.len(), blocks * lanes);
    assert_eq!(call.weights.len(), blocks * taps * lanes);
    assert_eq!(output.len(), blocks * height * width * lanes);
    for plane in call.planes {
        assert_eq!(plane.len(), call.input[0] * call.input[1] * lanes);
    }
    assert!(call.residual.is_empty() || call.residual.len() == blocks);
    for plane in call.residual {
        assert_eq!(plane.len(), height * width * lanes);
    }
    if output.is_empty() {
        return;
    }
    // SAFETY: the sizes were checked above.
    dispatch!(isa, body, (&Depthwise<'_>, &mut [f32]), (call, output));
}

/// # Safety
/// As [`Lanes`]; the sizes are as [`convolve_depthwise`] checks.
#[inline(always)]
unsafe fn body<L: Lanes>((call, output): (&Depthwise<'_>, &mut [f32])) {
    let [height, width] = call.window.output(call.input);
    for block in 0..call.planes.len() {
        for y in 0..height {
            let mut x = 0;
            while x < width {
                // The last tile overlaps the one before it rather than being a short one.
                let start = if x + PIXELS > width { width.saturating_sub(PIXELS) } else { x };
                let at = Tile { call, output: output.as_mut_ptr(), output_size: [height, width], block, y, x: start };
                // SAFETY: block, y and x are inside the output; the caller vouches for the rest.
                unsafe {
                    if width >= PIXELS {
                        at.compute::<L, PIXELS>();
                        x = start + PIXELS;
                    } else {
                        Tile { x, ..at }.compute::<L, 1>();
                        x += 1;
                    }
                }
            }
        }
    }
}

/// A few neighbouring output pixels of one block.
struct Tile<'a> {
    call: &'a Depthwise<'a>,
    output: *mut f32,
    output_size: [usize; 2],
    block: usize,
    y: usize,
    x: usize,
}

impl Tile<'_> {
    /// # Safety
    /// As [`Lanes`]; the sizes are as [`convolve_depthwise`] checks, and the tile is inside the output.
    #[inline(always)]
    unsafe fn compute<L: Lanes, const PIXELS: usize>(self) {
        let call = self.call;
        let window = &call.window;
        let [taps_y, taps_x] = window.kernel;
        let width = call.input[1] as isize;
        let step = window.stride[1] * L::N;
        let dilation = window.dilation[1] * L::N;
        let span = (PIXELS - 1) * window.stride[1] + (taps_x - 1) * window.dilation[1] + 1;
        let first_x = (self.x * window.stride[1]) as isize - window.before[1] as isize;
        let at_border = first_x < 0 || first_x + span as isize > width;
        let (first_row, end_row) = window.rows(self.y, call.input[0]);
        let top = (self.y * window.stride[0]) as isize - window.before[0] as isize;
        let mut scratch = MaybeUninit::<[f32; SCRATCH]>::uninit();
        let scratch = scratch.as_mut_ptr().cast::<f32>();
        // SAFETY: a tap outside the input is either in no row of `first_row..end_row` or read from `scratch`, which is
        // zero there; weights, bias, planes and output hold what their shapes say.
        unsafe {
            if at_border {
                scratch.write_bytes(0, span * L::N);
            }
            let plane = call.planes[self.block].as_ptr();
            let weights = call.weights.as_ptr().add(self.block * taps_y * taps_x * L::N);
            let mut sums = [L::load(call.bias.as_ptr().add(self.block * L::N)); PIXELS];
            for tap_y in first_row..end_row {
                let y = top + (tap_y * window.dilation[0]) as isize;
                let row = plane.offset(y * width * L::N as isize);
                let mut values = if at_border {
                    let skipped = (-first_x).max(0);
                    let count = (first_x + span as isize).min(width) - (first_x + skipped);
                    if count > 0 {
                        std::ptr::copy_nonoverlapping(
                            row.offset((first_x + skipped) * L::N as isize),
                            scratch.offset(skipped * L::N as isize),
                            count as usize * L::N,
                        );
                    }
                    scratch.cast_const()
                } else {
                    row.offset(first_x * L::N as isize)
                };
                for tap_x in 0..taps_x {
                    let factor = L::load(weights.add((tap_y * taps_x + tap_x) * L::N));
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = L::load(values.add(pixel * step)).mul_add(factor, *sum);
                    }
                    values = values.add(dilation);
                }
            }
            let pixel = self.y * self.output_size[1] + self.x;
            let at = (self.block * self.output_size[0] * self.output_size[1] + pixel) * L::N;
            let output = self.output.add(at);
            for (pixel, sum) in sums.into_iter().enumerate() {
                sum.store(output.add(pixel * L::N));
            }
            // In a second pass, so that the sums never leave their registers.
            if call.activation == Activation::Silu {
                for pixel in 0..PIXELS {
                    silu(L::load(output.add(pixel * L::N))).store(output.add(pixel * L::N));
                }
            }
            if !call.residual.is_empty() {
                let residual = call.residual[self.block].as_ptr().add(pixel * L::N);
                for pixel in 0..PIXELS {
                    let sum = L::load(output.add(pixel * L::N)).add(L::load(residual.add(pixel * L::N)));
                    sum.store(output.add(pixel * L::N));
                }
            }
        }
    }
}
