//! `photo`'s filters that a kept library has, too, and that library's: the reason why these are our own. Here, as this crate has
//! both already.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use image::{Rgb, RgbImage};
use photo::filters;

/// A photo-like image of 600x400: slopes with grains.
fn grains() -> RgbImage {
    let grain = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)) >> 28;
    RgbImage::from_fn(600, 400, |x, y| Rgb([x / 3, y / 2, (x + y) / 4].map(|value| (value ^ grain(x, y)) as u8)))
}

fn median(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("median");
    let image = grains();
    for radius in [1, 3, 5] {
        assert!(filters::median(&image, radius) == imageproc::filter::median_filter(&image, radius, radius));
        group.bench_function(BenchmarkId::new("ours", radius), |bencher| {
            bencher.iter(|| filters::median(&image, radius));
        });
        group.bench_function(BenchmarkId::new("imageproc", radius), |bencher| {
            bencher.iter(|| imageproc::filter::median_filter(&image, radius, radius));
        });
    }
    group.finish();
}

fn invert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("invert");
    let image = grains();
    group.bench_function("ours", |bencher| bencher.iter(|| filters::invert(image.clone())));
    group.bench_function("image", |bencher| {
        bencher.iter(|| {
            let mut image = image.clone();
            image::imageops::invert(&mut image);
            image
        });
    });
    group.finish();
}

criterion_group!(benches, median, invert);
criterion_main!(benches);
