//! `yolo-worker detect`: one image, no AWS.

use std::path::PathBuf;

use anyhow::Context;
use detector::{annotate, photo};
use serde_json::json;

use crate::{Network, network, pipeline};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image
    image: PathBuf,
    /// Write the annotated image here; the name's ending chooses the format
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON: model, width, height, labels
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = std::fs::read(&args.image).with_context(|| format!("can't read {}", args.image.display()))?;
    let mut image =
        photo::decode(&bytes, &photo::Limits::default()).with_context(|| args.image.display().to_string())?;
    let detector = args.network.load(&|step| eprintln!("{step}"))?;
    if let Some(warning) = network::warning(&args.network, &detector) {
        eprintln!("{warning}");
    }
    let detections = detector.detect(&image)?;
    let labels = pipeline::labels(&detections, &image);
    if args.json {
        let (width, height) = image.dimensions();
        let report = json!({"model": detector.name(), "width": width, "height": height, "labels": labels});
        println!("{report}");
    } else if labels.is_empty() {
        println!("nothing that the model knows");
    } else {
        println!("{}", fleet::summary(&labels));
    }
    if let Some(out) = &args.out {
        annotate::annotate(&mut image, &detections);
        image.save(out).with_context(|| format!("can't write {}", out.display()))?;
    }
    Ok(())
}
