//! The loop: look, reckon, publish.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_autoscaling::types::{AutoScalingGroup, LifecycleState};
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use demand::{DemandSettings, Estimate, Estimator, Look, Why, Work, Worked};
use fleet::{AwsError, Clock, JobQueue, WorkStore};
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::published::{DIMENSIONS, NAMESPACE, PublishedMetric};

/// Looks come so much later than a report's stretch of time ends, as a share of the stretch: workers spread their reports over a
/// twentieth of it.
const LATER: f64 = 0.25;
/// A report that is this old, in the same share, is there, if the clocks agree and nothing was throttled.
const COMPLETE: f64 = 0.2;
/// So many stretches are read once more at each look, for what came later.
const READ_AGAIN: u64 = 2;

/// So many stretches without any worker's report are too many: a worker reports at the end of the one in which it came.
const SILENT: u32 = 4;

/// One queue, one group, its metrics.
#[derive(Debug)]
pub(crate) struct Streamer {
    /// The jobs.
    pub(crate) queue: JobQueue,
    /// What workers did.
    pub(crate) work: WorkStore,
    /// Auto Scaling.
    pub(crate) auto_scaling: aws_sdk_autoscaling::Client,
    /// CloudWatch.
    pub(crate) cloud_watch: aws_sdk_cloudwatch::Client,
    /// The workers' group.
    pub(crate) group: String,
    /// How workers needed are reckoned.
    pub(crate) demand: DemandSettings,
    /// When it looks.
    pub(crate) clock: Clock,
    /// Set once something was published.
    pub(crate) ready: AtomicBool,
}

/// What is remembered from one look to the next.
#[derive(Debug)]
pub(crate) struct Memory {
    estimator: Estimator,
    /// The first stretch of time whose work was not read yet.
    next_stretch: Option<u64>,
    desired: Option<u32>,
    silence: Silence,
}

/// Workers that are in service and report nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    since: Option<Duration>,
    is_told: bool,
}

impl Silence {
    /// Whether it lasts longer than that now; true once for each silence.
    fn lasts(&mut self, is_silent: bool, now: Duration, longest: Duration) -> bool {
        if !is_silent {
            *self = Self::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let lasts = !self.is_told && now.saturating_sub(since) > longest;
        self.is_told |= lasts;
        lasts
    }
}

/// The group, as scaling sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Instances that are in service.
    pub(crate) in_service: u32,
    /// How many there should be.
    pub(crate) desired: u32,
    /// Never more than this.
    pub(crate) max_size: u32,
}

/// What was seen and published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Published {
    /// The queue and its workers.
    pub(crate) backlog: Backlog,
    /// What is needed.
    pub(crate) estimate: Estimate,
    /// The group.
    pub(crate) group: Group,
}

impl Group {
    /// Nobody is there, and nobody was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.desired == 0 && self.in_service == 0
    }
}

impl Published {
    /// `BacklogPerInstance`. While the fleet is not idle, it is never quite zero: then a policy that follows it keeps one worker, as
    /// target tracking rounds up.
    pub(crate) fn backlog_per_instance(&self) -> f64 {
        self.backlog.per_instance().max(self.estimate.rest())
    }
}

impl Streamer {
    /// What a streamer that begins remembers.
    #[must_use]
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            estimator: Estimator::new(self.demand),
            next_stretch: None,
            desired: None,
            silence: Silence::default(),
        }
    }

    /// Publish every `interval` until `shutdown`. A look that fails is logged; the next one comes all the same.
    pub(crate) async fn run(&self, interval: Duration, shutdown: CancellationToken) {
        let mut memory = self.memory();
        loop {
            let published = tokio::select! {
                published = self.publish(&mut memory) => published,
                () = shutdown.cancelled() => return,
            };
            match published {
                Ok(published) => {
                    self.ready.store(true, Ordering::Relaxed);
                    self.tell(&published, &mut memory);
                }
                Err(error) => {
                    metrics::counter!("streamer_failures_total").increment(1);
                    fleet::log!(NOT_PUBLISHED, %error, group = self.group, "the metrics were not published; the next interval retries");
                }
            }
            let wait = until_look(self.clock.since_epoch(), interval, self.work.length().mul_f64(LATER));
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// In the logs and metrics of this process.
    fn tell(&self, published: &Published, memory: &mut Memory) {
        let Published { backlog, estimate, group } = published;
        metrics::counter!("streamer_published_total").increment(1);
        metrics::gauge!("streamer_backlog_per_instance").set(published.backlog_per_instance());
        metrics::gauge!("streamer_worker_demand_percent").set(estimate.percent);
        metrics::gauge!("streamer_workers_needed").set(estimate.needed);
        metrics::gauge!("streamer_arrivals_per_second").set(estimate.arrivals);
        if let Some(seconds_per_photo) = estimate.seconds_per_photo {
            metrics::gauge!("streamer_seconds_per_photo").set(seconds_per_photo);
        }
        fleet::log!(
            PUBLISHED,
            backlog_visible = backlog.depth.visible,
            backlog_in_flight = backlog.depth.in_flight,
            in_service = backlog.in_service,
            backlog_per_instance = published.backlog_per_instance(),
            worker_demand = estimate.percent,
            workers_needed = estimate.needed,
            photos_per_second = estimate.arrivals,
            seconds_per_photo = estimate.seconds_per_photo,
            "published"
        );
        let is_silent = group.in_service > 0 && !memory.estimator.knows_of_workers();
        if memory.silence.lasts(is_silent, self.clock.since_epoch(), SILENT * self.work.length()) {
            fleet::log!(
                WORKERS_SILENT,
                group = self.group,
                in_service = group.in_service,
                "workers are in service and report nothing, so demand is reckoned from the queue alone: REPORT_INTERVAL has to be the same \
                 here and there, and clocks may differ by some twenty seconds"
            );
        }
        let before = memory.desired.replace(group.desired);
        if let Some(from) = before.filter(|before| *before != group.desired) {
            let why = Why {
                from,
                to: group.desired,
                arrivals: estimate.arrivals,
                keeping_up: estimate.keeping_up(),
                waiting: backlog.depth.visible,
                promise: self.demand.promise,
            };
            metrics::counter!("streamer_capacity_changes_total").increment(1);
            fleet::log!(CAPACITY_CHANGED, group = self.group, from, to = group.desired, why = %why, "the capacity changed");
        }
    }

    /// One look, published. An empty group is woken first, whatever then fails.
    ///
    /// # Errors
    /// [`AwsError`] of the first call that failed; nothing is published then.
    pub(crate) async fn publish(&self, memory: &mut Memory) -> Result<Published, AwsError> {
        let (depth, group) = tokio::try_join!(self.queue.depth(), self.look_at_group())?;
        let backlog = Backlog { depth, in_service: group.in_service as usize };
        let look = Look {
            at: self.clock.since_epoch().as_secs_f64(),
            visible: depth.visible,
            in_flight: depth.in_flight,
            in_service: group.in_service,
        };
        if group.is_empty() && depth.visible > 0 {
            // Where there are no workers, there is no work of theirs to be read first.
            let needed = memory.estimator.look(&look).needed;
            self.wake(group, depth.visible, needed).await;
        }
        self.read_work(memory).await?;
        let published = Published { backlog, estimate: memory.estimator.look(&look), group };
        let estimate = &published.estimate;
        let value = |metric| {
            Some(match metric {
                PublishedMetric::WorkerDemand => estimate.percent,
                PublishedMetric::BacklogPerInstance => published.backlog_per_instance(),
                PublishedMetric::WorkersNeeded => estimate.needed,
                PublishedMetric::WorkersKeepingUp => estimate.keeping_up(),
                PublishedMetric::ArrivalRate => estimate.arrivals,
                // Unknown until workers have reported.
                PublishedMetric::SecondsPerPhoto => return estimate.seconds_per_photo,
                PublishedMetric::BacklogVisible => depth.visible as f64,
                PublishedMetric::BacklogInFlight => depth.in_flight as f64,
                PublishedMetric::InServiceInstances => f64::from(group.in_service),
            })
        };
        let [of_queue, of_group] = DIMENSIONS;
        let datum = |metric: PublishedMetric| {
            let datum = MetricDatum::builder()
                .metric_name(metric.name())
                .value(value(metric)?)
                .unit(metric.unit())
                .storage_resolution(metric.resolution())
                .dimensions(Dimension::builder().name(of_queue).value(self.queue.name()).build())
                .dimensions(Dimension::builder().name(of_group).value(&self.group).build());
            Some(datum.build())
        };
        let data = PublishedMetric::ALL.into_iter().filter_map(datum).collect();
        self.cloud_watch
            .put_metric_data()
            .namespace(NAMESPACE)
            .set_metric_data(Some(data))
            .send()
            .await
            .map_err(|error| AwsError::new(format!("publishing the backlog to CloudWatch as {NAMESPACE}"), error))?;
        Ok(published)
    }

    /// Read what workers did in the stretches of time that are over and were not read yet, and the last ones again.
    async fn read_work(&self, memory: &mut Memory) -> Result<(), AwsError> {
        let length = self.work.length();
        let complete = self.clock.since_epoch().saturating_sub(length.mul_f64(COMPLETE));
        let end = self.work.stretch_at(UNIX_EPOCH + complete);
        let longest = (self.demand.longest_window.as_secs_f64() / length.as_secs_f64()).ceil() as u64;
        if memory.next_stretch.is_some_and(|next| next > end + 1) {
            // The clock was set back: what is remembered lies in the future, and would count for as long.
            *memory = Memory { desired: memory.desired, ..self.memory() };
        }
        if memory.next_stretch == Some(end) {
            return Ok(());
        }
        let begin = memory.next_stretch.unwrap_or(0).saturating_sub(READ_AGAIN).max(end.saturating_sub(longest));
        for (stretch, work) in (begin..end).zip(self.work.read(begin..end).await?) {
            let work = Work {
                photos: work.photos as f64,
                turns: work.turns as f64,
                busy: work.busy.as_secs_f64(),
                slots: work.slots.as_secs_f64(),
                workers: work.workers.as_secs_f64(),
            };
            let until = self.work.end_of(stretch).as_secs_f64();
            memory.estimator.worked(Worked { until, seconds: length.as_secs_f64(), work });
        }
        memory.next_stretch = Some(end);
        Ok(())
    }

    async fn look_at_group(&self) -> Result<Group, AwsError> {
        let tried = || format!("looking at the Auto Scaling group {}", self.group);
        let groups = self
            .auto_scaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(&self.group)
            .send()
            .await
            .map_err(|error| AwsError::new(tried(), error))?;
        let group = groups
            .auto_scaling_groups()
            .first()
            .ok_or_else(|| AwsError::unexpected(tried(), "there is no group of this name (ASG_NAME) in this region"))?;
        Ok(size(group))
    }
}

fn size(group: &AutoScalingGroup) -> Group {
    let in_service = |state: Option<&LifecycleState>| state == Some(&LifecycleState::InService);
    let count = group.instances().iter().filter(|instance| in_service(instance.lifecycle_state())).count();
    let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    Group {
        in_service: u32::try_from(count).unwrap_or(u32::MAX),
        desired: number(group.desired_capacity()),
        max_size: number(group.max_size()),
    }
}

/// How long to wait for the next look: they lie a little after the multiples of the interval, when workers have told what they
/// did until then.
fn until_look(now: Duration, interval: Duration, later: Duration) -> Duration {
    let interval = interval.as_nanos().max(1);
    let past = (now.as_nanos() + interval - later.as_nanos() % interval) % interval;
    Duration::from_nanos(u64::try_from(interval - past).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_of_a_fleet_that_is_not_idle_is_never_quite_zero() {
        let published = |visible, needed| Published {
            backlog: Backlog { depth: fleet::queue::Depth { visible, in_flight: 0 }, in_service: 2 },
            estimate: Estimate { needed, ..Estimate::default() },
            group: Group { in_service: 2, desired: 2, max_size: 5 },
        };
        assert_eq!(published(10, 1.0).backlog_per_instance(), 5.0);
        assert_eq!(published(0, 1.0).backlog_per_instance(), 0.01);
        assert_eq!(published(0, 0.0).backlog_per_instance(), 0.0);
    }

    #[test]
    fn a_silence_that_lasts_is_told_once() {
        let mut silence = Silence::default();
        let mut lasts =
            |is_silent, second| silence.lasts(is_silent, Duration::from_secs(second), Duration::from_secs(40));
        assert_eq!([100, 140, 150, 160].map(|second| lasts(true, second)), [false, false, true, false]);
        assert!(!lasts(false, 170));
        assert_eq!([180, 220, 230].map(|second| lasts(true, second)), [false, false, true]);
    }

    #[test]
    fn looks_lie_after_the_reports() {
        let (ten, later) = (Duration::from_secs(10), Duration::from_millis(2500));
        let at = |millis| until_look(Duration::from_millis(millis), ten, later);
        assert_eq!(at(100_000), Duration::from_millis(2500));
        assert_eq!(at(102_500), ten);
        assert_eq!(at(109_000), Duration::from_millis(3500));
    }
}
