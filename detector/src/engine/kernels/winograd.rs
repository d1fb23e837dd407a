//! Convolutions of 3x3 by 1 with a quarter of the products: Winograd's F(4x4, 3x3).
//!
//! A tile of 4x4 output pixels needs 6x6 input pixels. Both they and the kernel are taken as polynomials, evaluated at six
//! points each way (0, ±√½, ±√2, ∞), multiplied there and interpolated: 36 products for each pair of channels instead of 144.
//! The products of all tiles at one place are a matrix product, computed by [`convolve`] as a convolution of 1x1. The points are those
//! that ncnn takes: with 0, ±1, ±2, ∞ of the first paper (Lavin and Gray, 2015) roundings weigh several times as much.

use std::ops::Range;

use super::Kernel;
use super::convolution::{Convolution, Output, convolve};
use super::epilogue::{Activation, Destination, epilogue};
use super::format::Format;
use super::lanes::Lanes;
use super::window::Window;
use crate::engine::{Element, Isa};

/// Output pixels of a tile, each way.
const OUTPUT: usize = 4;

/// Input pixels of a tile, and points, each way.
const INPUT: usize = OUTPUT + 2;

/// Places at which a tile and a kernel are multiplied.
pub(crate) const PLACES: usize = INPUT * INPUT;

/// `√½` and `√2`, the points beside 0 and infinity, as are their negatives.
const POINTS: [f32; 2] = [std::f32::consts::FRAC_1_SQRT_2, std::f32::consts::SQRT_2];

/// Bytes of transformed input and output that are worked on at once: about what stays in the second-level cache beside the weights of a place.
const BATCH: usize = 384 << 10;

/// Whether the algorithm can compute convolutions of this window.
pub(crate) fn is_supported(window: &Window) -> bool {
    window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1]
}

/// The convolution at each place that is a point.
pub(crate) const POINT: Window =
    Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], before: [0, 0], after: [0, 0] };

/// Weights of a kernel.
pub(crate) const TAPS: usize = 9;

/// Kernels that are transformed at once: as many as two blocks of outputs have, at most.
const KERNELS: usize = 32;

/// Kernels of one input channel, and their values at the points.
#[derive(Debug)]
pub(crate) struct Kernels {
    taps: [[f32; KERNELS]; TAPS],
    places: [[f32; KERNELS]; PLACES],
}

impl Default for Kernels {
    fn default() -> Self {
        Self { taps: [[0.0; KERNELS]; TAPS], places: [[0.0; KERNELS]; PLACES] }
    }
}

impl Kernels {
    /// Take the first [`TAPS`] values of each of these, and zeros for those that are missing, to the points.
    ///
    /// # Panics
    /// If there are more than fit.
    pub(crate) fn transform<'a>(&mut self, isa: Isa, kernels: impl ExactSizeIterator<Item = &'a [f32]>) {
        for taps in &mut self.taps {
            taps[kernels.len()..].fill(0.0);
        }
        for (index, kernel) in kernels.enumerate() {
            for (taps, &value) in self.taps.iter_mut().zip(&kernel[..TAPS]) {
                taps[index] = value;
            }
        }
        // SAFETY: it reads and writes its own arrays only.
        unsafe { f32::run(isa.in_f32(), TransformingKernels(self)) }
    }

    /// For each of the [`PLACES`] the values of all kernels.
    pub(crate) fn places(&self) -> &[[f32; KERNELS]; PLACES] {
        &self.places
    }
}

struct TransformingKernels<'a>(&'a mut Kernels);

impl Kernel<f32> for TransformingKernels<'_> {
    // Loops that the compiler turns into the instruction set's.
    #[inline(always)]
    unsafe fn run<F: Format<Element = f32>>(self) {
        let Kernels { taps, places } = self.0;
        let [near, far] = [-2.0 / 3.0, 1.0 / 6.0];
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let root = std::f64::consts::SQRT_2;
        // Each row is 1, the point and its square, divided by its distances to the other points.
        let rows: [[f64; 3]; INPUT] = [
            [1.0, 0.0, 0.0],
            [near, near * half, near * 0.5],
            [near, -near * half, near * 0.5],
            [far, far * root, far * 2.0],
            [far, -far * root, far * 2.0],
            [0.0, 0.0, 1.0],
        ];
        let mut columns = [[[0.0_f64; KERNELS]; INPUT]; 3];
        for (x, column) in columns.iter_mut().enumerate() {
            for (row, values) in rows.iter().zip(column) {
                for i in 0..KERNELS {
                    let tap = |y: usize| f64::from(taps[y * 3 + x][i]);
                    values[i] = row[0] * tap(0) + row[1] * tap(1) + row[2] * tap(2);
                }
            }
        }
        for (place, values) in places.iter_mut().enumerate() {
            let (y, row) = (place / INPUT, &rows[place % INPUT]);
            for i in 0..KERNELS {
                values[i] = (row[0] * columns[0][y][i] + row[1] * columns[1][y][i] + row[2] * columns[2][y][i]) as f32;
            }
        }
    }
}

/// Memory that one convolution leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// `[places, input planes, tiles, lanes]`.
    inputs: Vec<f32>,
    /// `[places, output blocks, tiles, lanes]`.
    products: Vec<f32>,
}

/// Tiles that are worked on at once, and where a place of them begins in the scratch.
struct Batch {
    tiles: Range<usize>,
    /// Tiles beside each other in the image.
    columns: usize,
    /// Values from one place to the next, of the input and of the output.
    places: [usize; 2],
}

/// [`convolve`], of a window that [`is_supported`]; instead of the call's weights it takes those of [`Kernels`], each place packed by itself as for
/// [`POINT`], one behind the other. Products are of `f32`, whatever the maps are.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn convolve_winograd<E: Element>(
    isa: Isa,
    call: &Convolution<'_, E>,
    weights: &[f32],
    scratch: &mut Scratch,
    mut output: Output<'_, E>,
) {
    let lanes = isa.lanes();
    let [height, width] = call.window.output(call.input);
    let (planes, blocks) = (call.planes.len(), call.bias.len() / lanes);
    assert!(is_supported(&call.window) && call.plane_channels == lanes);
    assert_eq!(call.bias.len(), blocks * lanes);
    assert_eq!(weights.len(), PLACES * planes * blocks * lanes * lanes);
    let (output, length) = match &mut output {
        Output::Map(output) => (Destination::Map(output.as_mut_ptr()), output.len()),
        Output::F32(output) => (Destination::F32(output.as_mut_ptr()), output.len()),
    };
    assert_eq!(length, blocks * height * width * lanes);
    for plane in call.planes {
        assert_eq!(plane.len(), call.input[0] * call.input[1] * lanes);
    }
    assert!(call.residual.is_empty() || call.residual.len() == blocks);
    for plane in call.residual {
        assert_eq!(plane.len(), height * width * lanes);
    }
    if length == 0 {
        return;
    }
    let columns = width.div_ceil(OUTPUT);
    let all = columns * height.div_ceil(OUTPUT);
    let tile_values = (planes + blocks) * lanes;
    // Batches of like size.
    let most = (BATCH / (PLACES * tile_values * size_of::<f32>())).max(24);
    let size = all.div_ceil(all.div_ceil(most));
    // A line more than they need, so that places don't compete for the same lines of the cache.
    let places = [planes, blocks].map(|count| (count * size + 1) * lanes);
    scratch.inputs.resize((PLACES * places[0]).max(scratch.inputs.len()), 0.0);
    scratch.products.resize((PLACES * places[1]).max(scratch.products.len()), 0.0);
    let no_bias = vec![0.0; call.bias.len()];
    for first in (0..all).step_by(size) {
        let batch = Batch { tiles: first..(first + size).min(all), columns, places };
        let count = batch.tiles.len();
        // SAFETY: the sizes were checked above, and the scratch has room for `size` tiles.
        unsafe { E::run(isa, Evaluating { call, batch: &batch, to: scratch.inputs.as_mut_ptr() }) }
        for place in 0..PLACES {
            let inputs: Vec<&[f32]> =
                scratch.inputs[place * places[0]..].chunks_exact(count * lanes).take(planes).collect();
            let product = Convolution {
                window: POINT,
                input: [1, count],
                plane_channels: lanes,
                planes: &inputs,
                weights: &weights[place * (weights.len() / PLACES)..][..weights.len() / PLACES],
                bias: &no_bias,
                activation: Activation::None,
                residual: &[],
            };
            let products = &mut scratch.products[place * places[1]..][..blocks * count * lanes];
            convolve(isa.in_f32(), &product, Output::F32(products));
        }
        // SAFETY: as above.
        unsafe { E::run(isa, Interpolating { call, batch: &batch, from: scratch.products.as_ptr(), output }) }
    }
}

/// Values of a polynomial of six coefficients at the points.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn evaluate<L: Lanes>(x: [L; INPUT]) -> [L; INPUT] {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let scaled = |value: L, factor: f32, summand: L| value.mul_add(L::splat(factor), summand);
        let pair = |point: f32, other: f32| {
            let even = scaled(x[2], -other * other, x[4]);
            let odd = scaled(x[1], -other * other, x[3]).mul(L::splat(point));
            [even.add(odd), even.sub(odd)]
        };
        let [a, b] = pair(POINTS[0], POINTS[1]);
        let [c, d] = pair(POINTS[1], POINTS[0]);
        [scaled(x[2], -2.5, x[0].add(x[4])), a, b, c, d, scaled(x[3], -2.5, x[1].add(x[5]))]
    }
}

/// Four sums of products from their values at the points.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn interpolate<L: Lanes>(m: [L; INPUT]) -> [L; OUTPUT] {
    let [near, far] = POINTS;
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let (near_even, near_odd) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (far_even, far_odd) = (m[3].add(m[4]), m[3].sub(m[4]));
        let both = |a: L, a_factor: f32, b: L, b_factor: f32| a.mul_add(L::splat(a_factor), b.mul(L::splat(b_factor)));
        [
            m[0].add(near_even).add(far_even),
            both(near_odd, near, far_odd, far),
            both(near_even, near * near, far_even, far * far),
            both(near_odd, near * near * near, far_odd, far * far * far).add(m[5]),
        ]
    }
}

/// The input of a batch at the points.
struct Evaluating<'a, E> {
    call: &'a Convolution<'a, E>,
    batch: &'a Batch,
    to: *mut f32,
}

impl<E: Element> Kernel<E> for Evaluating<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let Self { call, batch, to } = self;
        let lanes = F::Lanes::N;
        let [height, width] = call.input.map(|side| side as isize);
        let count = batch.tiles.len();
        for (index, plane) in call.planes.iter().enumerate() {
            for (slot, tile) in batch.tiles.clone().enumerate() {
                let top = (tile / batch.columns * OUTPUT) as isize - call.window.before[0] as isize;
                let left = (tile % batch.columns * OUTPUT) as isize - call.window.before[1] as isize;
                let (bottom, right) = (top + INPUT as isize, left + INPUT as isize);
                let is_inside = top >= 0 && left >= 0 && bottom <= height && right <= width;
                // SAFETY: only pixels inside the plane are read; the scratch has a place for each tile of each plane.
                unsafe {
                    let first = plane.as_ptr().wrapping_offset((top * width + left) * lanes as isize);
                    let mut half = [[F::Lanes::splat(0.0); INPUT]; INPUT];
                    for (x, half) in half.iter_mut().enumerate() {
                        let mut column = [F::Lanes::splat(0.0); INPUT];
                        for (y, value) in column.iter_mut().enumerate() {
                            let (row, at) = (top + y as isize, left + x as isize);
                            if is_inside || ((0..height).contains(&row) && (0..width).contains(&at)) {
                                *value =
                                    F::load(first.wrapping_offset((y as isize * width + x as isize) * lanes as isize));
                            }
                        }
                        *half = evaluate(column);
                    }
                    let to = to.add((index * count + slot) * lanes);
                    for y in 0..INPUT {
                        let row = evaluate(std::array::from_fn(|x| half[x][y]));
                        for (x, value) in row.into_iter().enumerate() {
                            value.store(to.add((y * INPUT + x) * batch.places[0]));
                        }
                    }
                }
            }
        }
    }
}

/// The output of a batch from the products at the points.
struct Interpolating<'a, E> {
    call: &'a Convolution<'a, E>,
    batch: &'a Batch,
    from: *const f32,
    output: Destination<E>,
}

impl<E: Element> Kernel<E> for Interpolating<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let Self { call, batch, from, output } = self;
        let lanes = F::Lanes::N;
        let [height, width] = call.window.output(call.input);
        let count = batch.tiles.len();
        for block in 0..call.bias.len() / lanes {
            let residual = call.residual.get(block).map(|plane| plane.as_ptr());
            for (slot, tile) in batch.tiles.clone().enumerate() {
                let (top, left) = (tile / batch.columns * OUTPUT, tile % batch.columns * OUTPUT);
                let (rows, pixels) = (OUTPUT.min(height - top), OUTPUT.min(width - left));
                // SAFETY: the products of each tile of each block are there; of the output and the residual only pixels
                // inside are touched.
                unsafe {
                    let bias = F::Lanes::load(call.bias.as_ptr().add(block * lanes));
                    let from = from.add((block * count + slot) * lanes);
                    let mut half = [[F::Lanes::splat(0.0); OUTPUT]; INPUT];
                    for (x, half) in half.iter_mut().enumerate() {
                        *half = interpolate(std::array::from_fn(|y| {
                            F::Lanes::load(from.add((y * INPUT + x) * batch.places[1]))
                        }));
                    }
                    for y in 0..rows {
                        let mut sums = [0.0; OUTPUT * 16];
                        let row = interpolate(std::array::from_fn(|x| half[x][y]));
                        for (x, value) in row.into_iter().enumerate() {
                            value.add(bias).store(sums.as_mut_ptr().add(x * lanes));
                        }
                        let pixel = (top + y) * width + left;
                        let residual = residual.map(|plane| plane.add(pixel * lanes));
                        let output = output.add((block * height * width + pixel) * lanes);
                        epilogue::<F>(sums.as_ptr(), pixels, call.activation, residual, output);
                    }
                }
            }
        }
    }
}
