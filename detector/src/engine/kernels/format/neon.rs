//! `f32` and bf16 with NEON, whose instructions multiply by one lane of a register, or two rows with two columns.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::Kernel;
use super::super::lanes::{Lanes, Neon};
use super::{Columns, Dot, Format, Rows, Sums, accumulate_groups};

/// `f32` with FMLA by lane: four values of a row are read at once.
pub(crate) struct F32Neon;

// SAFETY (of every block): the caller vouches for the pointers.
impl Format for F32Neon {
    type Lanes = Neon;
    type Element = f32;
    const GROUP: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Neon {
        unsafe { Neon::load(from) }
    }
    #[inline(always)]
    unsafe fn store(value: Neon, to: *mut f32) {
        unsafe { value.store(to) }
    }
    #[inline(always)]
    unsafe fn apart<K: Kernel<f32>>(kernel: K) {
        unsafe { super::super::portable::<Self, K>(kernel) }
    }
    #[inline(always)]
    unsafe fn accumulate<const PAIR: usize, const ROWS: usize>(
        sums: &mut Sums<Self, PAIR, ROWS>,
        rows: Rows<f32>,
        columns: Columns<f32, PAIR>,
    ) {
        let whole = rows.groups / 4 * 4;
        for group in (0..whole).step_by(4) {
            unsafe {
                let values: [_; ROWS] = std::array::from_fn(|row| vld1q_f32(rows.first.add(row * rows.step + group)));
                let step = columns.step;
                let columns = columns.first.map(|first| first.add(group * step));
                add_lane::<0, PAIR, ROWS>(sums, values, columns);
                add_lane::<1, PAIR, ROWS>(sums, values, columns.map(|at| at.add(step)));
                add_lane::<2, PAIR, ROWS>(sums, values, columns.map(|at| at.add(2 * step)));
                add_lane::<3, PAIR, ROWS>(sums, values, columns.map(|at| at.add(3 * step)));
            }
        }
        unsafe { accumulate_groups::<Self, PAIR, ROWS>(whole, sums, rows, columns) }
    }
}

/// Adds the product of this lane of each row's values and these columns to the row's sum.
///
/// # Safety
/// The columns hold `N` values each.
#[inline(always)]
unsafe fn add_lane<const LANE: i32, const PAIR: usize, const ROWS: usize>(
    sums: &mut Sums<F32Neon, PAIR, ROWS>,
    values: [float32x4_t; ROWS],
    columns: [*const f32; PAIR],
) {
    for (sums, column) in sums.iter_mut().zip(columns) {
        let factors = unsafe { Neon::load(column) };
        for (sum, value) in sums.iter_mut().zip(values) {
            let at = |i: usize| unsafe { vfmaq_laneq_f32::<LANE>(sum.0[i], factors.0[i], value) };
            *sum = Neon([at(0), at(1)]);
        }
    }
}

// SAFETY (of every block): as above.
impl Dot for F32Neon {
    type Group = Neon;

    #[inline(always)]
    unsafe fn splat_group(from: *const f32) -> Neon {
        unsafe { Neon::splat(*from) }
    }
    #[inline(always)]
    unsafe fn load_group(from: *const f32) -> Neon {
        unsafe { Neon::load(from) }
    }
    #[inline(always)]
    unsafe fn dot(values: Neon, factors: Neon, sum: Neon) -> Neon {
        unsafe { values.mul_add(factors, sum) }
    }
}

/// bf16 with BFMMLA: two rows of four values times two columns of four, added to two by two sums.
pub(crate) struct Bf16Neon;

impl Bf16Neon {
    /// As [`Format::accumulate`], of one group (`WIDE` false) or of two neighbouring ones, from this one on.
    ///
    /// # Safety
    /// As [`Format::accumulate`].
    #[inline(always)]
    unsafe fn accumulate_at<const PAIR: usize, const ROWS: usize, const WIDE: bool>(
        sums: &mut Sums<Self, PAIR, ROWS>,
        single: &mut [[float32x4_t; 4]; PAIR],
        group: usize,
        rows: Rows<u16>,
        columns: Columns<u16, PAIR>,
    ) {
        let groups = if WIDE { 2 } else { 1 };
        // SAFETY: the caller's.
        unsafe {
            let row = |row: usize| {
                // Beyond the last row nothing is read.
                let at = rows.first.wrapping_add(row * rows.step + group * Self::GROUP);
                vreinterpretq_f32_u16(if row >= ROWS {
                    vdupq_n_u16(0)
                } else if WIDE {
                    vld1q_u16(at)
                } else {
                    vcombine_u16(vld1_u16(at), vdup_n_u16(0))
                })
            };
            // Both rows' first group, both rows' second group; what stays unused is never made.
            let pairs: [[uint16x8_t; 2]; ROWS] = std::array::from_fn(|pair| {
                let (a, b) = (row(2 * pair), row(2 * pair + 1));
                [halves::<1>(a, b), halves::<2>(a, b)].map(|both| vreinterpretq_u16_f32(both))
            });
            for i in 0..PAIR {
                for half in 0..groups {
                    let columns = columns.first[i].add((group + half) * columns.step);
                    // The weights of two lanes at a time, for all rows.
                    for lanes in 0..4 {
                        let factors = vld1q_u16(columns.add(lanes * 8));
                        for pair in 0..ROWS / 2 {
                            let tile = &mut sums[i][2 * pair + lanes / 2].0[lanes % 2];
                            *tile = bfmmla(*tile, pairs[pair][half], factors);
                        }
                        if ROWS % 2 == 1 {
                            single[i][lanes] = bfmmla(single[i][lanes], pairs[ROWS / 2][half], factors);
                        }
                    }
                }
            }
        }
    }
}

// SAFETY (of every block): the caller vouches for the bf16 extension, and for the pointers.
impl Format for Bf16Neon {
    type Lanes = Neon;
    type Element = u16;
    const GROUP: usize = 4;
    // Two by two, and 16 sums of 32 registers: 6 would not divide the widths that YOLO's maps have.
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const u16) -> Neon {
        unsafe {
            let (values, zero) = (vld1q_u16(from), vdupq_n_u16(0));
            Neon([vreinterpretq_f32_u16(vzip1q_u16(zero, values)), vreinterpretq_f32_u16(vzip2q_u16(zero, values))])
        }
    }
    #[inline(always)]
    unsafe fn store(value: Neon, to: *mut u16) {
        unsafe { vst1q_u16(to, narrowed(value)) }
    }
    #[inline(always)]
    unsafe fn apart<K: Kernel<u16>>(kernel: K) {
        unsafe { super::super::neon_bf16::<Self, K>(kernel) }
    }

    /// For every two rows four tiles, each of two lanes: `[[row 0 lane 0, row 0 lane 1], [row 1 lane 0, row 1 lane 1]]`. They take
    /// the place of the two rows' registers. A last odd row is in order.
    #[inline(always)]
    unsafe fn start<const PAIR: usize, const ROWS: usize>(first: [Neon; PAIR]) -> Sums<Self, PAIR, ROWS> {
        first.map(|first| {
            let [a, b] = first.0.map(|half| unsafe { [halves::<1>(half, half), halves::<2>(half, half)] });
            std::array::from_fn(|row| match row % 2 {
                _ if row + 1 == ROWS && row % 2 == 0 => first,
                0 => Neon(a),
                _ => Neon(b),
            })
        })
    }

    #[inline(always)]
    unsafe fn accumulate<const PAIR: usize, const ROWS: usize>(
        sums: &mut Sums<Self, PAIR, ROWS>,
        rows: Rows<u16>,
        columns: Columns<u16, PAIR>,
    ) {
        let whole = rows.groups / 2 * 2;
        unsafe {
            let mut single = [[vdupq_n_f32(0.0); 4]; PAIR];
            for group in (0..whole).step_by(2) {
                Self::accumulate_at::<PAIR, ROWS, true>(sums, &mut single, group, rows, columns);
            }
            if whole < rows.groups {
                Self::accumulate_at::<PAIR, ROWS, false>(sums, &mut single, whole, rows, columns);
            }
            if ROWS % 2 == 1 {
                for (sums, tiles) in sums.iter_mut().zip(single) {
                    let [low, high] = sums[ROWS - 1].0;
                    sums[ROWS - 1] = Neon([
                        vaddq_f32(low, halves::<1>(tiles[0], tiles[1])),
                        vaddq_f32(high, halves::<1>(tiles[2], tiles[3])),
                    ]);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<const PAIR: usize, const ROWS: usize>(mut sums: Sums<Self, PAIR, ROWS>) -> [[Neon; ROWS]; PAIR] {
        for sums in &mut sums {
            for rows in sums.chunks_exact_mut(2) {
                let [Neon([a, b]), Neon([c, d])] = [rows[0], rows[1]];
                rows[0] = Neon(unsafe { [halves::<1>(a, b), halves::<1>(c, d)] });
                rows[1] = Neon(unsafe { [halves::<2>(a, b), halves::<2>(c, d)] });
            }
        }
        sums
    }
}

/// The first (1) or the second (2) halves of two registers.
///
/// # Safety
/// None beyond the processor's NEON.
#[inline(always)]
unsafe fn halves<const WHICH: usize>(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    unsafe {
        let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
        vreinterpretq_f32_f64(if WHICH == 1 { vzip1q_f64(a, b) } else { vzip2q_f64(a, b) })
    }
}

// The standard library has no functions for bf16 yet.

/// `sums[2 * i + j] += sum over k of rows[4 * i + k] * columns[4 * j + k]`.
///
/// # Safety
/// The processor has the bf16 extension, and the caller is compiled for it.
#[inline(always)]
unsafe fn bfmmla(mut sums: float32x4_t, rows: uint16x8_t, columns: uint16x8_t) -> float32x4_t {
    // SAFETY: it changes this register only.
    unsafe {
        asm!(
            "bfmmla {sums:v}.4s, {rows:v}.8h, {columns:v}.8h",
            sums = inout(vreg) sums, rows = in(vreg) rows, columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The nearest bf16; of two equally near ones the even one.
///
/// # Safety
/// As [`bfmmla`].
#[inline(always)]
unsafe fn narrowed(value: Neon) -> uint16x8_t {
    let result: uint16x8_t;
    // SAFETY: it changes this register only.
    unsafe {
        asm!(
            "bfcvtn {result:v}.4h, {low:v}.4s",
            "bfcvtn2 {result:v}.8h, {high:v}.4s",
            result = out(vreg) result, low = in(vreg) value.0[0], high = in(vreg) value.0[1],
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    result
}
