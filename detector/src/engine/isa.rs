//! The instruction sets that the kernels are compiled for.

/// In what a network is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `f32`.
    #[default]
    F32,
    /// Maps and the weights of convolutions are bf16, the upper half of an `f32`: its range, with 8 significant bits. Sums
    /// are `f32`. Half the memory and, on processors with instructions for it, two products in one.
    Bf16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// The text names no [`Precision`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither f32 nor bf16")]
pub struct UnknownPrecision(String);

impl std::str::FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::F32, Self::Bf16]
            .into_iter()
            .find(|precision| precision.to_string() == name)
            .ok_or_else(|| UnknownPrecision(name.into()))
    }
}

/// An instruction set, and with it the width of the blocks that channels are kept in and what their values are.
///
/// Every kernel is one generic function, instantiated once for each of these. The portable ones are plain arrays that
/// the compiler turns into whatever the target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512F: 16 lanes.
    Avx512,
    /// AVX2 with FMA: 8 lanes.
    Avx2,
    /// NEON, which every aarch64 processor has: 8 lanes in two registers.
    Neon,
    /// Plain Rust, 8 lanes.
    Portable,
    /// Plain Rust, 16 lanes: the blocks of [`Isa::Avx512`] on any machine, so that all but its instructions is tested.
    PortableWide,
    /// AVX-512F with AVX512-BF16: 16 lanes of bf16.
    Avx512Bf16,
    /// NEON with the bf16 extension (Neoverse N2 and V1, Graviton 3): 8 lanes of bf16.
    NeonBf16,
    /// bf16 in plain Rust, 16 lanes: slow, so that all but [`Isa::Avx512Bf16`]'s instructions is tested.
    PortableBf16,
}

/// The text names no [`Isa`] of this processor.
#[derive(Debug, thiserror::Error)]
#[error("this processor has no {0:?}, but {1}")]
pub struct UnknownIsa(String, String);

impl std::str::FromStr for Isa {
    type Err = UnknownIsa;

    /// One that this processor can run, by its name in any case: `avx2`.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::available().find(|isa| format!("{isa:?}").eq_ignore_ascii_case(name)).ok_or_else(|| {
            let all: Vec<String> = Self::available().map(|isa| format!("{isa:?}").to_lowercase()).collect();
            UnknownIsa(name.into(), all.join(", "))
        })
    }
}

impl Isa {
    /// The fastest one that this processor has for this precision; if it has none, the fastest for [`Precision::F32`].
    #[must_use]
    pub fn detect(precision: Precision) -> Self {
        // From the fastest on.
        let [bf16, f32] = [&[Self::Avx512Bf16, Self::NeonBf16][..], &[Self::Avx512, Self::Avx2, Self::Neon]];
        let wanted = if precision == Precision::Bf16 { bf16 } else { &[] };
        wanted.iter().chain(f32).copied().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                // AVX-512BW is what the compiler takes to come with the last one.
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 | Self::Avx512Bf16 => false,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonBf16 => std::arch::is_aarch64_feature_detected!("bf16"),
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon | Self::NeonBf16 => false,
            Self::Portable | Self::PortableWide | Self::PortableBf16 => true,
        }
    }

    /// All that this processor can run.
    pub fn available() -> impl Iterator<Item = Self> {
        [
            Self::Avx512,
            Self::Avx2,
            Self::Neon,
            Self::Portable,
            Self::PortableWide,
            Self::Avx512Bf16,
            Self::NeonBf16,
            Self::PortableBf16,
        ]
        .into_iter()
        .filter(|isa| isa.is_available())
    }

    /// The precision that it computes in.
    #[must_use]
    pub fn precision(self) -> Precision {
        match self {
            Self::Avx512 | Self::Avx2 | Self::Neon | Self::Portable | Self::PortableWide => Precision::F32,
            Self::Avx512Bf16 | Self::NeonBf16 | Self::PortableBf16 => Precision::Bf16,
        }
    }

    /// The one with the same lanes that computes in `f32`.
    #[must_use]
    pub(crate) fn in_f32(self) -> Self {
        match self {
            Self::Avx512Bf16 => Self::Avx512,
            Self::NeonBf16 => Self::Neon,
            Self::PortableBf16 => Self::PortableWide,
            other => other,
        }
    }

    /// Neighbouring input channels that one instruction multiplies with their weights and adds up.
    #[must_use]
    pub(crate) fn group(self) -> usize {
        match self {
            Self::Avx512 | Self::Avx2 | Self::Neon | Self::Portable | Self::PortableWide => 1,
            Self::Avx512Bf16 | Self::PortableBf16 => 2,
            Self::NeonBf16 => 4,
        }
    }

    /// Channels per block: the number of `f32` in one register, or on NEON in two.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            Self::Avx512 | Self::PortableWide | Self::Avx512Bf16 | Self::PortableBf16 => 16,
            Self::Avx2 | Self::Neon | Self::NeonBf16 | Self::Portable => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_set_is_told_by_its_name() {
        for isa in Isa::available() {
            assert_eq!(format!("{isa:?}").to_lowercase().parse::<Isa>().expect("a name"), isa);
        }
        let said = "mmx".parse::<Isa>().expect_err("none").to_string();
        assert!(said.contains("mmx") && said.contains("portable"), "{said}");
    }
}
