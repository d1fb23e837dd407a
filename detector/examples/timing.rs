//! How long a model takes on one thread: `timing MODEL [RUNS] [tract]`, on a grey image.
use std::time::{Duration, Instant};

use detector::{Detector, Options, Thresholds};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("which model?")?;
    let runs: usize = args.next().map_or(Ok(20), |runs| runs.parse())?;
    let options = Options { own_operators: args.next().as_deref() != Some("tract"), ..Options::default() };
    let start = Instant::now();
    let detector = Detector::load_with(path.as_ref(), Thresholds::default(), &options)?;
    println!("load {:?}, fallback: {:?}", start.elapsed(), detector.model().fallback_reason());
    let image = detector::RgbImage::from_fn(640, 640, |x, y| image::Rgb([(x * 7) as u8, (y * 3) as u8, (x ^ y) as u8]));
    let mut times: Vec<Duration> = Vec::new();
    for run in 0..runs + 3 {
        let (_, timings) = detector.detect_timed(&image)?;
        if run >= 3 {
            times.push(timings.inference);
        }
    }
    times.sort_unstable();
    println!("inference: median {:?}, least {:?}", times[times.len() / 2], times[0]);
    Ok(())
}
