//! The inner loops: safe functions that check the sizes of what they are given, around loops that do not.
#![expect(unsafe_code, reason = "vector instructions and unchecked loops are what this folder is for")]
// Bodies repeat `unsafe` in functions whose contract their trait or caller already states.
#![allow(clippy::undocumented_unsafe_blocks)]
#![allow(clippy::needless_range_loop, reason = "one index runs through several arrays of registers")]

pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod depthwise;
mod lanes;
pub(crate) mod window;

/// Run `$body::<L>($arguments)` compiled for an instruction set.
///
/// # Safety
/// As `$body`; the processor has the instruction set, which [`Isa::is_available`](crate::engine::Isa) tells.
macro_rules! dispatch {
    ($isa:expr, $body:ident, $Call:ty, $call:expr) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        unsafe fn avx512(call: $Call) {
            // SAFETY: compiled for AVX-512F; the rest is the caller's.
            unsafe { $body::<crate::engine::kernels::lanes::Avx512>(call) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2(call: $Call) {
            // SAFETY: compiled for AVX2 and FMA; the rest is the caller's.
            unsafe { $body::<crate::engine::kernels::lanes::Avx2>(call) }
        }
        let isa: crate::engine::Isa = $isa;
        assert!(isa.is_available(), "this processor has no {isa:?}");
        // SAFETY: the processor has the instruction set; the rest is the caller's.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                crate::engine::Isa::Avx512 => avx512($call),
                #[cfg(target_arch = "x86_64")]
                crate::engine::Isa::Avx2 => avx2($call),
                crate::engine::Isa::PortableWide => $body::<crate::engine::kernels::lanes::Array<16>>($call),
                _ => $body::<crate::engine::kernels::lanes::Array<8>>($call),
            }
        }
    }};
}
use dispatch;
