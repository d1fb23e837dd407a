//! One register of `f32`, in as many widths as there are instruction sets.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register of [`N`](Self::N) `f32`.
///
/// # Safety
/// Every function requires that the processor has the instruction set of the implementing type, and that it is inlined
/// into a function compiled for it. `load` and `store` require `N` readable or writable `f32` at the pointer; no
/// alignment is asked for.
pub(super) trait Lanes: Copy {
    /// How many values.
    const N: usize;
    /// How many pixels a convolution computes at once: as many as leave registers for the weights and one value.
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
    // e^x = 2^n * 2^f, n whole and f in -0.5..=0.5, 2^f by its Taylor series in powers of ln 2.
    const LN_2: f32 = std::f32::consts::LN_2;
    #[allow(clippy::excessive_precision, reason = "rounded by the compiler, not by hand")]
    const COEFFICIENTS: [f32; 6] = [1.333_355_8e-3, 9.618_129e-3, 5.550_410_9e-2, 2.402_265_1e-1, LN_2, 1.0];
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let log2_e = L::splat(std::f32::consts::LOG2_E);
        let x = x.min(L::splat(87.0)).max(L::splat(-87.0));
        let n = x.mul(log2_e).round();
        let f = x.mul_add(log2_e, L::splat(0.0).sub(n));
        let mut power = L::splat(1.540_353_1e-4);
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
    unsafe { x.mul(L::splat(1.0).add(exp(L::splat(0.0).sub(x))).reciprocal()) }
}

/// `N` lanes in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Array<const COUNT: usize>([f32; COUNT]);

impl<const COUNT: usize> Array<COUNT> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = self.0;
        for (value, other) in result.iter_mut().zip(other.0) {
            *value = f(*value, other);
        }
        Self(result)
    }
}

impl<const COUNT: usize> Lanes for Array<COUNT> {
    const N: usize = COUNT;
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; COUNT])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for `N` readable values; an array of `f32` is as aligned as its pointer.
        unsafe { Self(from.cast::<[f32; COUNT]>().read()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for `N` writable values.
        unsafe { to.cast::<[f32; COUNT]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        self.zip(self, |a, _| 1.0 / a)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        let mut result = self.0;
        for i in 0..COUNT {
            // A fused multiply-add where it is one instruction; where it is a library call it is no gain.
            result[i] = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                self.0[i].mul_add(factor.0[i], summand.0[i])
            } else {
                self.0[i] * factor.0[i] + summand.0[i]
            };
        }
        Self(result)
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Adding and taking away 1.5 * 2^23 leaves no room for a fraction; `f32::round` is a library call on x86.
        const NO_FRACTION: f32 = 12_582_912.0;
        self.zip(self, |a, _| (a + NO_FRACTION) - NO_FRACTION)
    }
    #[inline(always)]
    unsafe fn scale(self, power: Self) -> Self {
        // SAFETY (of the conversion): a power is in -126..=126.
        self.zip(power, |a, power| {
            let exponent = unsafe { power.to_int_unchecked::<i32>() } << 23;
            f32::from_bits(a.to_bits().wrapping_add(exponent.cast_unsigned()))
        })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
    #[inline(always)]
    unsafe fn maximum(self) -> f32 {
        self.0.iter().fold(f32::NEG_INFINITY, |a, &b| if a > b { a } else { b })
    }
}

/// AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
// SAFETY (of every block): the caller vouches for AVX2 and FMA, and for the pointers.
impl Lanes for Avx2 {
    const N: usize = 8;
    const PIXELS: usize = 6;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Self(_mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm256_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // An estimate of 12 bits and one step of Newton's: a third of a division's time.
        unsafe {
            let estimate = _mm256_rcp_ps(self.0);
            let rest = _mm256_fnmadd_ps(self.0, estimate, _mm256_set1_ps(1.0));
            Self(_mm256_fmadd_ps(estimate, rest, estimate))
        }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { Self(_mm256_max_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        unsafe { Self(_mm256_min_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, summand.0)) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { Self(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    unsafe fn scale(self, power: Self) -> Self {
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(power.0));
            Self(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), exponent)))
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps::<1>(quarter, quarter)))
        }
    }
    #[inline(always)]
    unsafe fn maximum(self) -> f32 {
        unsafe {
            let half = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(quarter, _mm_shuffle_ps::<1>(quarter, quarter)))
        }
    }
}

/// AVX-512F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

#[cfg(target_arch = "x86_64")]
// SAFETY (of every block): the caller vouches for AVX-512F, and for the pointers.
impl Lanes for Avx512 {
    const N: usize = 16;
    // 20 sums of 32 registers; it divides the widths 20, 40, 80 that YOLO's maps have.
    const PIXELS: usize = 10;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Self(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm512_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        unsafe {
            let estimate = _mm512_rcp14_ps(self.0);
            let rest = _mm512_fnmadd_ps(self.0, estimate, _mm512_set1_ps(1.0));
            Self(_mm512_fmadd_ps(estimate, rest, estimate))
        }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        unsafe { Self(_mm512_min_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, summand.0)) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { Self(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    unsafe fn scale(self, power: Self) -> Self {
        unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_cvtps_epi32(power.0));
            Self(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), exponent)))
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { _mm512_reduce_add_ps(self.0) }
    }
    #[inline(always)]
    unsafe fn maximum(self) -> f32 {
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
}
