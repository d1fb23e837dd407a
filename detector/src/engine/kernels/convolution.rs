//! Convolution over all input channels, on blocked planes.

use std::mem::MaybeUninit;

use super::lanes::{Lanes, silu};
use crate::engine::Isa;

/// Height and width of a kernel, its strides, dilations and padding; one number for the height, one for the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    /// Taps.
    pub(crate) kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub(crate) stride: [usize; 2],
    /// Input pixels from one tap to the next.
    pub(crate) dilation: [usize; 2],
    /// Zeros above and left of the input.
    pub(crate) before: [usize; 2],
    /// Zeros below and right of the input.
    pub(crate) after: [usize; 2],
}

impl Window {
    /// Height and width of the output for an input of this height and width; 0 where no window fits.
    pub(crate) fn output(&self, input: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let span = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let padded = input[axis] + self.before[axis] + self.after[axis];
            if padded < span { 0 } else { (padded - span) / self.stride[axis] + 1 }
        })
    }

    /// Whether each output pixel reads the input pixel at its own place and nothing else.
    pub(crate) fn is_point(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.before == [0, 0] && self.after == [0, 0]
    }

    /// Whether its border tiles fit the scratch row of the kernels.
    pub(crate) fn is_supported(&self) -> bool {
        let span = (MAX_PIXELS - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1;
        span <= MAX_SPAN
    }

    /// The taps along the height that meet the input, for the output row `y`.
    #[inline(always)]
    pub(super) fn rows(&self, y: usize, height: usize) -> (usize, usize) {
        let top = y * self.stride[0];
        let first = self.before[0].saturating_sub(top).div_ceil(self.dilation[0]);
        let end = (height + self.before[0]).saturating_sub(top).div_ceil(self.dilation[0]);
        (first.min(self.kernel[0]), end.min(self.kernel[0]))
    }
}

/// The most pixels that any kernel computes at once.
pub(super) const MAX_PIXELS: usize = 10;
/// The most input pixels in a row that so many output pixels may need.
pub(super) const MAX_SPAN: usize = 64;
/// `f32` in the scratch row of a tile at the border.
pub(super) const SCRATCH: usize = MAX_SPAN * 16;

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// `x * sigmoid(x)`.
    Silu,
}

/// One image through a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution<'a> {
    /// Which values meet.
    pub(crate) window: Window,
    /// Height and width of each plane.
    pub(crate) input: [usize; 2],
    /// Channels in each plane: the lanes, or 1 where each channel is a plane of its own.
    pub(crate) plane_channels: usize,
    /// The input: `[height, width, plane_channels]` each.
    pub(crate) planes: &'a [&'a [f32]],
    /// `[output blocks in pairs, then a last single one; planes, kernel height, kernel width, plane_channels, pair, lanes]`.
    pub(crate) weights: &'a [f32],
    /// One value for each output channel, in whole blocks.
    pub(crate) bias: &'a [f32],
    /// What follows.
    pub(crate) activation: Activation,
    /// Planes like the output's, added at the end; empty for none.
    pub(crate) residual: &'a [&'a [f32]],
}

/// Bytes of input that one round over the output channels should read: what stays in the second-level cache beside the
/// weights.
const ROUND: usize = 160 << 10;

/// Convolve into `output`: `[blocks, output height, output width, lanes]`.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn convolve(isa: Isa, convolution: &Convolution<'_>, output: &mut [f32]) {
    let mut call = *convolution;
    let lanes = isa.lanes();
    let [height, width] = call.window.output(call.input);
    let blocks = call.bias.len() / lanes;
    let taps = call.window.kernel[0] * call.window.kernel[1];
    assert!(call.plane_channels == lanes || call.plane_channels == 1);
    assert!(call.window.is_supported());
    assert_eq!(call.bias.len(), blocks * lanes);
    assert_eq!(output.len(), blocks * height * width * lanes);
    assert_eq!(call.weights.len(), blocks * call.planes.len() * taps * call.plane_channels * lanes);
    for plane in call.planes {
        assert_eq!(plane.len(), call.input[0] * call.input[1] * call.plane_channels);
    }
    assert!(call.residual.is_empty() || call.residual.len() == blocks);
    for plane in call.residual {
        assert_eq!(plane.len(), height * width * lanes);
    }
    if output.is_empty() {
        return;
    }
    if call.window.is_point() {
        // Pixels that look at nothing but themselves may as well be one row.
        call.input = [1, call.input[0] * call.input[1]];
    }
    // SAFETY: the sizes were checked above.
    dispatch!(isa, body, (&Convolution<'_>, &mut [f32]), (&call, output));
}

use super::dispatch;

/// # Safety
/// As [`Lanes`]; the sizes are as [`convolve`] checks.
#[inline(always)]
unsafe fn body<L: Lanes>((call, output): (&Convolution<'_>, &mut [f32])) {
    let [height, width] = call.window.output(call.input);
    let blocks = call.bias.len() / L::N;
    let pixel_bytes = (call.planes.len() * call.plane_channels * size_of::<f32>()).max(1);
    let (rows, columns) = if height == 1 {
        (1, (ROUND / (pixel_bytes * call.window.stride[1])).next_multiple_of(L::PIXELS))
    } else {
        (ROUND.div_ceil(pixel_bytes * call.input[1] * call.window.stride[0]).max(2), width)
    };
    let mut top = 0;
    while top < height {
        let bottom = (top + rows).min(height);
        let mut left = 0;
        while left < width {
            let right = (left + columns).min(width);
            let mut block = 0;
            while block < blocks {
                let pair = if block + 1 < blocks { 2 } else { 1 };
                for y in top..bottom {
                    // Tiles of like size: a last one of one pixel would cost as much as a full one.
                    let tiles = (right - left).div_ceil(L::PIXELS);
                    let (size, longer) = ((right - left) / tiles, (right - left) % tiles);
                    let mut x = left;
                    for tile in 0..tiles {
                        let pixels = size + usize::from(tile < longer);
                        let at = Tile { call, output: output.as_mut_ptr(), width, plane: height * width, block, y, x };
                        // SAFETY: block, y and x are inside the output; the caller vouches for the rest.
                        unsafe {
                            match (pair, call.plane_channels == 1, call.window.stride[1]) {
                                (2, false, 1) => at.of_pixels::<L, 2, false, 1>(pixels),
                                (2, false, 2) => at.of_pixels::<L, 2, false, 2>(pixels),
                                (2, false, _) => at.of_pixels::<L, 2, false, ANY>(pixels),
                                (_, false, _) => at.of_pixels::<L, 1, false, ANY>(pixels),
                                (2, true, 2) => at.of_pixels::<L, 2, true, 2>(pixels),
                                (2, true, _) => at.of_pixels::<L, 2, true, ANY>(pixels),
                                (_, true, _) => at.of_pixels::<L, 1, true, ANY>(pixels),
                            }
                        }
                        x += pixels;
                    }
                }
                block += pair;
            }
            left = right;
        }
        top = bottom;
    }
}

/// A stride that is known only at run time.
const ANY: usize = 0;

/// A few neighbouring output pixels of one or two output blocks.
#[derive(Clone, Copy)]
struct Tile<'a> {
    call: &'a Convolution<'a>,
    output: *mut f32,
    /// Of the output.
    width: usize,
    /// Pixels in an output plane.
    plane: usize,
    block: usize,
    y: usize,
    x: usize,
}

impl Tile<'_> {
    /// # Safety
    /// As [`Tile::compute`].
    #[inline(always)]
    unsafe fn of_pixels<L: Lanes, const PAIR: usize, const PLANAR: bool, const STRIDE: usize>(self, pixels: usize) {
        // SAFETY: the caller's.
        unsafe {
            match pixels {
                1 => self.compute::<L, PAIR, 1, PLANAR, STRIDE>(),
                2 => self.compute::<L, PAIR, 2, PLANAR, STRIDE>(),
                3 => self.compute::<L, PAIR, 3, PLANAR, STRIDE>(),
                4 => self.compute::<L, PAIR, 4, PLANAR, STRIDE>(),
                5 if L::PIXELS >= 5 => self.compute::<L, PAIR, 5, PLANAR, STRIDE>(),
                6 if L::PIXELS >= 6 => self.compute::<L, PAIR, 6, PLANAR, STRIDE>(),
                7 if L::PIXELS >= 7 => self.compute::<L, PAIR, 7, PLANAR, STRIDE>(),
                8 if L::PIXELS >= 8 => self.compute::<L, PAIR, 8, PLANAR, STRIDE>(),
                9 if L::PIXELS >= 9 => self.compute::<L, PAIR, 9, PLANAR, STRIDE>(),
                10 if L::PIXELS >= 10 => self.compute::<L, PAIR, 10, PLANAR, STRIDE>(),
                _ => unreachable!("a tile has at most {} pixels", L::PIXELS),
            }
        }
    }

    /// # Safety
    /// As [`Lanes`]; the sizes are as [`convolve`] checks, and the tile is inside the output.
    #[inline(always)]
    unsafe fn compute<L: Lanes, const PAIR: usize, const PIXELS: usize, const PLANAR: bool, const STRIDE: usize>(self) {
        let call = self.call;
        let window = &call.window;
        let channels = if PLANAR { 1 } else { L::N };
        let [taps_y, taps_x] = window.kernel;
        let width = call.input[1] as isize;
        // Known to the compiler where it can be, so that the pixels' addresses are constants beside one register.
        let stride = if STRIDE == ANY { window.stride[1] } else { STRIDE };
        let step = stride * channels;
        let dilation = window.dilation[1] * channels;
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
            let weights = call.weights.as_ptr().add(self.block * call.planes.len() * taps_y * taps_x * channels * L::N);
            if at_border {
                scratch.write_bytes(0, span * channels);
            }
            let mut sums = [[L::splat(0.0); PIXELS]; PAIR];
            for (i, sums) in sums.iter_mut().enumerate() {
                let bias = L::load(call.bias.as_ptr().add((self.block + i) * L::N));
                *sums = [bias; PIXELS];
            }
            for (index, plane) in call.planes.iter().enumerate() {
                for tap_y in first_row..end_row {
                    let y = top + (tap_y * window.dilation[0]) as isize;
                    let row = plane.as_ptr().offset(y * width * channels as isize);
                    let mut values = if at_border {
                        let skipped = (-first_x).max(0);
                        let count = (first_x + span as isize).min(width) - (first_x + skipped);
                        if count > 0 {
                            std::ptr::copy_nonoverlapping(
                                row.offset((first_x + skipped) * channels as isize),
                                scratch.offset(skipped * channels as isize),
                                count as usize * channels,
                            );
                        }
                        scratch.cast_const()
                    } else {
                        row.offset(first_x * channels as isize)
                    };
                    let mut weight = weights.add((index * taps_y + tap_y) * taps_x * channels * PAIR * L::N);
                    for _ in 0..taps_x {
                        for channel in 0..channels {
                            let mut factors = [L::splat(0.0); PAIR];
                            for (i, factor) in factors.iter_mut().enumerate() {
                                *factor = L::load(weight.add(i * L::N));
                            }
                            for pixel in 0..PIXELS {
                                let value = L::splat(*values.add(pixel * step + channel));
                                for i in 0..PAIR {
                                    sums[i][pixel] = value.mul_add(factors[i], sums[i][pixel]);
                                }
                            }
                            weight = weight.add(PAIR * L::N);
                        }
                        values = values.add(dilation);
                    }
                }
            }
            let pixel = self.y * self.width + self.x;
            for (i, sums) in sums.into_iter().enumerate() {
                let output = self.output.add(((self.block + i) * self.plane + pixel) * L::N);
                for (pixel, sum) in sums.into_iter().enumerate() {
                    sum.store(output.add(pixel * L::N));
                }
            }
            // In a second pass, so that the sums never leave their registers.
            if call.activation == Activation::Silu {
                for i in 0..PAIR {
                    let output = self.output.add(((self.block + i) * self.plane + pixel) * L::N);
                    for pixel in 0..PIXELS {
                        silu(L::load(output.add(pixel * L::N))).store(output.add(pixel * L::N));
                    }
                }
            }
            if !call.residual.is_empty() {
                for i in 0..PAIR {
                    let output = self.output.add(((self.block + i) * self.plane + pixel) * L::N);
                    let residual = call.residual[self.block + i].as_ptr().add(pixel * L::N);
                    for pixel in 0..PIXELS {
                        let sum = L::load(output.add(pixel * L::N)).add(L::load(residual.add(pixel * L::N)));
                        sum.store(output.add(pixel * L::N));
                    }
                }
            }
        }
    }
}
