//! The instruction sets that the kernels are compiled for.

/// An instruction set, and with it the width of the blocks that channels are kept in.
///
/// Every kernel is one generic function, instantiated once for each of these. The portable ones are plain arrays that
/// the compiler turns into whatever the target has (NEON on aarch64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512F: 16 lanes.
    Avx512,
    /// AVX2 with FMA: 8 lanes.
    Avx2,
    /// Plain Rust, 8 lanes.
    Portable,
    /// Plain Rust, 16 lanes: the blocks of [`Isa::Avx512`] on any machine, so that all but its instructions is tested.
    PortableWide,
}

impl Isa {
    /// The best one that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        if Self::Avx512.is_available() {
            Self::Avx512
        } else if Self::Avx2.is_available() {
            Self::Avx2
        } else {
            Self::Portable
        }
    }

    /// Whether this processor can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable | Self::PortableWide => true,
        }
    }

    /// All that this processor can run.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Avx512, Self::Avx2, Self::Portable, Self::PortableWide].into_iter().filter(|isa| isa.is_available())
    }

    /// Channels per block: the number of `f32` in one register.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            Self::Avx512 | Self::PortableWide => 16,
            Self::Avx2 | Self::Portable => 8,
        }
    }
}
