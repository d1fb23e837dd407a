//! Softmax attention of one head over one area, on blocked planes.

use super::Kernel;
use super::format::{Columns, Format, Rows};
use super::lanes::{Lanes, exp};
use crate::engine::{Element, Isa};

/// One head over one area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionHead<'a, E> {
    /// Pixels in the area.
    pub(crate) tokens: usize,
    /// The factor of the products of queries and keys.
    pub(crate) scale: f32,
    /// `[tokens, lanes]` each.
    pub(crate) queries: &'a [&'a [E]],
    /// `[tokens, lanes]` each; as many as the queries.
    pub(crate) keys: &'a [&'a [E]],
    /// `[tokens, lanes]` each.
    pub(crate) values: &'a [&'a [E]],
}

/// Memory to work in, reused by each call.
#[derive(Debug)]
pub(crate) struct Scratch<E> {
    /// `[blocks of tokens, groups of components, lanes, GROUP]`: a register then holds one group of components of
    /// neighbouring tokens.
    keys: Vec<E>,
    /// `[planes, groups of tokens, lanes, GROUP]`; unused where a group is one token, as the planes already have that order.
    values: Vec<E>,
    /// `[queries at once, depth]`.
    queries: Vec<E>,
    /// `[queries at once, tokens]` in whole blocks, before the softmax.
    scores: Vec<f32>,
    /// As the scores, after it.
    weights: Vec<E>,
}

// A derived one would require `E: Default`.
impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { keys: vec![], values: vec![], queries: vec![], scores: vec![], weights: vec![] }
    }
}

/// The most queries at once.
const MAX_QUERIES: usize = 10;

/// Computes the attention into `output`: `[tokens, lanes]` for each plane of the values.
///
/// # Panics
/// If a slice is shorter than the shapes say.
pub(crate) fn attend<E: Element>(
    isa: Isa,
    head: &AttentionHead<'_, E>,
    scratch: &mut Scratch<E>,
    output: &mut [&mut [E]],
) {
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
    scratch.keys.resize(padded * depth, E::default());
    scratch.queries.resize(MAX_QUERIES * depth, E::default());
    scratch.scores.resize(MAX_QUERIES * padded, 0.0);
    scratch.weights.resize(MAX_QUERIES * padded, E::default());
    let group = isa.group();
    pack_keys(head, lanes, group, &mut scratch.keys);
    if group > 1 {
        scratch.values.resize(head.values.len() * head.tokens.next_multiple_of(group) * lanes, E::default());
        pack_values(head, lanes, group, &mut scratch.values);
    }
    // SAFETY: the sizes were checked above, or made.
    unsafe { E::run(isa, Attending { head, scratch, output }) }
}

fn pack_keys<E: Element>(head: &AttentionHead<'_, E>, lanes: usize, group_length: usize, packed: &mut [E]) {
    let depth = head.keys.len() * lanes;
    for (first, block) in (0..head.tokens).step_by(lanes).zip(packed.chunks_exact_mut(depth * lanes)) {
        let count = lanes.min(head.tokens - first);
        for (plane, components) in head.keys.iter().zip(block.chunks_exact_mut(lanes * lanes)) {
            let tokens = &plane[first * lanes..][..count * lanes];
            for (group, row) in components.chunks_exact_mut(lanes * group_length).enumerate() {
                row[count * group_length..].fill(E::default());
                for (values, token) in row.chunks_exact_mut(group_length).zip(tokens.chunks_exact(lanes)) {
                    values.copy_from_slice(&token[group * group_length..][..group_length]);
                }
            }
        }
    }
}

fn pack_values<E: Element>(head: &AttentionHead<'_, E>, lanes: usize, group_length: usize, packed: &mut [E]) {
    let groups = head.tokens.div_ceil(group_length);
    let group = lanes * group_length;
    for (plane, packed) in head.values.iter().zip(packed.chunks_exact_mut(groups * group)) {
        for (tokens, packed) in plane.chunks(group).zip(packed.chunks_exact_mut(group)) {
            for (lane, values) in packed.chunks_exact_mut(group_length).enumerate() {
                for (i, value) in values.iter_mut().enumerate() {
                    // A last group may be short of a token.
                    *value = tokens.get(i * lanes + lane).copied().unwrap_or_default();
                }
            }
        }
    }
}

struct Attending<'a, 'b, E> {
    head: &'a AttentionHead<'a, E>,
    /// As long as [`attend`] makes it, keys and values packed.
    scratch: &'a mut Scratch<E>,
    output: &'a mut [&'b mut [E]],
}

impl<E: Element> Kernel<E> for Attending<'_, '_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        // SAFETY: the caller's.
        unsafe {
            match const { F::PIXELS } {
                10 => self.of_queries::<F, 10>(),
                6 => self.of_queries::<F, 6>(),
                5 => self.of_queries::<F, 5>(),
                _ => self.of_queries::<F, 4>(),
            }
        }
    }
}

impl<E: Element> Attending<'_, '_, E> {
    /// Computes `QUERIES` queries at once.
    ///
    /// # Safety
    /// As [`Kernel::run`].
    #[inline(always)]
    unsafe fn of_queries<F: Format<Element = E>, const QUERIES: usize>(self) {
        let Self { head, scratch, output } = self;
        let lanes = F::Lanes::N;
        let depth = head.queries.len() * lanes;
        let blocks = head.tokens.div_ceil(lanes);
        let padded = blocks * lanes;
        let (depth_groups, token_groups) = (depth / F::GROUP, head.tokens.div_ceil(F::GROUP));
        let (keys, queries) = (scratch.keys.as_ptr(), scratch.queries.as_mut_ptr());
        let (scores, weights) = (scratch.scores.as_mut_ptr(), scratch.weights.as_mut_ptr());
        let values = |block: usize| {
            let in_scratch = block * token_groups * lanes * F::GROUP;
            // SAFETY: as many planes as there are values were packed.
            if F::GROUP == 1 { head.values[block].as_ptr() } else { unsafe { scratch.values.as_ptr().add(in_scratch) } }
        };
        // SAFETY: the scratch is as long as its fields say; every token index stays below `head.tokens`, every block index
        // below `blocks`.
        unsafe {
            let mut first = 0;
            while first < head.tokens {
                let count = QUERIES.min(head.tokens - first);
                for query in 0..QUERIES {
                    // A short last group is filled up with its last query: computed, not stored.
                    let token = (first + query).min(head.tokens - 1);
                    for (block, plane) in head.queries.iter().enumerate() {
                        let query = queries.add(query * depth + block * lanes);
                        plane.as_ptr().add(token * lanes).copy_to_nonoverlapping(query, lanes);
                    }
                }
                let mut block = 0;
                while block < blocks {
                    let keys = |i: usize| keys.add((block + i) * depth * lanes);
                    let scores = scores.add(block * lanes);
                    if block + 1 < blocks {
                        products::<F, 2, QUERIES>(queries, depth, depth_groups, [keys(0), keys(1)], scores, padded);
                        block += 2;
                    } else {
                        products::<F, 1, QUERIES>(queries, depth, depth_groups, [keys(0)], scores, padded);
                        block += 1;
                    }
                }
                let mut inverse_sums = [0.0; QUERIES];
                for (query, inverse_sum) in inverse_sums.iter_mut().enumerate() {
                    let row = scores.add(query * padded);
                    for token in head.tokens..padded {
                        *row.add(token) = f32::NEG_INFINITY;
                    }
                    let mut greatest = F::Lanes::load(row);
                    for block in 1..blocks {
                        greatest = greatest.max(F::Lanes::load(row.add(block * lanes)));
                    }
                    // Score - greatest is 0 or less, as `scale` is positive.
                    let scale = F::Lanes::splat(head.scale);
                    let offset = F::Lanes::splat(-head.scale * greatest.maximum());
                    let mut sum = F::Lanes::splat(0.0);
                    for block in 0..blocks {
                        let score = F::Lanes::load(row.add(block * lanes));
                        let power = exp(score.mul_add(scale, offset));
                        F::store(power, weights.add(query * padded + block * lanes));
                        sum = sum.add(power);
                    }
                    // The greatest one adds 1; those beyond the tokens e^-87 each, which is nothing beside it.
                    *inverse_sum = 1.0 / sum.sum();
                }
                let mut block = 0;
                while block < output.len() {
                    let pair = if block + 1 < output.len() { 2 } else { 1 };
                    let mut result = [0.0_f32; MAX_QUERIES * 2 * 16];
                    let result = result.as_mut_ptr();
                    if pair == 2 {
                        let values = [values(block), values(block + 1)];
                        products::<F, 2, QUERIES>(weights, padded, token_groups, values, result, 2 * lanes);
                    } else {
                        let values = [values(block)];
                        products::<F, 1, QUERIES>(weights, padded, token_groups, values, result, 2 * lanes);
                    }
                    for i in 0..pair {
                        let plane = output[block + i].as_mut_ptr();
                        for (query, &inverse_sum) in inverse_sums.iter().enumerate().take(count) {
                            let value = F::Lanes::load(result.add((query * 2 + i) * lanes));
                            let value = value.mul(F::Lanes::splat(inverse_sum));
                            F::store(value, plane.add((first + query) * lanes));
                        }
                    }
                    block += pair;
                }
                first += QUERIES;
            }
        }
    }
}

/// `QUERIES` rows times `PAIR` blocks of columns: `result[query][i] = sum over k of rows[query][k] * columns[i][k]`.
///
/// # Safety
/// As [`Lanes`]; `rows` holds `QUERIES` rows of `groups` groups, `row_stride` elements apart, each of `columns`
/// `[groups, lanes, GROUP]`, `result` `QUERIES` rows of `PAIR` registers, `result_stride` values apart.
#[inline(always)]
unsafe fn products<F: Format, const PAIR: usize, const QUERIES: usize>(
    rows: *const F::Element,
    row_stride: usize,
    groups: usize,
    columns: [*const F::Element; PAIR],
    result: *mut f32,
    result_stride: usize,
) {
    let step = F::Lanes::N * F::GROUP;
    // SAFETY: the caller vouches for the sizes.
    unsafe {
        let mut sums = F::start::<PAIR, QUERIES>([F::Lanes::splat(0.0); PAIR]);
        let rows = Rows { first: rows, step: row_stride, groups };
        F::accumulate(&mut sums, rows, Columns { first: columns, step });
        for (i, sums) in F::finish(sums).into_iter().enumerate() {
            for (query, sum) in sums.into_iter().enumerate() {
                sum.store(result.add(query * result_stride + i * F::Lanes::N));
            }
        }
    }
}
