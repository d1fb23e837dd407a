//! Convolution over all input channels, on blocked planes: directly, without the copy that im2col would need.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::Kernel;
use super::epilogue::{Activation, Destination, epilogue};
use super::format::{Columns, Format, Rows};
use super::lanes::Lanes;
use super::window::{MAX_PIXELS, SCRATCH, Window, padded_row};
use crate::engine::{Element, Isa};

/// One image through a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution<'a, E> {
    /// Which input pixels each output pixel reads.
    pub(crate) window: Window,
    /// Height and width of each plane.
    pub(crate) input: [usize; 2],
    /// Channels in each plane: the lanes, or 1 where each channel is a plane of its own.
    pub(crate) plane_channels: usize,
    /// The input: `[height, width, plane_channels]` each.
    pub(crate) planes: &'a [&'a [E]],
    /// `[output blocks in pairs, then a last single one; planes, kernel height, rounds, groups, pair, lanes, GROUP]`; see
    /// [`Rounds`].
    pub(crate) weights: &'a [E],
    /// One value for each output channel, in whole blocks.
    pub(crate) bias: &'a [f32],
    /// What is applied to the sums.
    pub(crate) activation: Activation,
    /// Planes like the output's, added at the end; empty if there is no residual.
    pub(crate) residual: &'a [&'a [E]],
}

/// Where the output of a convolution goes: `[blocks, output height, output width, lanes]`.
#[derive(Debug)]
pub(crate) enum Output<'a, E> {
    /// A map of the same element type as the input.
    Map(&'a mut [E]),
    /// A map of `f32`.
    F32(&'a mut [f32]),
}

/// How the loops go through the taps of one row of a kernel: one group of values at a time, multiplied at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Steps to the right.
    pub(crate) count: usize,
    /// Taps in each: more than 1 where a group is taps beside each other of one channel.
    pub(crate) taps: usize,
    /// Groups of channels in each.
    pub(crate) groups: usize,
    /// [`Isa::group`].
    group: usize,
    /// Pixels from one step to the next.
    advance: usize,
    /// The most pixels that a step reads.
    reach: usize,
}

impl Rounds {
    /// For planes of so many channels.
    pub(crate) fn of(isa: Isa, window: &Window, plane_channels: usize) -> Self {
        let [taps, dilation] = [window.kernel[1], window.dilation[1]];
        let group = isa.group();
        if plane_channels > 1 || group == 1 {
            Self { count: taps, taps: 1, groups: plane_channels.div_ceil(group), group, advance: dilation, reach: 1 }
        } else if dilation == 1 {
            // Where the last group is short of taps, it has neighbours of weight 0.
            let count = taps.div_ceil(group);
            Self { count, taps: group, groups: 1, group, advance: group, reach: group }
        } else {
            // The neighbours of all taps have a weight of 0.
            Self { count: taps, taps: 1, groups: 1, group, advance: dilation, reach: group }
        }
    }

    /// Input pixels that one output pixel reads of a row.
    fn span(&self) -> usize {
        (self.count - 1) * self.advance + self.reach
    }

    /// Weights of one row of a kernel, for one plane and one output channel.
    pub(crate) fn weights(&self) -> usize {
        self.count * self.groups * self.group
    }
}

/// Bytes of input that one round over the output channels should read: what stays in the second-level cache beside the
/// weights.
const ROUND: usize = 160 << 10;

/// Convolves into `output`.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn convolve<E: Element>(isa: Isa, convolution: &Convolution<'_, E>, mut output: Output<'_, E>) {
    let mut call = *convolution;
    let lanes = isa.lanes();
    let [height, width] = call.window.output(call.input);
    let blocks = call.bias.len() / lanes;
    let rounds = Rounds::of(isa, &call.window, call.plane_channels);
    assert!(call.plane_channels == lanes || call.plane_channels == 1);
    assert!(call.window.is_supported());
    assert_eq!(call.bias.len(), blocks * lanes);
    let (output, length) = match &mut output {
        Output::Map(output) => (Destination::Map(output.as_mut_ptr()), output.len()),
        Output::F32(output) => (Destination::F32(output.as_mut_ptr()), output.len()),
    };
    assert_eq!(length, blocks * height * width * lanes);
    let row_weights = rounds.weights() * lanes;
    assert_eq!(call.weights.len(), blocks * call.planes.len() * call.window.kernel[0] * row_weights);
    for plane in call.planes {
        assert_eq!(plane.len(), call.input[0] * call.input[1] * call.plane_channels);
    }
    assert!(call.residual.is_empty() || call.residual.len() == blocks);
    for plane in call.residual {
        assert_eq!(plane.len(), height * width * lanes);
    }
    if length == 0 {
        return;
    }
    if call.window.is_point() {
        // Pixels that look at nothing but themselves may as well be one row.
        call.input = [1, call.input[0] * call.input[1]];
    }
    // SAFETY: the sizes were checked above.
    unsafe { E::run(isa, Convolving { call: &call, rounds, output }) }
}

/// A stride that is known only at run time.
const ANY: usize = 0;

struct Convolving<'a, E> {
    call: &'a Convolution<'a, E>,
    rounds: Rounds,
    output: Destination<E>,
}

impl<E: Element> Kernel<E> for Convolving<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let Self { call, rounds, output } = self;
        let pixels_at_once = F::PIXELS;
        // Here and not in the tiles, of which there are many instances in this function.
        let mut scratch = MaybeUninit::<[E; SCRATCH]>::uninit();
        let scratch = scratch.as_mut_ptr().cast();
        let mut sums = MaybeUninit::<[f32; 2 * MAX_PIXELS * 16]>::uninit();
        let sums = sums.as_mut_ptr().cast();
        let [height, width] = call.window.output(call.input);
        // Sums that nothing follows go where they belong at once.
        let bare = match output {
            Destination::F32(output) if call.activation == Activation::None && call.residual.is_empty() => Some(output),
            _ => None,
        };
        let blocks = call.bias.len() / F::Lanes::N;
        let pixel_bytes = (call.planes.len() * call.plane_channels * size_of::<E>()).max(1);
        let (rows, columns) = if height == 1 {
            (1, (ROUND / (pixel_bytes * call.window.stride[1])).max(1).next_multiple_of(pixels_at_once))
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
                        let tiles = (right - left).div_ceil(pixels_at_once);
                        let (size, longer) = ((right - left) / tiles, (right - left) % tiles);
                        let mut x = left;
                        for tile in 0..tiles {
                            let end = x + size + usize::from(tile < longer);
                            while x < end {
                                let plane = height * width;
                                let at = Tile { call, rounds, scratch, sums, bare, output, width, plane, block, y, x };
                                // SAFETY: block, y and x are inside the output, and so are `end` pixels of it; the caller
                                // vouches for the rest.
                                let done = unsafe {
                                    match (pair, call.plane_channels == 1) {
                                        (2, false) => at.compute_some::<F, 2, false>(left, end),
                                        (_, false) => at.compute_some::<F, 1, false>(left, end),
                                        (2, true) => at.compute_some::<F, 2, true>(left, end),
                                        (_, true) => at.compute_some::<F, 1, true>(left, end),
                                    }
                                };
                                if bare.is_none() {
                                    // SAFETY: as above; the sums of `done` were just computed.
                                    unsafe { Tile { x: done.start, ..at }.epilogue::<F>(pair, done.len()) };
                                }
                                x = done.end;
                            }
                        }
                    }
                    block += pair;
                }
                left = right;
            }
            top = bottom;
        }
    }
}

/// A few neighbouring output pixels of one or two output blocks.
#[derive(Clone, Copy)]
struct Tile<'a, E> {
    call: &'a Convolution<'a, E>,
    rounds: Rounds,
    /// For the input of a tile at the border.
    scratch: *mut E,
    /// For the sums of a tile.
    sums: *mut f32,
    /// The output, if it is the sums as they are.
    bare: Option<*mut f32>,
    output: Destination<E>,
    /// Of the output.
    width: usize,
    /// Pixels in an output plane.
    plane: usize,
    block: usize,
    y: usize,
    x: usize,
}

/// A tile of `PAIR` blocks and `PIXELS` pixels of this stride, of planes of one channel or of as many as a register holds.
struct OfSize<'a, E, const PAIR: usize, const PIXELS: usize, const PLANAR: bool, const STRIDE: usize>(Tile<'a, E>);

impl<E: Element, const PAIR: usize, const PIXELS: usize, const PLANAR: bool, const STRIDE: usize> Kernel<E>
    for OfSize<'_, E, PAIR, PIXELS, PLANAR, STRIDE>
{
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        // SAFETY: the caller's.
        unsafe { self.0.compute::<F, PAIR, PIXELS, PLANAR, STRIDE>() }
    }
}

impl<E: Element> Tile<'_, E> {
    /// Computes the sums of the next pixels up to `end` and returns which pixels they are. A row has room from `first` on: if no
    /// instance has the wanted size, the next larger one starts further left and computes some pixels once more.
    ///
    /// Each instance takes time to compile and space in the cache. So there are those that YOLO's widths (multiples of 20) are
    /// cut into, with constant strides, and as few others as the other widths need.
    ///
    /// # Safety
    /// As [`Tile::compute`]; the pixels from `first` to `end` are inside the output.
    #[inline(always)]
    unsafe fn compute_some<F: Format<Element = E>, const PAIR: usize, const PLANAR: bool>(
        self,
        first: usize,
        end: usize,
    ) -> Range<usize> {
        let stride = self.call.window.stride[1];
        let (wanted, room) = (end - self.x, end - first);
        // SAFETY: the caller's; `from` returns a tile that ends at or before `end` and starts at or after `first`.
        unsafe {
            let from = |pixels: usize| Tile { x: self.x.min(end - pixels), ..self };
            // What is asked for, in the size that has it or the next one, if that has room.
            let fits = |pixels: usize, less: usize| wanted > less && room >= pixels;
            macro_rules! compute {
                ($pixels:literal, $stride:expr) => {{
                    let at = from($pixels);
                    F::apart(OfSize::<'_, E, PAIR, $pixels, PLANAR, $stride>(at));
                    return at.x..at.x + $pixels;
                }};
            }
            if const { F::PIXELS == 10 } {
                match stride {
                    1 if !PLANAR && fits(10, 8) => compute!(10, 1),
                    2 if fits(10, 8) => compute!(10, 2),
                    _ if fits(8, if PLANAR { 1 } else { 6 }) => compute!(8, ANY),
                    _ if !PLANAR && fits(6, 4) => compute!(6, ANY),
                    _ if !PLANAR && fits(4, 1) => compute!(4, ANY),
                    _ => {}
                }
            } else if const { F::PIXELS == 6 } {
                match stride {
                    1 if !PLANAR && fits(6, 5) => compute!(6, 1),
                    1 if !PLANAR && fits(5, 3) => compute!(5, 1),
                    2 if fits(6, if PLANAR { 3 } else { 5 }) => compute!(6, 2),
                    2 if !PLANAR && fits(5, 3) => compute!(5, 2),
                    _ if fits(3, 1) => compute!(3, ANY),
                    _ => {}
                }
            } else if const { F::PIXELS == 5 } {
                match stride {
                    1 if !PLANAR && fits(5, 3) => compute!(5, 1),
                    2 if fits(5, 3) => compute!(5, 2),
                    _ if fits(3, 1) => compute!(3, ANY),
                    _ => {}
                }
            } else if const { F::PIXELS == 4 } {
                match stride {
                    1 if !PLANAR && fits(4, 2) => compute!(4, 1),
                    2 if fits(4, 2) => compute!(4, 2),
                    _ if fits(2, 1) => compute!(2, ANY),
                    _ => {}
                }
            } else if fits(2, 1) {
                compute!(2, ANY);
            }
            compute!(1, ANY)
        }
    }

    /// Activates the sums of `pixels` pixels of `pair` blocks, adds the residual, and stores them.
    ///
    /// # Safety
    /// As [`Tile::compute`], which has left the sums of that many.
    #[inline(always)]
    unsafe fn epilogue<F: Format<Element = E>>(self, pair: usize, pixels: usize) {
        let lanes = F::Lanes::N;
        let pixel = self.y * self.width + self.x;
        for i in 0..pair {
            // SAFETY: residual and output hold what their shapes say; the tile is inside them.
            unsafe {
                let residual = self.call.residual.get(self.block + i).map(|plane| plane.as_ptr().add(pixel * lanes));
                let output = self.output.add(((self.block + i) * self.plane + pixel) * lanes);
                epilogue::<F>(self.sums.add(i * pixels * lanes), pixels, self.call.activation, residual, output);
            }
        }
    }

    /// Computes the sums of `PIXELS` pixels of `PAIR` blocks, bias included.
    ///
    /// # Safety
    /// As [`Lanes`]; the sizes are as [`convolve`] checks, and the tile is inside the output.
    #[inline(always)]
    unsafe fn compute<F, const PAIR: usize, const PIXELS: usize, const PLANAR: bool, const STRIDE: usize>(self)
    where
        F: Format<Element = E>,
    {
        let lanes = F::Lanes::N;
        let Self { call, rounds, scratch, .. } = self;
        let window = &call.window;
        let channels = if PLANAR { 1 } else { lanes };
        let groups = if PLANAR { 1 } else { lanes / F::GROUP };
        let taps_y = window.kernel[0];
        let width = call.input[1] as isize;
        // Known to the compiler where it can be, so that the pixels' addresses are constants beside one register.
        let stride = if STRIDE == ANY { window.stride[1] } else { STRIDE };
        let step = stride * channels;
        let advance = rounds.advance * channels;
        let span = (PIXELS - 1) * window.stride[1] + rounds.span();
        let first_x = (self.x * window.stride[1]) as isize - window.before[1] as isize;
        let at_border = first_x < 0 || first_x + span as isize > width;
        let (first_row, end_row) = window.rows(self.y, call.input[0]);
        let top = (self.y * window.stride[0]) as isize - window.before[0] as isize;
        // SAFETY: a tap outside the input is either in no row of `first_row..end_row` or read from `scratch`, which is
        // zero there; weights, bias, planes and output hold what their shapes say.
        unsafe {
            let row_weights = rounds.count * groups * F::GROUP * lanes;
            let weights = call.weights.as_ptr().add(self.block * call.planes.len() * taps_y * row_weights);
            if at_border {
                scratch.write_bytes(0, span * channels);
            }
            let bias = |i: usize| F::Lanes::load(call.bias.as_ptr().add((self.block + i) * lanes));
            let mut sums = F::start::<PAIR, PIXELS>(std::array::from_fn(bias));
            for (index, plane) in call.planes.iter().enumerate() {
                for tap_y in first_row..end_row {
                    let y = top + (tap_y * window.dilation[0]) as isize;
                    let row = plane.as_ptr().offset(y * width * channels as isize);
                    let mut values = if at_border {
                        padded_row(row, width, first_x, span, channels, scratch)
                    } else {
                        row.offset(first_x * channels as isize)
                    };
                    let mut weight = weights.add((index * taps_y + tap_y) * PAIR * row_weights);
                    for _ in 0..rounds.count {
                        let group = lanes * F::GROUP;
                        let rows = Rows { first: values, step, groups };
                        let columns =
                            Columns { first: std::array::from_fn(|i| weight.add(i * group)), step: PAIR * group };
                        F::accumulate(&mut sums, rows, columns);
                        weight = weight.add(groups * PAIR * group);
                        // Beyond the last round it may point outside, where nothing is read.
                        values = values.wrapping_add(advance);
                    }
                }
            }
            let (to, block) = match self.bare {
                Some(output) => {
                    (output.add((self.block * self.plane + self.y * self.width + self.x) * lanes), self.plane)
                }
                None => (self.sums, PIXELS),
            };
            for (i, sums) in F::finish(sums).into_iter().enumerate() {
                for (pixel, sum) in sums.into_iter().enumerate() {
                    sum.store(to.add((i * block + pixel) * lanes));
                }
            }
        }
    }
}
