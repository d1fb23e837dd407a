//! `yolo-worker check`: what a model is, how it is computed, and what it finds. For operators with a model of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use detector::reference::{Limits, Reference};
use detector::{BoundingBox, Detection, Detector, LayoutName, Model, OperatorTime, Precision, photo};

use crate::{Network, network, pipeline};

/// Runs of which each operator's median is shown.
const RUNS: usize = 5;

/// What a detection may differ from the reference's: as the default model's from ONNX Runtime's.
const LIMITS: Limits = Limits { least_iou: 0.95, most_difference: 0.02, least_confidence: 0.0 };

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A model of models.toml by name, or the path of an ONNX file
    model: String,
    /// An image, or a folder of images, to detect
    #[arg(long)]
    image: Option<PathBuf>,
    /// What is to be found in each image, as another runtime finds it:
    /// {"images": {"NAME": {"labels": [{"class", "confidence", "cx", "cy", "width", "height"}]}}}, relative to the image
    #[arg(long, requires = "image")]
    reference: Option<PathBuf>,
    /// Show every operator, not only each kind
    #[arg(long)]
    operators: bool,
    /// As in detect
    #[arg(long, env, default_value = "f32")]
    precision: Precision,
    /// As in detect
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set)]
    rectangular: bool,
    /// As in detect
    #[arg(long, env)]
    model_layout: Option<LayoutName>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let network = Network {
        model: args.model.clone(),
        precision: args.precision,
        rectangular: args.rectangular,
        model_layout: args.model_layout,
    };
    let path = models::locate(&network.model, &|step| eprintln!("{step}"))?;
    let reference = args.reference.as_deref().map(Reference::read).transpose()?;
    let started = Instant::now();
    let detector = network.load_file(&path)?;
    let load = started.elapsed();
    let model = detector.model().context("no model")?;
    let size = std::fs::metadata(&path).with_context(|| format!("can't read {}", path.display()))?.len();
    println!("file          {} ({:.1} MB)", path.display(), size as f64 / 1e6);
    for (what, words) in model.said() {
        println!("  {what:<12}{words}");
    }
    describe(model, load);
    if let Some(warning) = network::warning(&network, &detector) {
        println!("warning       {warning}");
    }
    show_times(&model.profile(RUNS).map_err(anyhow::Error::msg)?, args.operators);
    let mut wrong = 0;
    for image in args.image.as_deref().map(images).transpose()?.unwrap_or_default() {
        wrong += show_detections(&detector, &image, reference.as_ref())?;
    }
    if reference.is_some() {
        anyhow::ensure!(wrong == 0, "{wrong} detections differ from the reference");
        println!(
            "\nall detections agree with the reference: the same classes, IoU of at least {}, confidences within {}",
            LIMITS.least_iou, LIMITS.most_difference
        );
    }
    Ok(())
}

fn describe(model: &Model, load: Duration) {
    let (width, height) = model.input_size();
    let layout = model.layout();
    println!("input         {width} x {height}");
    println!("output        {}: {} boxes, {} classes", layout.name(), layout.boxes(), layout.classes());
    println!("head          {}", model.head().unwrap_or_else(|| "not recognised: run as it is, on every box".into()));
    let instructions = model.isa().map_or_else(|| "tract's".into(), |isa| format!("{isa:?}"));
    println!("instructions  {instructions}");
    println!("on tract      {}", model.fallback_reason().unwrap_or("nothing"));
    println!("load          {:.0} ms", load.as_secs_f64() * 1000.0);
}

fn show_times(operators: &[OperatorTime], all: bool) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let total: Duration = operators.iter().map(|operator| operator.time).sum();
    let share = |time: Duration| 100.0 * time.as_secs_f64() / total.as_secs_f64().max(1e-9);
    println!("\n{:>9}  {:>5}  {:>5}  operator", "ms", "%", "count");
    let mut kinds: BTreeMap<(bool, &str), (Duration, usize)> = BTreeMap::new();
    for operator in operators {
        let (time, count) = kinds.entry((operator.is_own, &operator.operator)).or_default();
        *time += operator.time;
        *count += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (time, _))| std::cmp::Reverse(*time));
    for ((is_own, operator), (time, count)) in kinds {
        let whose = if is_own { "" } else { " (tract's)" };
        println!("{:>9.2}  {:>5.1}  {count:>5}  {operator}{whose}", milliseconds(time), share(time));
    }
    println!("{:>9.2}  {:>5.1}  {:>5}  in all", milliseconds(total), 100.0, operators.len());
    if all {
        println!("\n{:>9}  {:<16} {:<24} node", "ms", "operator", "output");
        for OperatorTime { name, operator, is_own, shape, time } in operators {
            let whose = if *is_own { "" } else { "*" };
            let (operator, shape) = (format!("{operator}{whose}"), format!("{shape:?}"));
            println!("{:>9.3}  {operator:<16} {shape:<24} {name}", milliseconds(*time));
        }
        println!("* tract's");
    }
}

/// Show what is found in an image; how many detections differ from the reference, if that has the image.
fn show_detections(detector: &Detector, path: &Path, reference: Option<&Reference>) -> anyhow::Result<usize> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let image = photo::decode(&bytes, &photo::Limits::default()).with_context(|| path.display().to_string())?;
    let found = detector.detect(&image)?;
    let labels = pipeline::labels(&found, &image);
    let summary = if labels.is_empty() { "nothing that the model knows".into() } else { fleet::summary(&labels) };
    println!("\n{}: {summary}", path.display());
    for Detection { class, confidence, bounding_box, .. } in &found {
        let BoundingBox { left, top, right, bottom } = bounding_box;
        println!("  {confidence:.3}  {class}  {left:.0}, {top:.0} to {right:.0}, {bottom:.0}");
    }
    let Some(reference) = reference else { return Ok(0) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let expected = reference.images.get(&*name).with_context(|| format!("the reference has no image {name}"))?;
    let differences = expected.differences(&found, image.dimensions(), &LIMITS);
    for difference in &differences {
        println!("  differs: {difference}");
    }
    Ok(differences.len())
}

/// The image, or all images of a folder by name.
fn images(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut images = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("can't read {}", path.display()))?.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if ["bmp", "gif", "jpeg", "jpg", "png", "webp"].contains(&&*ending) {
            images.push(path);
        }
    }
    images.sort();
    anyhow::ensure!(!images.is_empty(), "{} has no images", path.display());
    Ok(images)
}
