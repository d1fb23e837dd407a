//! In plain Rust.

use super::Lanes;

/// `N` lanes in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Array<const COUNT: usize>(pub(crate) [f32; COUNT]);

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
    // The wide ones are for tests only: as few instances as can be.
    const PIXELS: usize = if COUNT > 8 { 2 } else { 4 };

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
