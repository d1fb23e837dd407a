//! The type of a map's values in memory.

use tract_onnx::prelude::Datum;

use super::{Kernel, on_bf16, on_f32};
use crate::engine::Isa;

/// The type of a map's values in memory: `f32`, or `u16` for the bits of a bf16 (the upper half of an `f32`), for which tract
/// has no type.
pub(crate) trait Element: Datum + Copy + Default {
    /// The nearest value that this type can hold; of two equally near ones the even one.
    fn from_f32(value: f32) -> Self;

    fn to_f32(self) -> f32;

    /// Runs a kernel, compiled for an instruction set.
    ///
    /// # Panics
    /// If the processor does not have the instruction set, or it computes in the other type.
    ///
    /// # Safety
    /// The kernel's own.
    unsafe fn run<K: Kernel<Self>>(isa: Isa, kernel: K);
}

impl Element for f32 {
    #[inline]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline]
    fn to_f32(self) -> f32 {
        self
    }

    unsafe fn run<K: Kernel<Self>>(isa: Isa, kernel: K) {
        // SAFETY: the caller's.
        unsafe { on_f32(isa, kernel) }
    }
}

impl Element for u16 {
    #[inline]
    fn from_f32(value: f32) -> Self {
        if value.is_nan() {
            return 0x7fc0;
        }
        let bits = value.to_bits();
        // Half of the lower half, or a little less where the upper half is even: so ties go to the even one.
        ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
    }

    #[inline]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }

    unsafe fn run<K: Kernel<Self>>(isa: Isa, kernel: K) {
        // SAFETY: the caller's.
        unsafe { on_bf16(isa, kernel) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_the_nearest_value_and_the_even_one_of_two() {
        let rounded = |value: f32| u16::from_f32(value).to_f32();
        for value in [0.0, -0.0, 1.0, -1.5, 255.0, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(rounded(value).to_bits(), value.to_bits());
        }
        // 8 bits of precision: from 256 on every other whole number, from 1 on every 128th part.
        assert_eq!([rounded(257.0), rounded(259.0), rounded(258.1)], [256.0, 260.0, 258.0]);
        assert_eq!(rounded(-1.0 - 0.9 / 128.0), -1.0 - 1.0 / 128.0);
        assert_eq!(rounded(f32::MAX), f32::INFINITY);
        assert!(rounded(f32::NAN).is_nan());
    }
}
