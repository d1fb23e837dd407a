//! Which network looks at the photos, and how it is computed.

use std::path::Path;

use clap::Args;
use detector::{Detector, Isa, LayoutName, Options, Precision, StandIn, Thresholds};

/// What every command that detects asks for.
#[derive(Args, Clone, Debug)]
pub struct Network {
    /// A model of models.toml by name, or the path of an ONNX file; or, for tests of everything but detection,
    /// `stand-in[:MILLISECONDS]`, which finds the same in every photo after that time
    #[arg(long, env, default_value = models::DEFAULT)]
    pub model: String,
    /// What the network is computed in: f32, or bf16, which is faster on processors with AVX512-BF16 or ARM's bf16 and a
    /// little less exact; other processors compute in f32 all the same
    #[arg(long, env, default_value = "f32")]
    pub precision: Precision,
    /// Pad a photo only to a multiple of the network's stride, not to a square: faster for photos that are not square, with
    /// slightly different confidences
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set)]
    pub rectangular: bool,
    /// What the model's output is, where the file does not tell: columns (1 x 4+classes x N), rows (1 x N x 4+classes),
    /// rows-with-objectness (1 x N x 5+classes) or end-to-end (1 x N x 6)
    #[arg(long, env)]
    pub model_layout: Option<LayoutName>,
}

impl Network {
    /// The detector that these settings ask for. `progress` hears what is fetched.
    pub(crate) fn load(&self, progress: models::Progress<'_>) -> anyhow::Result<Detector> {
        match StandIn::from_setting(&self.model) {
            Some(stand_in) => Ok(Detector::stand_in(stand_in)),
            None => self.load_file(&models::locate(&self.model, progress)?),
        }
    }

    /// The detector with the network in this file.
    pub(crate) fn load_file(&self, path: &Path) -> anyhow::Result<Detector> {
        self.load_file_on(path, Isa::detect(self.precision))
    }

    /// [`load_file`](Self::load_file), on this instruction set.
    pub(crate) fn load_file_on(&self, path: &Path, isa: Isa) -> anyhow::Result<Detector> {
        let options = Options { isa, rectangular: self.rectangular, layout: self.model_layout, ..Options::default() };
        Ok(Detector::load_with(path, Thresholds::default(), &options)?)
    }
}

/// What the operator should know of this detector.
pub(crate) fn warning(network: &Network, detector: &Detector) -> Option<String> {
    let Some(model) = detector.model() else {
        return Some("MODEL is the stand-in: nothing is really detected".into());
    };
    if let Some(reason) = model.fallback_reason() {
        let part = if model.isa().is_some() { "a part of the model runs" } else { "the model runs" };
        return Some(format!("{part} on tract's operators, slower than it could be: {reason}"));
    }
    let isa = model.isa().filter(|isa| isa.precision() != network.precision)?;
    let asked = network.precision;
    Some(format!("PRECISION is {asked}, which this processor has no instructions for: computing on {isa:?}"))
}
