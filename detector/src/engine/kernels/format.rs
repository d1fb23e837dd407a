//! How values get between registers and memory: maps of `f32`, or of bf16, whose sums are `f32`.

use std::marker::PhantomData;

#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::lanes::{Array, Lanes};
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::{Element, Kernel};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::{Bf16Neon, F32Neon};

/// The type of the values in memory, and how they get into [`Lanes`] and are multiplied.
///
/// # Safety
/// As [`Lanes`]; pointers point to as many readable or writable elements as each function says, of any alignment.
pub(crate) trait Format: Sized {
    /// The registers that it computes in.
    type Lanes: Lanes;
    /// The type in memory.
    type Element: Element;
    /// Neighbouring input channels that one instruction multiplies with their weights and adds up, as [`Isa::group`] says; also
    /// called a VNNI block.
    ///
    /// [`Isa::group`]: crate::engine::Isa::group
    const GROUP: usize;
    /// [`Lanes::PIXELS`].
    const PIXELS: usize = Self::Lanes::PIXELS;

    /// `N` elements.
    unsafe fn load(from: *const Self::Element) -> Self::Lanes;
    /// `N` elements.
    unsafe fn store(value: Self::Lanes, to: *mut Self::Element);
    /// Runs a part of a kernel in a function of its own, compiled for the same instruction set.
    unsafe fn apart<K: Kernel<Self::Element>>(kernel: K);

    /// Sums that start with these, for every row; only [`accumulate`](Self::accumulate) and [`finish`](Self::finish) know their
    /// order.
    #[inline(always)]
    unsafe fn start<const PAIR: usize, const ROWS: usize>(first: [Self::Lanes; PAIR]) -> Sums<Self, PAIR, ROWS> {
        first.map(|first| [first; ROWS])
    }

    /// Adds the sum of the products of each row and each of its columns to their sum. Rows hold `GROUP` elements for each of their
    /// groups, columns `N * GROUP`, those of one lane beside each other.
    unsafe fn accumulate<const PAIR: usize, const ROWS: usize>(
        sums: &mut Sums<Self, PAIR, ROWS>,
        rows: Rows<Self::Element>,
        columns: Columns<Self::Element, PAIR>,
    );

    /// The sums in order.
    #[inline(always)]
    unsafe fn finish<const PAIR: usize, const ROWS: usize>(
        sums: Sums<Self, PAIR, ROWS>,
    ) -> [[Self::Lanes; ROWS]; PAIR] {
        sums
    }
}

/// A register of sums for each row and block of columns.
pub(crate) type Sums<F, const PAIR: usize, const ROWS: usize> = [[<F as Format>::Lanes; ROWS]; PAIR];

/// Rows of a product, pixels for example: `step` elements apart, each of `groups` groups.
#[derive(Clone, Copy)]
pub(crate) struct Rows<E> {
    pub(crate) first: *const E,
    pub(crate) step: usize,
    pub(crate) groups: usize,
}

/// Blocks of columns of a product, output channels for example: for each group as many as a register holds, `step` elements
/// apart.
#[derive(Clone, Copy)]
pub(crate) struct Columns<E, const PAIR: usize> {
    pub(crate) first: [*const E; PAIR],
    pub(crate) step: usize,
}

/// A format with an instruction that multiplies a group of one row, in every lane, with a group of columns.
///
/// # Safety
/// As [`Format`].
trait Dot: Format {
    /// `GROUP` values for each lane.
    type Group: Copy;

    /// The `GROUP` elements at `from`, for every lane.
    unsafe fn splat_group(from: *const Self::Element) -> Self::Group;
    /// `N * GROUP` elements, those of one lane beside each other.
    unsafe fn load_group(from: *const Self::Element) -> Self::Group;
    /// For each lane the sum of the products of its group, and `sum`.
    unsafe fn dot(values: Self::Group, factors: Self::Group, sum: Self::Lanes) -> Self::Lanes;
}

/// [`Format::accumulate`], from the group `first` on.
///
/// # Safety
/// As [`Format::accumulate`].
#[inline(always)]
unsafe fn accumulate_groups<F: Dot, const PAIR: usize, const ROWS: usize>(
    first: usize,
    sums: &mut Sums<F, PAIR, ROWS>,
    rows: Rows<F::Element>,
    columns: Columns<F::Element, PAIR>,
) {
    for group in first..rows.groups {
        // SAFETY: the caller vouches for the sizes.
        unsafe {
            let factors = columns.first.map(|first| F::load_group(first.add(group * columns.step)));
            for row in 0..ROWS {
                let value = F::splat_group(rows.first.add(row * rows.step + group * F::GROUP));
                for i in 0..PAIR {
                    sums[i][row] = F::dot(value, factors[i], sums[i][row]);
                }
            }
        }
    }
}

/// [`Format::accumulate`] of a [`Dot`].
macro_rules! accumulate_by_dot {
    () => {
        #[inline(always)]
        unsafe fn accumulate<const PAIR: usize, const ROWS: usize>(
            sums: &mut Sums<Self, PAIR, ROWS>,
            rows: Rows<Self::Element>,
            columns: Columns<Self::Element, PAIR>,
        ) {
            unsafe { accumulate_groups::<Self, PAIR, ROWS>(0, sums, rows, columns) }
        }
    };
}

/// Registers that [`F32`] computes in.
///
/// # Safety
/// As [`Lanes`].
trait F32Lanes: Lanes {
    /// [`Format::apart`] of [`F32`].
    unsafe fn apart<K: Kernel<f32>>(kernel: K);
}

impl<const COUNT: usize> F32Lanes for Array<COUNT> {
    #[inline(always)]
    unsafe fn apart<K: Kernel<f32>>(kernel: K) {
        unsafe { super::portable::<F32<Self>, K>(kernel) }
    }
}

#[cfg(target_arch = "x86_64")]
impl F32Lanes for Avx2 {
    #[inline(always)]
    unsafe fn apart<K: Kernel<f32>>(kernel: K) {
        unsafe { super::avx2::<F32<Self>, K>(kernel) }
    }
}

#[cfg(target_arch = "x86_64")]
impl F32Lanes for Avx512 {
    #[inline(always)]
    unsafe fn apart<K: Kernel<f32>>(kernel: K) {
        unsafe { super::avx512::<F32<Self>, K>(kernel) }
    }
}

/// `f32` as they are.
pub(crate) struct F32<L>(PhantomData<L>);

impl<L: F32Lanes> Format for F32<L> {
    type Lanes = L;
    type Element = f32;
    const GROUP: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> L {
        unsafe { L::load(from) }
    }
    #[inline(always)]
    unsafe fn store(value: L, to: *mut f32) {
        unsafe { value.store(to) }
    }
    #[inline(always)]
    unsafe fn apart<K: Kernel<f32>>(kernel: K) {
        unsafe { L::apart(kernel) }
    }
    accumulate_by_dot!();
}

impl<L: F32Lanes> Dot for F32<L> {
    type Group = L;

    #[inline(always)]
    unsafe fn splat_group(from: *const f32) -> L {
        unsafe { L::splat(*from) }
    }
    #[inline(always)]
    unsafe fn load_group(from: *const f32) -> L {
        unsafe { L::load(from) }
    }
    #[inline(always)]
    unsafe fn dot(values: L, factors: L, sum: L) -> L {
        unsafe { values.mul_add(factors, sum) }
    }
}

/// bf16 with the instructions of AVX512-BF16: two products and their sum at once.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Bf16Avx512;

#[cfg(target_arch = "x86_64")]
// SAFETY (of every block): the caller vouches for AVX-512F and AVX512-BF16, and for the pointers; registers of bf16 are of
// the same size as the registers of integers that they are taken for.
impl Format for Bf16Avx512 {
    type Lanes = Avx512;
    type Element = u16;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn load(from: *const u16) -> Avx512 {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
        }
    }
    #[inline(always)]
    unsafe fn store(value: Avx512, to: *mut u16) {
        unsafe { _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value.0))) }
    }
    #[inline(always)]
    unsafe fn apart<K: Kernel<u16>>(kernel: K) {
        unsafe { super::avx512_bf16::<Self, K>(kernel) }
    }
    accumulate_by_dot!();
}

#[cfg(target_arch = "x86_64")]
// SAFETY (of every block): as above.
impl Dot for Bf16Avx512 {
    type Group = __m512bh;

    #[inline(always)]
    unsafe fn splat_group(from: *const u16) -> __m512bh {
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn load_group(from: *const u16) -> __m512bh {
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast())) }
    }
    #[inline(always)]
    unsafe fn dot(values: __m512bh, factors: __m512bh, sum: Avx512) -> Avx512 {
        unsafe { Avx512(_mm512_dpbf16_ps(sum.0, values, factors)) }
    }
}

/// bf16 in plain Rust: for tests of all but the instructions, on any machine.
pub(crate) struct Bf16Portable;

/// As many lanes as AVX-512 has, so that the blocks are the same.
const COUNT: usize = 16;

// SAFETY (of every block): the caller vouches for the pointers; arrays of `u16` are as aligned as their pointers.
impl Format for Bf16Portable {
    type Lanes = Array<COUNT>;
    type Element = u16;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn load(from: *const u16) -> Array<COUNT> {
        unsafe { Array(from.cast::<[u16; COUNT]>().read().map(Element::to_f32)) }
    }
    #[inline(always)]
    unsafe fn store(value: Array<COUNT>, to: *mut u16) {
        unsafe { to.cast::<[u16; COUNT]>().write(value.0.map(Element::from_f32)) }
    }
    #[inline(always)]
    unsafe fn apart<K: Kernel<u16>>(kernel: K) {
        unsafe { super::portable::<Self, K>(kernel) }
    }
    accumulate_by_dot!();
}

// SAFETY (of every block): as above.
impl Dot for Bf16Portable {
    type Group = [[u16; 2]; COUNT];

    #[inline(always)]
    unsafe fn splat_group(from: *const u16) -> Self::Group {
        unsafe { [from.cast::<[u16; 2]>().read(); COUNT] }
    }
    #[inline(always)]
    unsafe fn load_group(from: *const u16) -> Self::Group {
        unsafe { from.cast::<Self::Group>().read() }
    }
    #[inline(always)]
    unsafe fn dot(values: Self::Group, factors: Self::Group, sum: Array<COUNT>) -> Array<COUNT> {
        Array(std::array::from_fn(|lane| {
            let product = |i: usize| values[lane][i].to_f32() * factors[lane][i].to_f32();
            sum.0[lane] + product(0) + product(1)
        }))
    }
}
