//! Which network looks at the photos, and how it is computed.

use clap::Args;
use detector::{Detector, Isa, Options, Precision, StandIn, Thresholds};

/// What every command that detects asks for.
#[derive(Args, Clone, Debug)]
pub struct Network {
    /// A model of models.toml by name, or the path of an ONNX file; or, for tests of everything but detection,
    /// `stand-in[:MILLISECONDS]`, which finds the same in every photo after that time
    #[arg(long, env, default_value = models::DEFAULT)]
    pub model: String,
    /// What the network is computed in: f32, or bf16, which is faster on processors with AVX512-BF16 and a little less
    /// exact; other processors compute in f32 all the same
    #[arg(long, env, default_value = "f32")]
    pub precision: Precision,
    /// Give the network as much grey around a photo as it needs, not as makes it a square: faster for photos that are
    /// no squares, with slightly other confidences
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set)]
    pub rectangular: bool,
}

impl Network {
    /// The detector that these settings ask for. `progress` hears what is fetched.
    pub(crate) fn load(&self, progress: models::Progress<'_>) -> anyhow::Result<Detector> {
        if let Some(stand_in) = StandIn::from_setting(&self.model) {
            tracing::warn!(
                pause_ms = stand_in.pause.as_millis() as u64,
                "MODEL is the stand-in: nothing is really detected"
            );
            return Ok(Detector::stand_in(stand_in));
        }
        let path = models::locate(&self.model, progress)?;
        let isa = self.isa();
        if isa.precision() != self.precision {
            tracing::warn!(?isa, "PRECISION is {}, which this processor has no instructions for", self.precision);
        }
        let options = Options { isa, rectangular: self.rectangular, ..Options::default() };
        Ok(Detector::load_with(&path, Thresholds::default(), &options)?)
    }

    /// The instruction set that the network runs on.
    pub(crate) fn isa(&self) -> Isa {
        Isa::detect(self.precision)
    }
}
