//! `yolo-worker bench`: how long one image takes, and what the process needs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use detector::{Detector, Isa, RgbImage, photo};
use image::Rgb;
use serde::Serialize;

use crate::{Network, network, pipeline};

/// The equal parts that quantiles divide a distribution into.
const PARTS: usize = 20;
/// Runs that are not counted: caches fill, the processor's clock settles.
const WARM_UP: usize = 3;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    network: Network,
    /// The image to detect [default: a made 1280x720 JPEG]
    #[arg(long)]
    image: Option<PathBuf>,
    /// Counted runs of each thread
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Single-threaded detections side by side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Another instruction set than the best that this processor has, as avx2: how fast a lesser processor is,
    /// about [default: the best for the precision]
    #[arg(long, env = "BENCH_INSTRUCTIONS")]
    instructions: Option<Isa>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Milliseconds per image, medians over all runs of all threads.
#[derive(Serialize, Debug, Clone, Copy)]
struct Medians {
    /// Decode the file, orient, resize, normalise.
    preprocess: f64,
    /// The network.
    inference: f64,
    /// Raw output to detections.
    postprocess: f64,
    /// All of it.
    total: f64,
}

#[derive(Serialize, Debug)]
struct Report {
    model: String,
    /// What the network ran on.
    instructions: String,
    /// What of it ran on tract's operators and why; `None` if nothing did.
    fallback_reason: Option<String>,
    /// Width and height of the network's input for this image.
    input: [u32; 2],
    threads: u32,
    runs: u32,
    load_ms: f64,
    peak_rss_mb: f64,
    median_ms: Medians,
    /// The total per image, from the shortest to the longest, at equally spaced quantiles: what the scaling lab draws from.
    quantiles_ms: Vec<f64>,
    images_per_second: f64,
}

#[derive(Clone, Copy)]
struct Sample {
    preprocess: Duration,
    inference: Duration,
    postprocess: Duration,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let photo = match &args.image {
        Some(path) => std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?,
        None => made_photo()?,
    };
    let path = models::locate(&args.network.model, &|step| eprintln!("{step}"))?;
    let started = Instant::now();
    let isa = args.instructions.unwrap_or_else(|| Isa::detect(args.network.precision));
    let detector = args.network.load_file_on(&path, isa)?;
    let load = started.elapsed();
    if let Some(warning) = network::warning(&args.network, &detector) {
        eprintln!("{warning}");
    }
    let model = detector.model().context("no model")?;
    let (width, height) = photo::decode(&photo, &photo::Limits::default())?.dimensions();
    let (input_width, input_height) = model.input_size_for(width, height);
    for _ in 0..WARM_UP {
        sample(&detector, &photo)?;
    }
    let started = Instant::now();
    let samples = std::thread::scope(|scope| {
        let many = || (0..args.runs).map(|_| sample(&detector, &photo)).collect::<anyhow::Result<Vec<_>>>();
        let threads: Vec<_> = (0..args.threads).map(|_| scope.spawn(many)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a run panicked"))?);
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let elapsed = started.elapsed();
    let samples: Vec<Sample> = samples.into_iter().flatten().collect();
    let median = |part: fn(&Sample) -> Duration| median_ms(samples.iter().map(part).collect());
    let report = Report {
        model: detector.name().into(),
        instructions: model.isa().map_or_else(|| "tract's".into(), |isa| format!("{isa:?}")),
        fallback_reason: model.fallback_reason().map(str::to_owned),
        input: [input_width, input_height],
        threads: args.threads,
        runs: args.runs,
        load_ms: milliseconds(load),
        peak_rss_mb: peak_rss_mb()?,
        median_ms: Medians {
            preprocess: median(|s| s.preprocess),
            inference: median(|s| s.inference),
            postprocess: median(|s| s.postprocess),
            total: median(|s| s.preprocess + s.inference + s.postprocess),
        },
        quantiles_ms: quantiles_ms(samples.iter().map(|s| s.preprocess + s.inference + s.postprocess).collect()),
        images_per_second: rounded(samples.len() as f64 / elapsed.as_secs_f64()),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        let Medians { preprocess, inference, postprocess, total } = report.median_ms;
        println!("model        {}", report.model);
        println!("instructions {}", report.instructions);
        println!("on tract     {}", report.fallback_reason.as_deref().unwrap_or("nothing"));
        println!("input        {input_width} x {input_height}");
        println!("threads      {} x {} runs", report.threads, report.runs);
        println!("load         {:>9.2} ms", report.load_ms);
        println!("peak memory  {:>9.2} MB", report.peak_rss_mb);
        println!("preprocess   {preprocess:>9.2} ms");
        println!("inference    {inference:>9.2} ms");
        println!("postprocess  {postprocess:>9.2} ms");
        println!("total        {total:>9.2} ms (medians per image)");
        println!("throughput   {:>9.2} images/s", report.images_per_second);
    }
    Ok(())
}

fn sample(detector: &Detector, photo: &[u8]) -> anyhow::Result<Sample> {
    let started = Instant::now();
    let image = photo::decode(photo, &photo::Limits::default())?;
    let decode = started.elapsed();
    let (_, timings) = detector.detect_timed(&image)?;
    Ok(Sample {
        preprocess: decode + timings.preprocess,
        inference: timings.inference,
        postprocess: timings.postprocess,
    })
}

/// A 1280x720 JPEG with edges and gradients, the same every time.
fn made_photo() -> anyhow::Result<Vec<u8>> {
    let image = RgbImage::from_fn(1280, 720, |x, y| {
        let stripes = if (x / 40 + y / 40) % 2 == 0 { 60 } else { 0 };
        Rgb([(x / 8) as u8 + stripes, (y / 5) as u8 + stripes, ((x + y) / 16) as u8 + stripes])
    });
    pipeline::to_jpeg(image).map_err(anyhow::Error::msg)
}

fn median_ms(mut durations: Vec<Duration>) -> f64 {
    durations.sort_unstable();
    let middle = durations.len() / 2;
    let upper = durations[middle];
    let median = if durations.len() % 2 == 1 { upper } else { (durations[middle - 1] + upper) / 2 };
    milliseconds(median)
}

/// The shortest, then at each twentieth, the longest last.
fn quantiles_ms(mut durations: Vec<Duration>) -> Vec<f64> {
    durations.sort_unstable();
    let last = durations.len() - 1;
    let at = |part: usize| durations[(part * last + PARTS / 2) / PARTS];
    (0..=PARTS).map(|part| milliseconds(at(part))).collect()
}

fn milliseconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0)
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The most memory this process ever held (VmHWM of proc(5)), in MB.
fn peak_rss_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("can't read this process's memory use")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<f64>().ok())
        .context("/proc/self/status has no VmHWM")?;
    Ok(rounded(kilobytes * 1024.0 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        let durations = |millis: &[u64]| millis.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(median_ms(durations(&[9, 1, 5])), 5.0);
        assert_eq!(median_ms(durations(&[4, 1, 2, 100])), 3.0);
    }

    #[test]
    fn quantiles_go_from_the_shortest_to_the_longest() {
        let hundred = quantiles_ms((0..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((hundred.len(), hundred[0], hundred[1], hundred[10], hundred[20]), (21, 0.0, 5.0, 50.0, 100.0));
        assert_eq!(quantiles_ms(vec![Duration::from_millis(7)]), [7.0; 21]);
    }

    #[test]
    fn the_made_photo_can_be_decoded() {
        let photo = made_photo().expect("photo");
        let image = photo::decode(&photo, &photo::Limits::default()).expect("decode");
        assert_eq!(image.dimensions(), (1280, 720));
    }
}
