//! Convolution of each channel by itself, on blocked planes.

use std::mem::MaybeUninit;

use super::Kernel;
use super::epilogue::{Activation, Destination, epilogue};
use super::format::Format;
use super::lanes::Lanes;
use super::window::{MAX_PIXELS, SCRATCH, Window, padded_row};
use crate::engine::{Element, Isa};

/// One image through a depthwise convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depthwise<'a, E> {
    /// Which input pixels each output pixel reads.
    pub(crate) window: Window,
    /// Height and width of each plane.
    pub(crate) input: [usize; 2],
    /// The input: `[height, width, lanes]` each.
    pub(crate) planes: &'a [&'a [E]],
    /// `[planes, kernel height, kernel width, lanes]`.
    pub(crate) weights: &'a [f32],
    /// One value for each channel, in whole blocks.
    pub(crate) bias: &'a [f32],
    /// What is applied to the sums.
    pub(crate) activation: Activation,
    /// Planes like the output's, added at the end; empty if there is no residual.
    pub(crate) residual: &'a [&'a [E]],
}

/// Pixels at once: one register each, beside the weights.
const PIXELS: usize = 8;

/// Convolves into `output`: `[planes, output height, output width, lanes]`.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn convolve_depthwise<E: Element>(isa: Isa, call: &Depthwise<'_, E>, output: &mut [E]) {
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
    unsafe { E::run(isa, Convolving { call, output }) }
}

struct Convolving<'a, E> {
    call: &'a Depthwise<'a, E>,
    output: &'a mut [E],
}

impl<E: Element> Kernel<E> for Convolving<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let Self { call, output } = self;
        // Here and not in the tiles, of which there are many instances in this function.
        let mut scratch = MaybeUninit::<[E; SCRATCH]>::uninit();
        let scratch = scratch.as_mut_ptr().cast();
        let mut sums = MaybeUninit::<[f32; MAX_PIXELS * 16]>::uninit();
        let sums = sums.as_mut_ptr().cast();
        let output_size @ [height, width] = call.window.output(call.input);
        for block in 0..call.planes.len() {
            for y in 0..height {
                let mut x = 0;
                while x < width {
                    // The last tile overlaps the one before it rather than being a short one.
                    let start = if x + PIXELS > width { width.saturating_sub(PIXELS) } else { x };
                    let output = output.as_mut_ptr();
                    let at = Tile { call, scratch, sums, output, output_size, block, y, x: start };
                    // SAFETY: block, y and x are inside the output; the caller vouches for the rest.
                    unsafe {
                        if width >= PIXELS {
                            at.compute::<F, PIXELS>();
                            x = start + PIXELS;
                        } else {
                            Tile { x, ..at }.compute::<F, 1>();
                            x += 1;
                        }
                    }
                }
            }
        }
    }
}

/// A few neighbouring output pixels of one block.
struct Tile<'a, E> {
    call: &'a Depthwise<'a, E>,
    /// For the input of a tile at the border.
    scratch: *mut E,
    /// For the sums of a tile.
    sums: *mut f32,
    output: *mut E,
    output_size: [usize; 2],
    block: usize,
    y: usize,
    x: usize,
}

impl<E: Element> Tile<'_, E> {
    /// # Safety
    /// As [`Lanes`]; the sizes are as [`convolve_depthwise`] checks, and the tile is inside the output.
    #[inline(always)]
    unsafe fn compute<F: Format<Element = E>, const PIXELS: usize>(self) {
        let lanes = F::Lanes::N;
        let Self { call, scratch, .. } = self;
        let window = &call.window;
        let [taps_y, taps_x] = window.kernel;
        let width = call.input[1] as isize;
        let step = window.stride[1] * lanes;
        let dilation = window.dilation[1] * lanes;
        let span = (PIXELS - 1) * window.stride[1] + (taps_x - 1) * window.dilation[1] + 1;
        let first_x = (self.x * window.stride[1]) as isize - window.before[1] as isize;
        let at_border = first_x < 0 || first_x + span as isize > width;
        let (first_row, end_row) = window.rows(self.y, call.input[0]);
        let top = (self.y * window.stride[0]) as isize - window.before[0] as isize;
        // SAFETY: a tap outside the input is either in no row of `first_row..end_row` or read from `scratch`, which is
        // zero there; weights, bias, planes and output hold what their shapes say.
        unsafe {
            if at_border {
                scratch.write_bytes(0, span * lanes);
            }
            let plane = call.planes[self.block].as_ptr();
            let weights = call.weights.as_ptr().add(self.block * taps_y * taps_x * lanes);
            let mut sums = [F::Lanes::load(call.bias.as_ptr().add(self.block * lanes)); PIXELS];
            for tap_y in first_row..end_row {
                let y = top + (tap_y * window.dilation[0]) as isize;
                let row = plane.offset(y * width * lanes as isize);
                let mut values = if at_border {
                    padded_row(row, width, first_x, span, lanes, scratch)
                } else {
                    row.offset(first_x * lanes as isize)
                };
                for tap_x in 0..taps_x {
                    let factor = F::Lanes::load(weights.add((tap_y * taps_x + tap_x) * lanes));
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum = F::load(values.add(pixel * step)).mul_add(factor, *sum);
                    }
                    // Beyond the last tap it may point outside, where nothing is read.
                    values = values.wrapping_add(dilation);
                }
            }
            let pixel = self.y * self.output_size[1] + self.x;
            let at = (self.block * self.output_size[0] * self.output_size[1] + pixel) * lanes;
            for (pixel, sum) in sums.into_iter().enumerate() {
                sum.store(self.sums.add(pixel * lanes));
            }
            let residual = call.residual.get(self.block).map(|plane| plane.as_ptr().add(pixel * lanes));
            epilogue::<F>(self.sums, PIXELS, call.activation, residual, Destination::Map(self.output.add(at)));
        }
    }
}
