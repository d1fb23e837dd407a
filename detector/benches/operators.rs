//! The operators at the shapes where YOLO networks spend their time, on every instruction set there is.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use detector::{Isa, operators};

fn convolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convolution");
    for isa in Isa::available() {
        // Input channels, output channels, side of the input, side of the kernel, stride.
        for shape in [[16, 32, 320, 3, 2], [48, 64, 160, 1, 1], [64, 64, 80, 3, 1], [128, 128, 20, 3, 1]] {
            let [inputs, outputs, side, kernel, stride]: [usize; 5] = shape;
            let work = inputs * outputs * (side / stride).pow(2) * kernel.pow(2);
            group.throughput(Throughput::Elements(work as u64));
            let name = format!("{inputs} to {outputs} of {side}x{side}, {kernel}x{kernel} by {stride}");
            let mut run = operators::convolution(isa, inputs, outputs, side, kernel, stride);
            group.bench_function(BenchmarkId::new(name, format!("{isa:?}")), |bencher| bencher.iter(&mut run));
        }
    }
    group.finish();
}

/// Convolutions of 3x3 by 1, directly and by Winograd's algorithm.
fn threes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("3x3 by 1");
    for isa in Isa::available() {
        for [inputs, outputs, side] in [[16, 16, 160], [32, 32, 80], [64, 64, 80], [64, 64, 40], [128, 128, 20]] {
            group.throughput(Throughput::Elements((inputs * outputs * side * side * 9) as u64));
            let name = format!("{inputs} to {outputs} of {side}x{side}");
            let ways = [
                ("directly", operators::convolution(isa, inputs, outputs, side, 3, 1)),
                ("Winograd", operators::winograd(isa, inputs, outputs, side)),
            ];
            for (way, mut run) in ways {
                group.bench_function(BenchmarkId::new(format!("{name}, {way}"), format!("{isa:?}")), |bencher| {
                    bencher.iter(&mut run);
                });
            }
        }
    }
    group.finish();
}

fn depthwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("depthwise convolution");
    for isa in Isa::available() {
        for [channels, side, kernel] in [[64, 40, 7], [128, 80, 3]] {
            group.throughput(Throughput::Elements((channels * side * side * kernel * kernel) as u64));
            let mut run = operators::depthwise(isa, channels, side, kernel);
            let name = format!("{channels} of {side}x{side}, {kernel}x{kernel}");
            group.bench_function(BenchmarkId::new(name, format!("{isa:?}")), |bencher| bencher.iter(&mut run));
        }
    }
    group.finish();
}

fn attention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    for isa in Isa::available() {
        let mut run = operators::attention(isa, 400, 32);
        group.throughput(Throughput::Elements(400 * 400 * 64));
        group.bench_function(BenchmarkId::new("400 tokens of 32", format!("{isa:?}")), |bencher| {
            bencher.iter(&mut run);
        });
    }
    group.finish();
}

criterion_group!(benches, convolutions, threes, depthwise, attention);
criterion_main!(benches);
