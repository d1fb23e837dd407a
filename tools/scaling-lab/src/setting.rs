//! One fleet as an operator could run it: what he decides, and what he measured.

use std::time::Duration;

use demand::DemandSettings;
use serde::Serialize;

use crate::{Distribution, LabError, Metric};

/// More workers than any account starts.
const MOST_WORKERS: u32 = 10_000;
/// More threads than any machine has.
const MOST_THREADS: u32 = 1024;

/// A fleet. All durations are as they pass; [`Setting::faster`] shortens those of AWS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// What one worker does.
    pub worker: Worker,
    /// How many there may be.
    pub group: Group,
    /// What scales them.
    pub scaling: Scaling,
    /// From launch until the worker takes jobs.
    pub boot: Distribution,
    /// From launch until the group counts the instance as in service, if that is before its worker takes jobs: so it is
    /// where no launch hook holds it back. None: it is in service when it takes jobs.
    #[serde(serialize_with = "duration::seconds::option::serialize")]
    pub in_service_after: Option<Duration>,
    /// How long an instance that is in service counts as warming up.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub warmup: Duration,
    /// How long a worker that is to end may take to finish what it has.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub drain: Duration,
    /// How the metric comes to the policies.
    pub publishing: Publishing,
    /// The queue.
    pub queue: Queue,
    /// Instances that go before they are asked to.
    pub losses: Losses,
    /// How long a photo may take, from sent to answered.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub promise: Duration,
}

/// What one worker does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worker {
    /// Photos side by side.
    pub threads: u32,
    /// How long a thread takes for one.
    pub service: Distribution,
    /// How many messages it holds for each thread: those that it works on included.
    pub held_per_thread: u32,
    /// From received until a thread can begin: the record read and the photo fetched.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub fetch: Duration,
    /// From when the thread is done until the answer is there: the result stored and recorded.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub store: Duration,
}

/// How many workers there may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// How many are in service at the start.
    pub initial: u32,
    /// Times of day at which there are more at least.
    pub schedule: Vec<ScheduledMin>,
}

/// A minimum for a part of each day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScheduledMin {
    /// From this time of the day, the simulation beginning at midnight.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub from: Duration,
    /// To this time of the day.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub to: Duration,
    /// Not fewer workers than this.
    pub min: u32,
}

/// What scales a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Not at all: the number of instances stays.
    Fixed,
    /// Target tracking policies, all at once, as EC2 Auto Scaling combines them.
    TargetTracking(Vec<TargetTracking>),
    /// At every moment as many as there are photos, in queueing theory's words M/M/k with setup: no metric, no
    /// alarm, no delay but the boot. No real fleet scales so; it is what theory has formulas for.
    AtOnce {
        /// No instance is launched while another one boots.
        one_at_a_time: bool,
    },
}

/// A target tracking policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TargetTracking {
    /// What it follows.
    pub metric: Metric,
    /// What the metric should be.
    pub target: f64,
    /// Scale out only.
    pub disable_scale_in: bool,
}

/// How the metric comes to the policies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Publishing {
    /// From one look at the fleet to the next, each published.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub interval: Duration,
    /// The alarms' period.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub period: Duration,
    /// From the end of a period until CloudWatch has its point, evaluates the alarms, and the group acts.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub delay: Duration,
    /// How long a minute takes: the action of an alarm that lasts is repeated once a minute.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub minute: Duration,
    /// Between two periods' ends and looks everything else may lie anywhere: by chance, or at the start.
    pub random_phase: bool,
}

/// The queue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Queue {
    /// How long a received message stays invisible, unless extended. Workers extend at half of it.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub visibility_timeout: Duration,
    /// The receives after which a message goes to the dead-letter queue.
    pub max_receives: u32,
}

/// Instances that go before they are asked to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Losses {
    /// So many instances are on demand, whatever else.
    pub on_demand_base: u32,
    /// The percentage on demand of those above the base. The others are spot.
    pub on_demand_percent: f64,
    /// How often a spot instance is taken back, each an hour, independently.
    pub interruptions_per_hour: f64,
    /// From EC2's notice until the spot instance is gone.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub notice: Duration,
    /// Times without any spot capacity: what runs gets its notice, and nothing starts.
    pub outages: Vec<Outage>,
    /// How often an instance dies without a word, each an hour, independently.
    pub crashes_per_hour: f64,
}

/// A time without spot capacity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outage {
    /// Since the start.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub at: Duration,
    /// For how long.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub length: Duration,
}

/// As `infra/polybot.yaml` has it; a worker as the one that was measured for docs/TUNING.md: two threads, 13.2 photos a
/// second; a boot of 90 s, which is a guess.
impl Default for Setting {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        let policy = TargetTracking { metric: Metric::WORKER_DEMAND, target: 100.0, disable_scale_in: false };
        Self {
            worker: Worker {
                threads: 2,
                service: Distribution::Fixed(Duration::from_secs_f64(2.0 / 13.2)),
                held_per_thread: 2,
                fetch: Duration::ZERO,
                store: Duration::ZERO,
            },
            group: Group { min: 1, max: 10, initial: 1, schedule: Vec::new() },
            scaling: Scaling::TargetTracking(vec![policy]),
            boot: Distribution::Fixed(90 * second),
            in_service_after: None,
            warmup: 40 * second,
            drain: 100 * second,
            publishing: Publishing {
                interval: 10 * second,
                period: 10 * second,
                delay: 15 * second,
                minute: 60 * second,
                random_phase: true,
            },
            queue: Queue { visibility_timeout: 60 * second, max_receives: 5 },
            losses: Losses {
                on_demand_base: 1,
                on_demand_percent: 0.0,
                interruptions_per_hour: 0.0,
                notice: 120 * second,
                outages: Vec::new(),
                crashes_per_hour: 0.0,
            },
            promise: 10 * second,
        }
    }
}

impl Setting {
    /// As the fleet scaled before there was `WorkerDemand`: by the backlog per instance alone, each half minute, with alarms
    /// of a minute. To compare with.
    #[must_use]
    pub fn by_backlog() -> Self {
        let second = Duration::from_secs(1);
        let policy = TargetTracking { metric: Metric::BACKLOG_PER_INSTANCE, target: 10.0, disable_scale_in: false };
        let mut setting = Self { scaling: Scaling::TargetTracking(vec![policy]), ..Self::default() };
        (setting.publishing.interval, setting.publishing.period) = (30 * second, 60 * second);
        (setting.warmup, setting.in_service_after) = (180 * second, Some(30 * second));
        setting
    }

    /// The same, with the times of AWS shortened as the fleet on one machine shortens them: period, interval, delay,
    /// boot and warm-up, but not what a photo takes. The warm-up is rounded up to whole seconds, which is all that Auto
    /// Scaling has.
    #[must_use]
    pub fn faster(mut self, times: u32) -> Self {
        let Publishing { interval, period, delay, minute, .. } = &mut self.publishing;
        for duration in [interval, period, delay, minute] {
            *duration /= times;
        }
        self.boot = self.boot.times(1.0 / f64::from(times));
        self.in_service_after = self.in_service_after.map(|after| after / times);
        self.warmup = Duration::from_secs_f64((self.warmup / times).as_secs_f64().ceil());
        self
    }

    /// How workers needed are reckoned: as metric-streamer does with this promise.
    #[must_use]
    pub fn demand(&self) -> DemandSettings {
        let times = 60.0 / self.publishing.minute.as_secs_f64().max(1e-9);
        DemandSettings { promise: self.promise, ..DemandSettings::default().faster(times.round() as u32) }
    }

    /// How long one worker takes for a photo on average, its threads counted: the inverse of its throughput.
    #[must_use]
    pub fn seconds_per_photo(&self) -> f64 {
        self.worker.service.mean().as_secs_f64() / f64::from(self.worker.threads.max(1))
    }

    /// Whether it can be simulated.
    ///
    /// # Errors
    /// In a sentence, what makes no sense.
    pub fn check(&self) -> Result<(), LabError> {
        let refuse = |sentence: String| Err(LabError::Setting(sentence));
        let Self { worker, group, publishing, losses, queue, .. } = self;
        if !(1..=MOST_THREADS).contains(&worker.threads) {
            return refuse(format!("{} threads can't work: expected 1 to {MOST_THREADS}", worker.threads));
        }
        if worker.service.mean().is_zero() {
            return refuse("a photo that takes no time needs no worker: give how long a thread takes for one".into());
        }
        if worker.held_per_thread == 0 {
            return refuse("a worker has to hold one message for each thread at least".into());
        }
        if group.max == 0 || group.max > MOST_WORKERS {
            return refuse(format!("a maximum of {} workers: expected 1 to {MOST_WORKERS}", group.max));
        }
        if group.min > group.max {
            return refuse(format!("the minimum of {} workers is above the maximum of {}", group.min, group.max));
        }
        if !(group.min..=group.max).contains(&group.initial) {
            let Group { min, max, initial, .. } = group;
            return refuse(format!("{initial} workers at the start are not within {min} to {max}"));
        }
        for scheduled in &group.schedule {
            let day = Duration::from_secs(24 * 3600);
            if scheduled.from >= scheduled.to || scheduled.to > day {
                return refuse("a scheduled minimum is from one time of the day to a later one, at most 24h".into());
            }
            if scheduled.min > group.max {
                let (min, max) = (scheduled.min, group.max);
                return refuse(format!("the scheduled minimum of {min} workers is above the maximum of {max}"));
            }
        }
        if publishing.interval.is_zero() || publishing.period.is_zero() {
            return refuse("an interval or a period of 0 publishes nothing: give for example 30s and 60s".into());
        }
        if queue.visibility_timeout.is_zero() || queue.max_receives == 0 {
            return refuse("a queue needs a visibility timeout above 0, and one receive at least".into());
        }
        if let Scaling::TargetTracking(policies) = &self.scaling {
            if policies.is_empty() {
                return refuse("there is no policy to scale by; without scaling, fix the number of workers".into());
            }
            for TargetTracking { metric, target, .. } in policies {
                if !target.is_finite() || *target <= 0.0 {
                    return refuse(format!(
                        "a target of {target} for {} is not possible: expected more than 0",
                        metric.name
                    ));
                }
            }
        }
        if !(0.0..=100.0).contains(&losses.on_demand_percent) {
            return refuse(format!("{} % on demand: expected 0 to 100", losses.on_demand_percent));
        }
        for (rate, what) in
            [(losses.interruptions_per_hour, "spot interruptions"), (losses.crashes_per_hour, "crashes")]
        {
            if !(0.0..=3600.0).contains(&rate) {
                return refuse(format!("{rate} {what} an hour: expected 0 to 3600"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_makes_sense_and_what_does_not_is_one_sentence() {
        let setting = Setting::default();
        setting.check().expect("the default");
        assert!((1.0 / setting.seconds_per_photo() - 13.2).abs() < 1e-6);
        type Spoil = fn(&mut Setting);
        let spoilt: [(Spoil, &str); 9] = [
            (|setting| setting.worker.threads = 0, "0 threads"),
            (|setting| setting.worker.service = Distribution::Fixed(Duration::ZERO), "takes no time"),
            (|setting| setting.group.min = 11, "above the maximum"),
            (|setting| setting.group.initial = 11, "11 workers at the start"),
            (|setting| setting.publishing.period = Duration::ZERO, "period of 0"),
            (|setting| setting.losses.on_demand_percent = 101.0, "101 % on demand"),
            (|setting| setting.losses.crashes_per_hour = -1.0, "-1 crashes"),
            (|setting| setting.scaling = Scaling::TargetTracking(Vec::new()), "no policy"),
            (
                |setting| {
                    let metric = Metric::BACKLOG_PER_INSTANCE;
                    let policy = TargetTracking { metric, target: 0.0, disable_scale_in: false };
                    setting.scaling = Scaling::TargetTracking(vec![policy]);
                },
                "a target of 0",
            ),
        ];
        for (spoil, expected) in spoilt {
            let mut setting = Setting::default();
            spoil(&mut setting);
            let error = setting.check().expect_err(expected).to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_minute_a_second() {
        let faster = Setting::by_backlog().faster(60);
        assert_eq!(faster.publishing.period, Duration::from_secs(1));
        assert_eq!(faster.publishing.interval, Duration::from_millis(500));
        assert_eq!((faster.boot.mean(), faster.warmup), (Duration::from_millis(1500), Duration::from_secs(3)));
        assert_eq!(faster.demand().shortest_window, Duration::from_secs(20) / 60);
        assert_eq!(faster.worker, Setting::default().worker);
    }
}
