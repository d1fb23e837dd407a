//! How fast the lab simulates: a day at 40 photos a second on average, on about ten workers.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use load::Shape;
use scaling_lab::{Distribution, Load, Run, Scaling, Setting, simulate};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn fleet(service: Distribution) -> Setting {
    let mut setting = Setting::default();
    setting.worker.service = service;
    (setting.group.min, setting.group.max, setting.group.initial) = (2, 10, 4);
    if let Scaling::TargetTracking(policies) = &mut setting.scaling {
        policies[0].target = 50.0;
    }
    setting
}

fn days(criterion: &mut Criterion) {
    let steady = Load::new(Shape::Constant { rate: 40.0, duration: DAY });
    let waves = Load::new(Shape::Day { low: 10.0, high: 70.0, day: DAY, duration: DAY });
    let thread = Duration::from_millis(300);
    let quantiles = Distribution::Quantiles(vec![0.2, 0.25, 0.28, 0.3, 0.33, 0.4, 0.6]);
    let mut group = criterion.benchmark_group("a day at 40 photos a second");
    group.sample_size(10).throughput(Throughput::Elements(3_456_000));
    for (name, setting, load) in [
        ("steady, fixed service", fleet(Distribution::Fixed(thread)), &steady),
        ("steady, exponential service", fleet(Distribution::Exponential(thread)), &steady),
        ("day and night, measured service", fleet(quantiles), &waves),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| simulate(black_box(&setting), load, Run::default()).expect("simulated"));
        });
    }
    group.finish();
}

criterion_group!(benches, days);
criterion_main!(benches);
