//! Softmax attention of one head over one area, on blocked planes.

use super::dispatch;
use super::lanes::{Lanes, exp};
use crate::engine::Isa;

/// One head over one area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// Pixels in the area.
    pub(crate) tokens: usize,
    /// What the products of queries and keys are multiplied by.
    pub(crate) scale: f32,
    /// `[tokens, lanes]` each.
    pub(crate) queries: &'a [&'a [f32]],
    /// `[tokens, lanes]` each; as many as the queries.
    pub(crate) keys: &'a [&'a [f32]],
    /// `[tokens, lanes]` each.
    pub(crate) values: &'a [&'a [f32]],
}

/// Queries at once.
const QUERIES: usize = 6;

/// Attend into `output`: `[tokens, lanes]` for each plane of the values. `scratch` is memory to work in, of any length.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn attend(isa: Isa, head: &Head<'_>, scratch: &mut Vec<f32>, output: &mut [&mut [f32]]) {
    let lanes = isa.lanes();
    assert_eq!(head.queries.len(), head.keys.len());
    assert_eq!(head.values.len(), output.len());
    for plane in [head.queries, head.keys, head.values].into_iter().flatten() {
        assert_eq!(plane.len(), head.tokens * lanes);
    }
    for plane in output.iter() {
        assert_eq!(plane.len(), head.tokens * lanes);
    }
    let depth = head.queries.len() * lanes;
    let padded = head.tokens.next_multiple_of(lanes);
    scratch.resize(padded * depth + QUERIES * (depth + padded), 0.0);
    pack_keys(head, lanes, &mut scratch[..padded * depth]);
    // SAFETY: the sizes were checked above.
    dispatch!(isa, body, (&Head<'_>, &mut [f32], &mut [&mut [f32]]), (head, scratch, output));
}

/// Keys as `[blocks of tokens, depth, lanes]`: a register then holds one component of neighbouring tokens.
fn pack_keys(head: &Head<'_>, lanes: usize, packed: &mut [f32]) {
    let depth = head.keys.len() * lanes;
    for (first, block) in (0..head.tokens).step_by(lanes).zip(packed.chunks_exact_mut(depth * lanes)) {
        let count = lanes.min(head.tokens - first);
        for (plane, components) in head.keys.iter().zip(block.chunks_exact_mut(lanes * lanes)) {
            let tokens = &plane[first * lanes..][..count * lanes];
            for (component, row) in components.chunks_exact_mut(lanes).enumerate() {
                row[count..].fill(0.0);
                for (value, token) in row.iter_mut().zip(tokens.chunks_exact(lanes)) {
                    *value = token[component];
                }
            }
        }
    }
}

/// # Safety
/// As [`Lanes`]; the sizes are as [`attend`] checks, and the scratch starts with the packed keys.
#[inline(always)]
unsafe fn body<L: Lanes>((head, scratch, output): (&Head<'_>, &mut [f32], &mut [&mut [f32]])) {
    let depth = head.queries.len() * L::N;
    let blocks = head.tokens.div_ceil(L::N);
    let padded = blocks * L::N;
    let keys = scratch.as_ptr();
    // SAFETY: `attend` made the scratch as long as the packed keys, `QUERIES` queries and as many rows of scores; every
    // token index stays below `head.tokens`, every block index below `blocks`.
    unsafe {
        let queries = scratch.as_mut_ptr().add(padded * depth);
        let scores = queries.add(QUERIES * depth);
        let mut first = 0;
        while first < head.tokens {
            let count = QUERIES.min(head.tokens - first);
            for query in 0..QUERIES {
                // A short last group is filled up with its last query: computed, not stored.
                let token = (first + query).min(head.tokens - 1);
                for (block, plane) in head.queries.iter().enumerate() {
                    L::load(plane.as_ptr().add(token * L::N)).store(queries.add(query * depth + block * L::N));
                }
            }
            let mut block = 0;
            while block < blocks {
                let keys = keys.add(block * depth * L::N);
                let scores = scores.add(block * L::N);
                if block + 1 < blocks {
                    products::<L, 2>(queries, depth, depth, keys, depth * L::N, L::N, scores, padded);
                    block += 2;
                } else {
                    products::<L, 1>(queries, depth, depth, keys, depth * L::N, L::N, scores, padded);
                    block += 1;
                }
            }
            let mut inverse_sums = [0.0; QUERIES];
            for (query, inverse_sum) in inverse_sums.iter_mut().enumerate() {
                let row = scores.add(query * padded);
                for token in head.tokens..padded {
                    *row.add(token) = f32::NEG_INFINITY;
                }
                let mut greatest = L::load(row);
                for block in 1..blocks {
                    greatest = greatest.max(L::load(row.add(block * L::N)));
                }
                // Score - greatest is 0 or less, as `scale` is positive.
                let scale = L::splat(head.scale);
                let offset = L::splat(-head.scale * greatest.maximum());
                let mut sum = L::splat(0.0);
                for block in 0..blocks {
                    let score = L::load(row.add(block * L::N));
                    let power = exp(score.mul_add(scale, offset));
                    power.store(row.add(block * L::N));
                    sum = sum.add(power);
                }
                let outside = (head.tokens..padded).fold(0.0, |sum, token| sum + *row.add(token));
                *inverse_sum = 1.0 / (sum.sum() - outside);
            }
            let mut block = 0;
            while block < output.len() {
                let pair = if block + 1 < output.len() { 2 } else { 1 };
                let mut result = [0.0_f32; QUERIES * 2 * 16];
                let result = result.as_mut_ptr();
                let values = head.values[block].as_ptr();
                if pair == 2 {
                    let distance = head.values[block + 1].as_ptr().byte_offset_from(values) / size_of::<f32>() as isize;
                    products_at::<L, 2>(scores, padded, head.tokens, values, distance, L::N, result, 2 * L::N);
                } else {
                    products_at::<L, 1>(scores, padded, head.tokens, values, 0, L::N, result, 2 * L::N);
                }
                for i in 0..pair {
                    let plane = output[block + i].as_mut_ptr();
                    for (query, &inverse_sum) in inverse_sums.iter().enumerate().take(count) {
                        let value = L::load(result.add((query * 2 + i) * L::N)).mul(L::splat(inverse_sum));
                        value.store(plane.add((first + query) * L::N));
                    }
                }
                block += pair;
            }
            first += QUERIES;
        }
    }
}

/// [`products_at`] where the second block lies behind the first.
///
/// # Safety
/// As [`products_at`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "three matrices, each with its strides")]
unsafe fn products<L: Lanes, const PAIR: usize>(
    rows: *const f32,
    row_stride: usize,
    length: usize,
    columns: *const f32,
    distance: usize,
    step: usize,
    result: *mut f32,
    result_stride: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        products_at::<L, PAIR>(rows, row_stride, length, columns, distance as isize, step, result, result_stride);
    }
}

/// `QUERIES` rows times `PAIR` blocks of columns: `result[query][i] = sum over k of rows[query][k] * columns[i][k]`.
///
/// # Safety
/// As [`Lanes`]; `rows` holds `QUERIES` rows of `length` values, `columns` and `columns + distance` each `length`
/// registers `step` apart, `result` `QUERIES` rows of `PAIR` registers.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "three matrices, each with its strides")]
unsafe fn products_at<L: Lanes, const PAIR: usize>(
    rows: *const f32,
    row_stride: usize,
    length: usize,
    columns: *const f32,
    distance: isize,
    step: usize,
    result: *mut f32,
    result_stride: usize,
) {
    // SAFETY: the caller vouches for the sizes.
    unsafe {
        let mut sums = [[L::splat(0.0); QUERIES]; PAIR];
        for k in 0..length {
            let mut factors = [L::splat(0.0); PAIR];
            for (i, factor) in factors.iter_mut().enumerate() {
                *factor = L::load(columns.offset(i as isize * distance).add(k * step));
            }
            for query in 0..QUERIES {
                let value = L::splat(*rows.add(query * row_stride + k));
                for i in 0..PAIR {
                    sums[i][query] = value.mul_add(factors[i], sums[i][query]);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (query, sum) in sums.into_iter().enumerate() {
                sum.store(result.add(query * result_stride + i * L::N));
            }
        }
    }
}
