//! The simulator against what queueing theory knows exactly.

use std::time::Duration;

use load::{Shape, Spacing};
use proptest::prelude::*;
use scaling_lab::{Distribution, Load, Losses, Outcome, Run, Scaling, Setting, TargetTracking, simulate};

/// A second of service on average: rates are loads.
const SERVICE: Duration = Duration::from_secs(1);

/// A fixed fleet as theory has it: a free worker takes the next photo, and no worker holds two.
fn servers(workers: u32, threads: u32, service: Distribution) -> Setting {
    let mut setting = Setting { scaling: Scaling::Fixed, ..Setting::by_backlog() };
    setting.worker.threads = threads;
    setting.worker.service = service;
    setting.worker.held_per_thread = 1;
    setting.in_service_after = None;
    (setting.group.min, setting.group.max, setting.group.initial) = (workers, workers, workers);
    setting
}

/// So many photos at this rate.
fn steady(rate: f64, photos: f64) -> Load {
    Load::new(Shape::Constant { rate, duration: Duration::from_secs_f64(photos / rate) })
}

fn run(setting: &Setting, load: &Load) -> Outcome {
    let outcome = simulate(setting, load, Run { seed: 7, ..Run::default() }).expect("simulated");
    little(&outcome);
    outcome
}

/// Little's law: photos in the fleet, summed up over time, are their times in it, summed up over photos.
fn little(outcome: &Outcome) {
    let Outcome { photo_seconds, sojourn_seconds, outstanding, .. } = outcome;
    assert_eq!(*outstanding, 0, "all are answered at last");
    let difference = (photo_seconds / sojourn_seconds - 1.0).abs();
    assert!(difference < 1e-6, "{photo_seconds} photo-seconds and not {sojourn_seconds}");
}

fn near(what: &str, found: f64, expected: f64, within: f64) {
    let off = (found / expected - 1.0) * 100.0;
    println!("{what}: {found:.4}, theory {expected:.4}, {off:+.2} %");
    assert!(off.abs() <= within, "{what}: {found} and not {expected}, {off:+.2} %");
}

/// Erlang's C formula: the share of photos that wait at all, `offered` being the load in servers.
fn erlang_c(servers: u32, offered: f64) -> f64 {
    // By Erlang's B formula, in the form that no factorial overflows.
    let blocked = (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
    let utilisation = offered / f64::from(servers);
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

/// Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone exchanges"
/// (1917): in M/M/k, a share C waits, and how long is exponential with rate k - offered.
#[test]
fn exponential_service_waits_as_erlang_says() {
    for (workers, threads, utilisation) in [(1, 1, 0.7), (4, 1, 0.8), (2, 2, 0.8), (10, 1, 0.85)] {
        let count = workers * threads;
        let offered = utilisation * f64::from(count);
        let outcome = run(&servers(workers, threads, Distribution::Exponential(SERVICE)), &steady(offered, 2e6));
        let (wait, name) = (outcome.wait.expect("photos"), format!("M/M/{count} at {utilisation}"));
        let (waits, free) = (erlang_c(count, offered), f64::from(count) - offered);
        near(&format!("{name}, mean wait"), wait.mean, waits / free, 2.0);
        near(&format!("{name}, p95 of the wait"), wait.p95, (waits / 0.05).ln() / free, 2.0);
        near(&format!("{name}, busy"), outcome.work_seconds / outcome.in_service_seconds, utilisation, 1.0);
    }
}

/// Pollaczek and Khinchine: with fixed service, photos wait half as long as with exponential.
#[test]
fn fixed_service_waits_as_pollaczek_and_khinchine_say() {
    for utilisation in [0.5, 0.7, 0.85] {
        let outcome = run(&servers(1, 1, Distribution::Fixed(SERVICE)), &steady(utilisation, 2e6));
        let expected = utilisation / (2.0 * (1.0 - utilisation));
        near(&format!("M/D/1 at {utilisation}, mean wait"), outcome.wait.expect("photos").mean, expected, 2.0);
    }
}

/// Any service: the mean wait in M/G/1 depends on mean and variance alone (Pollaczek and Khinchine).
#[test]
fn measured_service_waits_as_pollaczek_and_khinchine_say() {
    let service = Distribution::quantiles(vec![0.5, 0.7, 1.1, 2.5]).expect("quantiles");
    // Straight lines between quantiles: each third is even between its ends.
    let thirds = [(0.5, 0.7), (0.7, 1.1), (1.1, 2.5)];
    let mean = thirds.iter().map(|(a, b)| (a + b) / 2.0).sum::<f64>() / 3.0;
    let square = thirds.iter().map(|(a, b)| (a * a + a * b + b * b) / 3.0).sum::<f64>() / 3.0;
    let rate = 0.7 / mean;
    let outcome = run(&servers(1, 1, service), &steady(rate, 2e6));
    near("M/G/1 at 0.7, mean wait", outcome.wait.expect("photos").mean, rate * square / (2.0 * 0.3), 2.0);
}

fn with_setup(count: u32, setup: f64, one_at_a_time: bool) -> Setting {
    let mut setting = servers(count, 1, Distribution::Exponential(SERVICE));
    setting.scaling = Scaling::AtOnce { one_at_a_time };
    (setting.group.min, setting.group.initial) = (0, 0);
    setting.boot = Distribution::Exponential(Duration::from_secs_f64(setup));
    setting
}

/// Gandhi, Harchol-Balter and Adan, "Server farms with setup costs" (Performance Evaluation 67, 2010): where servers are
/// turned off when idle and set up one at a time, the mean response time is that of M/M/k and the mean setup time.
#[test]
fn setup_one_at_a_time_costs_one_setup_time() {
    for (count, utilisation, setup) in [(1, 0.6, 5.0), (4, 0.5, 10.0), (10, 0.7, 20.0)] {
        let offered = utilisation * f64::from(count);
        let outcome = run(&with_setup(count, setup, true), &steady(offered, 2e6));
        let expected = 1.0 + erlang_c(count, offered) / (f64::from(count) - offered) + setup;
        let name = format!("M/M/{count} at {utilisation}, staggered setup of {setup}");
        near(&name, outcome.latency.expect("photos").mean, expected, 2.0);
    }
}

/// The mean response time of M/M/k with exponential setup, each waiting photo having a server of its own set up (the
/// same paper's ON/OFF policy; solved exactly by Phung-Duc, "Exact solutions for M/M/c/Setup queues", 2014): from the
/// stationary distribution of its Markov chain, by iteration. The state is (servers on, photos).
fn mean_response_with_setup(count: usize, rate: f64, setup: f64) -> f64 {
    const MOST: usize = 400;
    let begin = 1.0 / setup;
    let at = |on: usize, photos: usize| on * (MOST + 1) + photos;
    let mut share = vec![0.0; (count + 1) * (MOST + 1)];
    (0..=MOST).for_each(|photos| share[at(count.min(photos), photos)] = 0.5_f64.powi(photos.min(60) as i32));
    let setups = |on: usize, photos: usize| (count.min(photos) - on) as f64 * begin;
    loop {
        let mut moved = 0.0_f64;
        for photos in 0..=MOST {
            for on in 0..=count.min(photos) {
                let mut inflow = 0.0;
                if photos > 0 && on < photos {
                    // An arrival; one that found every photo in service is the first that waits.
                    inflow += rate * share[at(on, photos - 1)];
                }
                if photos < MOST {
                    inflow += on as f64 * share[at(on, photos + 1)];
                    if on == photos && on < count {
                        // A server that found nobody waiting is turned off.
                        inflow += (on + 1) as f64 * share[at(on + 1, photos + 1)];
                    }
                }
                if on > 0 {
                    inflow += setups(on - 1, photos) * share[at(on - 1, photos)];
                }
                let outflow = if photos < MOST { rate } else { 0.0 } + on as f64 + setups(on, photos);
                let value = inflow / outflow;
                moved = moved.max((value - share[at(on, photos)]).abs());
                share[at(on, photos)] = value;
            }
        }
        let sum: f64 = share.iter().sum();
        share.iter_mut().for_each(|value| *value /= sum);
        if moved < 1e-13 {
            break;
        }
    }
    let mean: f64 = (0..=count)
        .flat_map(|on| (0..=MOST).map(move |photos| (on, photos)))
        .map(|(on, photos)| photos as f64 * share[at(on, photos)])
        .sum();
    mean / rate
}

#[test]
fn setup_for_each_that_waits_costs_what_its_markov_chain_says() {
    // One server is the same as one at a time.
    near("the chain itself", mean_response_with_setup(1, 0.6, 5.0), 1.0 / 0.4 + 5.0, 0.01);
    for (count, utilisation, setup) in [(2, 0.6, 5.0), (5, 0.5, 10.0), (10, 0.7, 20.0)] {
        let offered = utilisation * f64::from(count);
        let outcome = run(&with_setup(count, setup, false), &steady(offered, 2e6));
        let expected = mean_response_with_setup(count as usize, offered, setup);
        let name = format!("M/M/{count} at {utilisation}, setup of {setup}");
        near(&name, outcome.latency.expect("photos").mean, expected, 2.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Little's law and the sum of all photos hold whatever scales the fleet and whatever befalls it; and the same seed
    /// gives the same result.
    #[test]
    fn nothing_is_lost_and_little_is_right(
        rate in 1.0..60.0_f64, seed: u64, threads in 1_u32..4, held in 1_u32..4, store in 0_u64..200, fetch in 0_u64..200,
        crashes in 0.0..30.0_f64, interruptions in 0.0..30.0_f64, base in 0_u32..3, min in 0_u32..3, target in 1.0..50.0_f64,
        even: bool,
    ) {
        let mut setting = Setting::by_backlog();
        setting.worker.threads = threads;
        setting.worker.held_per_thread = held;
        setting.worker.service = Distribution::Exponential(Duration::from_millis(150));
        setting.worker.store = Duration::from_millis(store);
        setting.worker.fetch = Duration::from_millis(fetch);
        setting.group.min = min;
        setting.group.initial = min;
        setting.queue.max_receives = 3;
        setting.losses = Losses {
            crashes_per_hour: crashes, interruptions_per_hour: interruptions, on_demand_base: base, ..setting.losses
        };
        if let Scaling::TargetTracking(policies) = &mut setting.scaling {
            policies[0].target = target;
        }
        let shape = Shape::Spike { base: rate / 4.0, peak: rate, duration: Duration::from_secs(3600) };
        let spacing = if even { Spacing::Even } else { Spacing::Poisson };
        let load = Load { spacing, ..Load::new(shape) };
        let run = Run { seed, patience: Duration::from_secs(30 * 24 * 3600), ..Run::default() };
        let outcome = simulate(&setting, &load, run).expect("simulated");
        prop_assert_eq!(outcome.arrived, outcome.answered + outcome.failed);
        little(&outcome);
        prop_assert!(outcome.work_seconds <= outcome.worker_seconds + 1e-6);
        prop_assert!(outcome.in_service_seconds <= outcome.worker_seconds + 1e-6);
        prop_assert!(outcome.peak_in_service <= setting.group.max);
        prop_assert_eq!(outcome.arrived, load::Arrivals::of(&load.shape, load.spacing, seed).expect("arrivals").planned());
        prop_assert_eq!(&simulate(&setting, &load, run).expect("simulated"), &outcome);
    }
}

/// A policy is not asked where the fleet is fixed, and the two that are written down are different.
#[test]
fn a_fleet_without_scaling_does_not_change() {
    let mut setting = servers(3, 1, Distribution::Exponential(SERVICE));
    let load = steady(2.0, 20_000.0);
    assert_eq!(run(&setting, &load).changes, 0);
    setting.scaling = Scaling::TargetTracking(vec![TargetTracking {
        metric: scaling_lab::Metric::BACKLOG_PER_INSTANCE,
        target: 0.01,
        disable_scale_in: false,
    }]);
    setting.group.max = 9;
    assert!(run(&setting, &load).changes > 0);
}
