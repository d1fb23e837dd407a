//! A register of `f32`, one for each instruction set.

mod array;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub(crate) use array::Array;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

/// A register of [`N`](Self::N) `f32`.
///
/// # Safety
/// Every function requires that the processor has the instruction set of the implementing type, and that it is inlined
/// into a function compiled for it. `load` and `store` require `N` readable or writable `f32` at the pointer, of any
/// alignment.
pub(crate) trait Lanes: Copy {
    /// Number of values.
    const N: usize;
    /// Pixels that a convolution computes at once: as many as leave registers for the weights and one value.
    const PIXELS: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `1 / self` for what is neither 0 nor denormal nor infinite, relative error below 3e-7.
    unsafe fn reciprocal(self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// `self * factor + summand`, rounded once where the processor can.
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The nearest whole numbers; |self| is below 2^22.
    unsafe fn round(self) -> Self;
    /// `self * 2^power` where `self` is in `0.5..2` and `power` whole, in `-126..=126`.
    unsafe fn scale(self, power: Self) -> Self;
    unsafe fn sum(self) -> f32;
    unsafe fn maximum(self) -> f32;
}

/// `e^x`, relative error below 8e-6 (near 0, where it matters, far less). From -87 down it is e^-87, from 87 up e^87.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { power_of_two(x, std::f32::consts::LOG2_E) }
}

/// `2^(factor * x)`, for a factor of `log2(e)` or `-log2(e)`.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn power_of_two<L: Lanes>(x: L, factor: f32) -> L {
    // 2^(factor x) = 2^n * 2^-f, n whole and f in -0.5..=0.5, 2^-f by the polynomial of this degree, 1 at 0, whose greatest
    // relative error is the least: 9.2e-8.
    #[allow(clippy::excessive_precision, reason = "rounded by the compiler, not by hand")]
    const COEFFICIENTS: [f32; 5] = [9.671_513e-3, -5.550_733_7e-2, 2.402_224_2e-1, -6.931_469_8e-1, 1.0];
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let x = x.min(L::splat(87.0)).max(L::splat(-87.0));
        let n = x.mul(L::splat(factor)).round();
        let f = x.mul_add(L::splat(-factor), n);
        let mut power = L::splat(-1.326_472_7e-3);
        for coefficient in COEFFICIENTS {
            power = power.mul_add(f, L::splat(coefficient));
        }
        power.scale(n)
    }
}

/// `x * sigmoid(x)`.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn silu<L: Lanes>(x: L) -> L {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { x.mul(L::splat(1.0).add(power_of_two(x, -std::f32::consts::LOG2_E)).reciprocal()) }
}
