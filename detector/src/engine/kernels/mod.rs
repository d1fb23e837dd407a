//! The inner loops: safe functions that check the sizes of their arguments, around loops that do not.
#![expect(unsafe_code, reason = "vector instructions and unchecked loops are what this folder is for")]
// Bodies repeat `unsafe` in functions whose contract their trait or caller already states.
#![allow(clippy::undocumented_unsafe_blocks)]
#![allow(clippy::needless_range_loop, reason = "one index runs through several arrays of registers")]

pub(crate) mod attention;
pub(crate) mod convert;
pub(crate) mod convolution;
pub(crate) mod depthwise;
mod element;
pub(crate) mod epilogue;
mod format;
mod lanes;
pub(crate) mod pool;
pub(crate) mod window;
pub(crate) mod winograd;

use super::Isa;
pub(crate) use element::Element;
#[cfg(target_arch = "x86_64")]
use format::Bf16Avx512;
#[cfg(target_arch = "aarch64")]
use format::{Bf16Neon, F32Neon};
use format::{Bf16Portable, F32, Format};
use lanes::Array;
#[cfg(target_arch = "x86_64")]
use lanes::{Avx2, Avx512};

/// An inner loop and its arguments.
pub(crate) trait Kernel<E> {
    /// Runs the loop with the instructions of a format. Has to be `#[inline(always)]`: it is compiled for the instruction set of
    /// the function that it is inlined into.
    ///
    /// # Safety
    /// As [`Lanes`](lanes::Lanes); the function that made this value has checked the sizes.
    unsafe fn run<F: Format<Element = E>>(self);
}

/// [`Element::run`] for `f32`.
///
/// # Safety
/// The kernel's.
unsafe fn on_f32<K: Kernel<f32>>(isa: Isa, kernel: K) {
    assert!(isa.is_available(), "this processor has no {isa:?}");
    // SAFETY: the processor has the instruction set; the rest is the caller's.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::<F32<Avx512>, K>(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::<F32<Avx2>, K>(kernel),
            // Every aarch64 processor has NEON, so everything is compiled for it.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => portable::<F32Neon, K>(kernel),
            Isa::Portable => portable::<F32<Array<8>>, K>(kernel),
            Isa::PortableWide => portable::<F32<Array<16>>, K>(kernel),
            _ => panic!("{isa:?} does not compute in f32"),
        }
    }
}

/// [`Element::run`] for bf16.
///
/// # Safety
/// The kernel's.
unsafe fn on_bf16<K: Kernel<u16>>(isa: Isa, kernel: K) {
    assert!(isa.is_available(), "this processor has no {isa:?}");
    // SAFETY: the processor has the instruction set; the rest is the caller's.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => avx512_bf16::<Bf16Avx512, K>(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonBf16 => neon_bf16::<Bf16Neon, K>(kernel),
            Isa::PortableBf16 => portable::<Bf16Portable, K>(kernel),
            _ => panic!("{isa:?} does not compute in bf16"),
        }
    }
}

// Never inlined: the compiler's passes take more than twice the time for a function of twice the size.

/// # Safety
/// As [`Kernel::run`].
#[inline(never)]
unsafe fn portable<F: Format, K: Kernel<F::Element>>(kernel: K) {
    unsafe { kernel.run::<F>() }
}

/// # Safety
/// As [`Kernel::run`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
unsafe fn avx2<F: Format, K: Kernel<F::Element>>(kernel: K) {
    unsafe { kernel.run::<F>() }
}

/// # Safety
/// As [`Kernel::run`], and the processor has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline(never)]
unsafe fn avx512<F: Format, K: Kernel<F::Element>>(kernel: K) {
    unsafe { kernel.run::<F>() }
}

/// # Safety
/// As [`Kernel::run`], and the processor has AVX-512F, AVX-512BW and AVX512-BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline(never)]
unsafe fn avx512_bf16<F: Format, K: Kernel<F::Element>>(kernel: K) {
    unsafe { kernel.run::<F>() }
}

/// # Safety
/// As [`Kernel::run`], and the processor has the bf16 extension.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "bf16")]
#[inline(never)]
unsafe fn neon_bf16<F: Format, K: Kernel<F::Element>>(kernel: K) {
    unsafe { kernel.run::<F>() }
}
