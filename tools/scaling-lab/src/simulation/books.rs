//! What is written down while time passes: sums, percentiles, the timeline. Of one size, however long the load is.

use std::time::Duration;

use report::Durations;

use crate::outcome::{Change, Outcome, Slice, Waits};
use crate::time::{Nanos, in_seconds};

/// Changes of the capacity that are kept in words; all are counted.
const KEPT_CHANGES: usize = 1000;

/// How much there is of everything at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub(super) visible: u64,
    pub(super) in_flight: u64,
    pub(super) busy_threads: u32,
    pub(super) in_service: u32,
    /// Every instance that is paid for.
    pub(super) instances: u32,
    pub(super) desired: u32,
}

/// A level summed up over time: each in seconds times its unit.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    seconds: f64,
    visible: f64,
    in_flight: f64,
    busy_threads: f64,
    in_service: f64,
    instances: f64,
}

impl Sums {
    #[inline]
    fn pass(&mut self, seconds: f64, level: &Level) {
        self.seconds += seconds;
        self.visible += seconds * level.visible as f64;
        self.in_flight += seconds * level.in_flight as f64;
        self.busy_threads += seconds * f64::from(level.busy_threads);
        self.in_service += seconds * f64::from(level.in_service);
        self.instances += seconds * f64::from(level.instances);
    }

    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.visible += other.visible;
        self.in_flight += other.in_flight;
        self.busy_threads += other.busy_threads;
        self.in_service += other.in_service;
        self.instances += other.instances;
    }
}

/// What was counted since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SinceLook {
    pub(super) arrived: u64,
    pub(super) answered: u64,
    pub(super) busy_seconds: f64,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) level: Level,
    /// What comes before this is not counted.
    from: Nanos,
    promise: Nanos,
    last: Nanos,
    total: Sums,
    slice: Sums,
    slice_start: Nanos,
    slice_arrived: u64,
    slice_answered: u64,
    slice_most_visible: u64,
    /// For each policy, the sum of what was published in this slice, and how often.
    slice_metrics: Vec<(f64, u32)>,
    slices: Vec<Slice>,
    arrived: u64,
    failed: u64,
    late: u64,
    receives: u64,
    /// Of this slice; added to all at its end.
    slice_latencies: Durations,
    latencies: Durations,
    waits: Durations,
    /// Seconds that all photos were in the fleet, those that failed included.
    sojourn: f64,
    /// Seconds that threads worked for photos that were answered.
    work: f64,
    work_of: u64,
    pub(super) since_look: SinceLook,
    on_demand_seconds: f64,
    spot_seconds: f64,
    changes: Vec<Change>,
    changes_counted: u64,
    peak_in_service: u32,
    peak_visible: u64,
    lost_workers: u64,
    last_answer: Nanos,
}

impl Books {
    pub(super) fn new(from: Nanos, promise: Nanos, policies: usize) -> Self {
        Self {
            level: Level::default(),
            from,
            promise,
            last: 0,
            total: Sums::default(),
            slice: Sums::default(),
            slice_start: 0,
            slice_arrived: 0,
            slice_answered: 0,
            slice_most_visible: 0,
            slice_metrics: vec![(0.0, 0); policies],
            slices: Vec::new(),
            arrived: 0,
            failed: 0,
            late: 0,
            receives: 0,
            slice_latencies: Durations::new(),
            latencies: Durations::new(),
            waits: Durations::new(),
            sojourn: 0.0,
            work: 0.0,
            work_of: 0,
            since_look: SinceLook::default(),
            on_demand_seconds: 0.0,
            spot_seconds: 0.0,
            changes: Vec::new(),
            changes_counted: 0,
            peak_in_service: 0,
            peak_visible: 0,
            lost_workers: 0,
            last_answer: 0,
        }
    }

    /// Time passes; the level was this all the while.
    #[inline]
    pub(super) fn advance(&mut self, now: Nanos) {
        let begin = self.last.max(self.from);
        if now > begin {
            self.slice.pass(in_seconds(now - begin), &self.level);
        }
        self.since_look.busy_seconds += in_seconds(now - self.last) * f64::from(self.level.busy_threads);
        self.last = now;
    }

    #[inline]
    pub(super) fn arrived(&mut self, sent: Nanos) {
        self.since_look.arrived += 1;
        self.slice_arrived += 1;
        self.arrived += u64::from(sent >= self.from);
    }

    /// More messages can be received.
    #[inline]
    pub(super) fn more_visible(&mut self, more: u64) {
        self.level.visible += more;
        self.slice_most_visible = self.slice_most_visible.max(self.level.visible);
        if self.last >= self.from {
            self.peak_visible = self.peak_visible.max(self.level.visible);
        }
    }

    /// A photo that was sent then, which a thread began, has its answer at `answered`.
    #[inline]
    pub(super) fn answered(&mut self, sent: Nanos, began: Nanos, ended: Nanos, answered: Nanos) {
        self.since_look.answered += 1;
        self.slice_answered += 1;
        let work = in_seconds(ended - began);
        self.work += work;
        self.work_of += 1;
        self.last_answer = self.last_answer.max(answered);
        if sent < self.from {
            return;
        }
        let latency = answered - sent;
        self.sojourn += in_seconds(latency);
        self.late += u64::from(latency > self.promise);
        self.slice_latencies.record(Duration::from_nanos(latency));
        self.waits.record(Duration::from_nanos(began - sent));
    }

    /// A photo was given up.
    pub(super) fn failed(&mut self, sent: Nanos, now: Nanos) {
        if sent >= self.from {
            self.failed += 1;
            self.late += 1;
            self.sojourn += in_seconds(now - sent);
        }
    }

    #[inline]
    pub(super) fn received(&mut self) {
        self.receives += 1;
    }

    /// An instance is gone.
    pub(super) fn ended(&mut self, launched: Nanos, now: Nanos, spot: bool) {
        let begin = launched.max(self.from);
        let seconds = in_seconds(now.saturating_sub(begin));
        if spot { self.spot_seconds += seconds } else { self.on_demand_seconds += seconds }
    }

    pub(super) fn lost_a_worker(&mut self) {
        self.lost_workers += 1;
    }

    pub(super) fn in_service(&mut self, in_service: u32) {
        let before = std::mem::replace(&mut self.level.in_service, in_service);
        if self.last >= self.from {
            self.peak_in_service = self.peak_in_service.max(before).max(in_service);
        }
    }

    pub(super) fn published(&mut self, policy: usize, value: f64) {
        let (sum, count) = &mut self.slice_metrics[policy];
        *sum += value;
        *count += 1;
    }

    /// The desired capacity changes.
    pub(super) fn changed(&mut self, now: Nanos, to: u32, cause: impl FnOnce() -> String) {
        let from = std::mem::replace(&mut self.level.desired, to);
        if now >= self.from {
            self.changes_counted += 1;
            if self.changes.len() < KEPT_CHANGES {
                self.changes.push(Change { at: in_seconds(now), from, to, cause: cause() });
            }
        }
    }

    /// How many photos are in the fleet.
    #[inline]
    pub(super) fn in_system(&self) -> u64 {
        self.level.visible + self.level.in_flight
    }

    /// A slice of the timeline is over.
    pub(super) fn end_slice(&mut self, now: Nanos) {
        let length = in_seconds(now - self.slice_start);
        if length > 0.0 {
            let seconds = self.slice.seconds.max(1e-9);
            let percentiles = self.slice_latencies.percentiles();
            let at = |of: fn(&report::Percentiles) -> f64| percentiles.as_ref().map(of);
            let metric = |(sum, count): &(f64, u32)| (*count > 0).then(|| sum / f64::from(*count));
            self.slices.push(Slice {
                start: in_seconds(self.slice_start),
                length,
                arrived: self.slice_arrived,
                answered: self.slice_answered,
                visible: self.slice.visible / seconds,
                most_visible: self.slice_most_visible,
                in_flight: self.slice.in_flight / seconds,
                in_service: self.slice.in_service / seconds,
                instances: self.slice.instances / seconds,
                desired: self.level.desired,
                metrics: self.slice_metrics.iter().map(metric).collect(),
                p50: at(|of| of.p50),
                p95: at(|of| of.p95),
                p99: at(|of| of.p99),
            });
        }
        self.latencies.add(&self.slice_latencies);
        self.slice_latencies.clear();
        self.total.add(&self.slice);
        self.slice = Sums::default();
        self.slice_metrics.fill((0.0, 0));
        self.slice_arrived = 0;
        self.slice_answered = 0;
        self.slice_most_visible = self.level.visible;
        self.slice_start = now;
    }

    /// All of it.
    pub(super) fn close(mut self, threads: u32, events: u64) -> Outcome {
        self.end_slice(self.last);
        let total = self.total;
        let seconds = total.seconds.max(1e-9);
        let histogram = self.latencies.buckets();
        let answered = self.latencies.count();
        let counted = answered + self.failed;
        Outcome {
            seconds: total.seconds,
            arrived: self.arrived,
            answered,
            failed: self.failed,
            outstanding: self.arrived.saturating_sub(counted),
            latency: self.latencies.percentiles().map(Waits::from),
            wait: self.waits.percentiles().map(Waits::from),
            late: self.late,
            late_share: if counted > 0 { self.late as f64 / counted as f64 } else { 0.0 },
            receives: self.receives,
            photo_seconds: total.visible + total.in_flight,
            sojourn_seconds: self.sojourn,
            worker_seconds: self.on_demand_seconds + self.spot_seconds,
            on_demand_seconds: self.on_demand_seconds,
            spot_seconds: self.spot_seconds,
            in_service_seconds: total.in_service,
            work_seconds: total.busy_threads / f64::from(threads),
            mean_in_service: total.in_service / seconds,
            mean_visible: total.visible / seconds,
            peak_in_service: self.peak_in_service.max(self.level.in_service),
            peak_visible: self.peak_visible,
            changes: self.changes_counted,
            lost_workers: self.lost_workers,
            last_answer: in_seconds(self.last_answer),
            histogram,
            first_changes: self.changes,
            timeline: self.slices,
            events,
        }
    }
}
