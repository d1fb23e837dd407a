//! How long the parts of a detection take, at best and at the median:
//! `timing MODEL [--runs 20] [--threads 1] [--photo FILE] [--tract] [--rectangular] [--bf16]`.

use std::time::{Duration, Instant};

use detector::{Detector, Isa, Options, Precision, RgbImage, Thresholds, photo};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|i| args.get(i + 1));
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let model = args.first().ok_or("which model?")?;
    let runs: usize = value("--runs").map_or(Ok(20), |runs| runs.parse())?;
    let threads: usize = value("--threads").map_or(Ok(1), |threads| threads.parse())?;
    let bytes = value("--photo").map(std::fs::read).transpose()?;

    let precision = if has("--bf16") { Precision::Bf16 } else { Precision::F32 };
    let options = Options {
        own_operators: !has("--tract"),
        isa: Isa::detect(precision),
        rectangular: has("--rectangular"),
        ..Options::default()
    };
    let start = Instant::now();
    let detector = Detector::load_with(model.as_ref(), Thresholds::default(), &options)?;
    let reason = detector
        .model()
        .and_then(|model| model.fallback_reason())
        .map_or(String::new(), |reason| format!(" (on tract: {reason})"));
    println!("load {:.0} ms{reason}", start.elapsed().as_secs_f64() * 1000.0);

    let once = || -> Result<[Duration; 4], Box<dyn std::error::Error>> {
        let start = Instant::now();
        let image = match &bytes {
            Some(bytes) => photo::decode(bytes, &photo::Limits::default())?,
            None => RgbImage::from_fn(640, 640, |x, y| image::Rgb([(x * 7) as u8, (y * 3) as u8, (x ^ y) as u8])),
        };
        let decoded = start.elapsed();
        let (_, timings) = detector.detect_timed(&image)?;
        Ok([decoded, timings.preprocess, timings.inference, timings.postprocess])
    };
    // Every thread's runs, after a few to warm up.
    let several = || {
        let runs = (0..runs + 3).map(|_| once().map_err(|error| error.to_string())).collect::<Result<Vec<_>, _>>();
        runs.map(|runs| runs[3..].to_vec())
    };
    let start = Instant::now();
    let all = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(several)).collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread")).collect::<Result<Vec<_>, String>>()
    })?
    .concat();
    let rate = (threads * (runs + 3)) as f64 / start.elapsed().as_secs_f64();
    for (part, name) in ["decode or draw", "preprocess", "inference", "postprocess"].into_iter().enumerate() {
        let mut times: Vec<f64> = all.iter().map(|run| run[part].as_secs_f64() * 1000.0).collect();
        times.sort_unstable_by(f64::total_cmp);
        println!("{name:15} median {:7.2} ms, least {:7.2} ms", times[times.len() / 2], times[0]);
    }
    println!("{rate:.2} images a second on {threads} threads");
    Ok(())
}
