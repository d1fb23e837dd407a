//! The swing that the fleet on one machine was seen to do: `up --model stand-in:100 --max 8 --target 10` and
//! `flood --rate 25 --for 150s`. docs/LAB.md has the measurements.

use std::time::Duration;

use load::Shape;
use scaling_lab::{Distribution, Load, Run, Scaling, Setting, simulate};

/// What was measured on the running fleet: workers in service on average, p95 of the latency, seconds from swing to swing.
const SEEN: (f64, f64, f64) = (5.8, 2.9, 22.0);

/// The fleet on one machine, a minute a second.
fn local() -> Setting {
    let second = Duration::from_secs(1);
    let mut setting = Setting { boot: Distribution::Fixed(60 * second), warmup: 60 * second, ..Setting::by_backlog() };
    // Its policy evaluates a twentieth of a period after the end of one.
    setting.publishing.delay = 3 * second;
    setting.in_service_after = None;
    let mut setting = setting.faster(60);
    // What a process takes to start comes on top of the pretended boot.
    setting.boot = Distribution::Fixed(Duration::from_millis(1200));
    setting.worker.threads = 1;
    setting.worker.service = Distribution::Fixed(Duration::from_millis(102));
    setting.worker.fetch = Duration::from_millis(15);
    setting.worker.store = Duration::from_millis(25);
    setting.group.max = 8;
    if let Scaling::TargetTracking(policies) = &mut setting.scaling {
        policies[0].target = 10.0;
    }
    setting
}

#[test]
fn the_fleet_swings_as_it_was_seen_to() {
    let load = Load::new(Shape::Constant { rate: 25.0, duration: Duration::from_secs(150) });
    let (mut workers, mut p95, mut period) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=20 {
        let outcome = simulate(&local(), &load, Run { seed, ..Run::default() }).expect("simulated");
        let swing = outcome.swing().expect("it swings");
        println!(
            "{seed}: {:.2} workers, p95 {:.2} s, turns every {:.1} s, backlog up to {}, peak {}",
            outcome.mean_in_service,
            outcome.latency.expect("answers").p95,
            swing.period,
            outcome.peak_visible,
            outcome.peak_in_service
        );
        assert!(outcome.peak_in_service >= 7, "it grows to the most, or nearly");
        workers.push(outcome.mean_in_service);
        p95.push(outcome.latency.expect("answers").p95);
        period.push(swing.period);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let found = (mean(&workers), mean(&p95), mean(&period));
    println!("{found:?}");
    assert!((found.0 / SEEN.0 - 1.0).abs() < 0.10, "{} workers and not {}", found.0, SEEN.0);
    assert!((found.1 / SEEN.1 - 1.0).abs() < 0.15, "a p95 of {} s and not {}", found.1, SEEN.1);
    assert!((found.2 / SEEN.2 - 1.0).abs() < 0.15, "a swing every {} s and not {}", found.2, SEEN.2);
}
