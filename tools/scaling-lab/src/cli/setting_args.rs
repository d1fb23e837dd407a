//! A fleet on the command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::setting::{Outage, Scaling, ScheduledMin, TargetTracking};
use crate::{Distribution, LabError, Metric, Setting};

/// A fleet. What is not given is as `infra/polybot.yaml` has it, but for one worker on demand.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SettingArgs {
    /// Photos that one worker detects at the same time [default: 2, or as in the bench]
    #[arg(long, help_heading = WORKER)]
    threads: Option<u32>,
    /// The time that a thread takes for a photo: 150ms, exp:150ms (exponential with this mean), or quantiles 100ms,120ms,300ms
    /// [default: 151.5ms, so 13.2 photos a second with two threads]
    #[arg(long, value_name = "TIME", help_heading = WORKER, conflicts_with = "bench")]
    service: Option<Distribution>,
    /// That time from `yolo-worker bench --json`; TYPE= names the instance type that it ran on
    #[arg(long, value_name = "[TYPE=]FILE", help_heading = WORKER)]
    bench: Vec<BenchFile>,
    /// Messages that a worker holds for each thread
    #[arg(long, value_name = "MESSAGES", help_heading = WORKER)]
    held: Option<u32>,
    /// From receiving a job until a thread can start: fetching the photo [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = WORKER)]
    fetch: Option<Duration>,
    /// From the end of the detection until the answer: storing the result [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = WORKER)]
    store: Option<Duration>,

    /// The fewest workers (WorkerMin) [default: 1]
    #[arg(long, help_heading = GROUP)]
    min: Option<u32>,
    /// The most workers (WorkerMax) [default: 10]
    #[arg(long, help_heading = GROUP)]
    max: Option<u32>,
    /// Workers at the start [default: the fewest]
    #[arg(long, value_name = "WORKERS", help_heading = GROUP)]
    initial: Option<u32>,
    /// A higher minimum in this part of each day: 8h-18h:5. The simulation begins at midnight
    #[arg(long, value_name = "FROM-TO:MIN", help_heading = GROUP)]
    schedule: Vec<Schedule>,
    /// A fixed number of workers, without scaling
    #[arg(long, value_name = "WORKERS", help_heading = GROUP, conflicts_with_all = ["min", "max", "initial"])]
    fixed: Option<u32>,

    /// Scale by BacklogPerInstance, with this target (BacklogTarget)
    #[arg(long, help_heading = SCALING, conflicts_with = "policy", allow_negative_numbers = true)]
    target: Option<f64>,
    /// Scale by METRIC=TARGET, or METRIC=TARGET:out to scale out only. Several are combined as in EC2 Auto Scaling
    /// [default: WorkerDemand=100]
    #[arg(long, value_name = "METRIC=TARGET", help_heading = SCALING)]
    policy: Vec<PolicyArg>,
    /// From launch until the worker takes jobs; also exp:90s, or quantiles [default: 90s]
    #[arg(long, value_name = "TIME", help_heading = SCALING)]
    boot: Option<Distribution>,
    /// From launch until the group counts the instance as in service; `ready`: when its worker takes jobs [default: ready]
    #[arg(long, value_name = "TIME", help_heading = SCALING)]
    in_service_after: Option<InServiceAfter>,
    /// How long an instance in service counts as warming up (WorkerWarmup) [default: 40s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = SCALING)]
    warmup: Option<Duration>,
    /// The longest that a worker may take to drain (WorkerDrainSeconds) [default: 100s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = SCALING)]
    drain: Option<Duration>,
    /// From one published metric to the next (INTERVAL) [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = SCALING)]
    interval: Option<Duration>,
    /// The period of the alarms [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = SCALING)]
    period: Option<Duration>,
    /// From a period's end until its alarms are evaluated [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = SCALING)]
    delay: Option<Duration>,
    /// How much faster than in AWS the group scales, as `up --time-scale`; detection takes as long as ever
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=60), help_heading = SCALING)]
    time_scale: Option<u32>,

    /// Instances that are on demand (WorkerOnDemandBase, 0 by default in the stack) [default: 1]
    #[arg(long, value_name = "WORKERS", help_heading = LOSSES)]
    on_demand_base: Option<u32>,
    /// The percentage on demand above the base (WorkerOnDemandPercent) [default: 0]
    #[arg(long, value_name = "PERCENT", help_heading = LOSSES)]
    on_demand_percent: Option<f64>,
    /// How often an hour each spot instance is interrupted [default: 0]
    #[arg(long, value_name = "AN HOUR", help_heading = LOSSES)]
    interruptions: Option<f64>,
    /// A time without spot capacity: 2h:10m. May be repeated
    #[arg(long, value_name = "AT:LENGTH", help_heading = LOSSES)]
    outage: Vec<OutageArg>,
    /// How often an hour each instance dies without notice [default: 0]
    #[arg(long, value_name = "AN HOUR", help_heading = LOSSES)]
    crashes: Option<f64>,
    /// The queue's visibility timeout [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = LOSSES)]
    visibility_timeout: Option<Duration>,
    /// The receives after which a message becomes a dead letter [default: 5]
    #[arg(long, value_name = "RECEIVES", help_heading = LOSSES)]
    max_receives: Option<u32>,

    /// The longest that a photo may take, from sending to the answer [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    promise: Option<Duration>,
}

const WORKER: &str = "One worker";
const GROUP: &str = "How many workers";
const SCALING: &str = "What scales them";
const LOSSES: &str = "What goes wrong";

impl SettingArgs {
    /// This fleet, where nothing else is said as `base`.
    ///
    /// # Errors
    /// If a bench can't be read.
    pub fn onto(&self, base: Setting) -> Result<Setting, LabError> {
        let mut setting = base;
        if let [BenchFile { file, .. }] = &self.bench[..] {
            let (service, threads) = Distribution::bench(file)?;
            (setting.worker.service, setting.worker.threads) = (service, threads);
        }
        let worker = &mut setting.worker;
        put(&mut worker.threads, self.threads);
        put(&mut worker.service, self.service.clone());
        put(&mut worker.held_per_thread, self.held);
        put(&mut worker.fetch, self.fetch);
        put(&mut worker.store, self.store);
        let group = &mut setting.group;
        put(&mut group.min, self.min);
        put(&mut group.max, self.max);
        group.initial = self.initial.unwrap_or(if self.min.is_some() { group.min } else { group.initial });
        if let Some(workers) = self.fixed {
            (group.min, group.max, group.initial) = (workers, workers, workers);
            setting.scaling = Scaling::Fixed;
        }
        if !self.schedule.is_empty() {
            group.schedule = self.schedule.iter().map(|schedule| schedule.0).collect();
        }
        if let Some(target) = self.target {
            let metric = Metric::BACKLOG_PER_INSTANCE;
            setting.scaling = Scaling::TargetTracking(vec![TargetTracking { metric, target, disable_scale_in: false }]);
        }
        if !self.policy.is_empty() {
            setting.scaling = Scaling::TargetTracking(self.policy.iter().map(|policy| policy.0).collect());
        }
        put(&mut setting.boot, self.boot.clone());
        put(&mut setting.in_service_after, self.in_service_after.map(|after| after.0));
        put(&mut setting.warmup, self.warmup);
        put(&mut setting.drain, self.drain);
        let publishing = &mut setting.publishing;
        put(&mut publishing.interval, self.interval);
        put(&mut publishing.period, self.period);
        put(&mut publishing.delay, self.delay);
        let losses = &mut setting.losses;
        put(&mut losses.on_demand_base, self.on_demand_base);
        put(&mut losses.on_demand_percent, self.on_demand_percent);
        put(&mut losses.interruptions_per_hour, self.interruptions);
        put(&mut losses.crashes_per_hour, self.crashes);
        if !self.outage.is_empty() {
            losses.outages = self.outage.iter().map(|outage| outage.0).collect();
        }
        put(&mut setting.queue.visibility_timeout, self.visibility_timeout);
        put(&mut setting.queue.max_receives, self.max_receives);
        put(&mut setting.promise, self.promise);
        Ok(match self.time_scale {
            Some(times) => setting.faster(times),
            None => setting,
        })
    }

    /// These flags, and where `other` has one, that.
    pub(super) fn joined(&self, other: &Self) -> Self {
        macro_rules! joined {
            (options: $($option:ident)*; lists: $($list:ident)*) => {
                Self {
                    $($option: other.$option.clone().or_else(|| self.$option.clone()),)*
                    $($list: if other.$list.is_empty() { self.$list.clone() } else { other.$list.clone() },)*
                }
            };
        }
        let mut joined = joined! {
            options: threads service held fetch store min max initial fixed target boot in_service_after warmup drain
                interval period delay time_scale on_demand_base on_demand_percent interruptions crashes visibility_timeout
                max_receives promise;
            lists: bench schedule policy outage
        };
        // Each of these says what the other would: the newer one counts.
        if other.target.is_some() {
            joined.policy.clear();
        }
        if !other.bench.is_empty() {
            joined.service = None;
        }
        joined
    }

    /// The benches, each of a type where it has one.
    pub(super) fn benches(&self) -> &[BenchFile] {
        &self.bench
    }
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// `FILE` or `TYPE=FILE`.
#[derive(Clone, Debug)]
pub(super) struct BenchFile {
    pub(super) instance_type: Option<String>,
    pub(super) file: PathBuf,
}

impl FromStr for BenchFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('=') {
            Some((instance_type, file)) => Self { instance_type: Some(instance_type.into()), file: file.into() },
            None => Self { instance_type: None, file: text.into() },
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct PolicyArg(TargetTracking);

impl FromStr for PolicyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (metric, target) = text.split_once('=').ok_or("expected METRIC=TARGET, for example WorkerDemand=70")?;
        let (target, out_only) = target.strip_suffix(":out").map_or((target, false), |target| (target, true));
        let target = target.parse().map_err(|_| format!("the target {target:?} is not a number"))?;
        Ok(Self(TargetTracking { metric: metric.parse()?, target, disable_scale_in: out_only }))
    }
}

/// None: when its worker takes jobs.
#[derive(Clone, Copy, Debug)]
struct InServiceAfter(Option<Duration>);

impl FromStr for InServiceAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(if text == "ready" { None } else { Some(duration::parse(text)?) }))
    }
}

#[derive(Clone, Copy, Debug)]
struct Schedule(ScheduledMin);

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not a scheduled minimum: expected for example 8h-18h:5");
        let (times, min) = text.rsplit_once(':').ok_or_else(expected)?;
        let (from, to) = times.split_once('-').ok_or_else(expected)?;
        let min = min.parse().map_err(|_| expected())?;
        Ok(Self(ScheduledMin { from: duration::parse(from)?, to: duration::parse(to)?, min }))
    }
}

#[derive(Clone, Copy, Debug)]
struct OutageArg(Outage);

impl FromStr for OutageArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (at, length) =
            text.split_once(':').ok_or_else(|| format!("{text:?} is not an outage: expected for example 2h:10m"))?;
        Ok(Self(Outage { at: duration::parse(at)?, length: duration::parse(length)? }))
    }
}
