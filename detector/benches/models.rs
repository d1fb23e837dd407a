//! A whole photo through the default model, and through the model that `MODEL` names.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use detector::{Detector, RgbImage, Thresholds};

fn models(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("detect, 640x640");
    group.sample_size(20);
    let named = std::env::var("MODEL").ok().filter(|model| model != models::DEFAULT);
    for model in std::iter::once(models::DEFAULT.to_owned()).chain(named) {
        let path = models::locate(&model, &|step| eprintln!("{step}")).expect("the model");
        let detector = Detector::load(&path, Thresholds::default()).expect("a detector");
        let image = RgbImage::from_fn(640, 640, |x, y| image::Rgb([(x * 7) as u8, (y * 3) as u8, (x ^ y) as u8]));
        group.bench_function(detector.name(), |bencher| {
            bencher.iter(|| detector.detect(black_box(&image)).expect("detections"));
        });
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
