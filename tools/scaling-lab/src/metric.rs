//! What a policy follows: one look at the fleet in, one number out.

use std::fmt;
use std::str::FromStr;

use demand::Estimate;
use serde::{Serialize, Serializer};

/// What the publisher of a metric sees of the fleet in one look. Durations are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Messages on the queue that wait to be received.
    pub visible: u64,
    /// Messages that workers have, or had when they were lost.
    pub in_flight: u64,
    /// Instances in service.
    pub in_service: u32,
    /// Photos that the instances in service detect side by side.
    pub threads: u32,
    /// What is needed, by what was seen so far.
    pub demand: Estimate,
}

/// A metric: its name, and its value for an observation.
#[derive(Clone, Copy)]
pub struct Metric {
    /// As CloudWatch has it.
    pub name: &'static str,
    /// Its value for an observation.
    pub value: fn(&Observation) -> f64,
}

impl Metric {
    /// Visible messages per instance in service: what metric-streamer publishes. The divisor is never below 1.
    pub const BACKLOG_PER_INSTANCE: Self =
        Self { name: "BacklogPerInstance", value: |look| look.visible as f64 / f64::from(look.in_service.max(1)) };

    /// Messages visible and in flight, in percent of the threads in service: the worker utilisation of "Enhancing auto
    /// scaling resilience by tracking worker utilization metrics" (AWS Compute Blog, 2026). Above 100 what is too much
    /// waits.
    pub const WORKER_UTILIZATION: Self = Self {
        name: "WorkerUtilization",
        value: |look| 100.0 * (look.visible + look.in_flight) as f64 / f64::from(look.threads.max(1)),
    };

    /// Workers needed in percent of those in service, as metric-streamer publishes it: its own code.
    pub const WORKER_DEMAND: Self = Self { name: "WorkerDemand", value: |look| look.demand.percent };

    /// Those that have a name on the command line.
    pub const ALL: [Self; 3] = [Self::BACKLOG_PER_INSTANCE, Self::WORKER_UTILIZATION, Self::WORKER_DEMAND];
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|metric| metric.name.eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|metric| metric.name).collect();
            format!("{text:?} is not a metric: expected {}", names.join(", "))
        })
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Observation {
        Observation {
            visible: 1500,
            in_flight: 20,
            in_service: 10,
            threads: 20,
            demand: Estimate { percent: 425.0, ..Estimate::default() },
        }
    }

    /// The worked example of "Scaling policy based on Amazon SQS" (EC2 Auto Scaling user guide).
    #[test]
    fn the_documented_backlog_per_instance() {
        assert_eq!((Metric::BACKLOG_PER_INSTANCE.value)(&look()), 150.0);
        let empty = Observation { visible: 70, in_service: 0, ..look() };
        assert_eq!((Metric::BACKLOG_PER_INSTANCE.value)(&empty), 70.0);
    }

    #[test]
    fn utilisation_counts_what_is_in_flight_and_demand_is_what_metric_streamer_publishes() {
        assert_eq!((Metric::WORKER_UTILIZATION.value)(&look()), 7600.0);
        assert_eq!((Metric::WORKER_DEMAND.value)(&look()), 425.0);
    }

    #[test]
    fn metrics_have_names() {
        assert_eq!("workerdemand".parse(), Ok(Metric::WORKER_DEMAND));
        assert!("Luck".parse::<Metric>().expect_err("none").contains("BacklogPerInstance"));
    }
}
