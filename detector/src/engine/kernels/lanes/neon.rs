//! With NEON.

use std::arch::aarch64::*;

use super::Lanes;

/// NEON: two registers, so that blocks are as wide as with AVX2, and rows of them read in pairs.
#[derive(Clone, Copy)]
pub(crate) struct Neon(pub(crate) [float32x4_t; 2]);

impl Neon {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self([f(self.0[0], other.0[0]), f(self.0[1], other.0[1])])
    }
}

// Every aarch64 processor has NEON. SAFETY (of every block): the caller vouches for the pointers.
impl Lanes for Neon {
    const N: usize = 8;
    // 20 sums of 32 registers, beside 5 of values and 4 of weights; it divides the widths 20, 40, 80 that YOLO's maps have.
    const PIXELS: usize = 5;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Self([vdupq_n_f32(value); 2]) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self([vld1q_f32(from), vld1q_f32(from.add(4))]) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe {
            vst1q_f32(to, self.0[0]);
            vst1q_f32(to.add(4), self.0[1]);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| unsafe { vaddq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| unsafe { vsubq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| unsafe { vmulq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // An estimate of 8 bits and two steps of Newton's, which take less of the pipelines than a division.
        Self(self.0.map(|value| unsafe {
            let estimate = vrecpeq_f32(value);
            let estimate = vmulq_f32(estimate, vrecpsq_f32(value, estimate));
            vmulq_f32(estimate, vrecpsq_f32(value, estimate))
        }))
    }
    // Of a number and none, the number.
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| unsafe { vmaxnmq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| unsafe { vminnmq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        let at = |i: usize| unsafe { vfmaq_f32(summand.0[i], self.0[i], factor.0[i]) };
        Self([at(0), at(1)])
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        Self(self.0.map(|value| unsafe { vrndnq_f32(value) }))
    }
    #[inline(always)]
    unsafe fn scale(self, power: Self) -> Self {
        self.zip(power, |value, power| unsafe {
            let exponent = vshlq_n_s32::<23>(vcvtq_s32_f32(power));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(value), exponent))
        })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { vaddvq_f32(vaddq_f32(self.0[0], self.0[1])) }
    }
    #[inline(always)]
    unsafe fn maximum(self) -> f32 {
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(self.0[0], self.0[1])) }
    }
}
