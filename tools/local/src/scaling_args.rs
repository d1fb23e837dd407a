//! How the group of workers scales, on the command line.

use std::time::Duration;

use crate::scaling::{ScalingPolicy, ScalingSettings, TimeScale};

/// How the group of workers scales.
#[derive(clap::Args, Debug)]
pub(crate) struct ScalingArgs {
    /// How much faster than in AWS the group scales: 10 turns ten seconds into one, 60 a minute into a second; 1 is as in AWS
    #[arg(long, default_value_t = TimeScale::default())]
    time_scale: TimeScale,
    /// The metric that it follows: workers needed (WorkerDemand), the backlog per worker (BacklogPerInstance), or both
    #[arg(long, value_enum, default_value_t = ScalingPolicy::Demand)]
    policy: ScalingPolicy,
    /// The target of WorkerDemand: workers needed, in percent of those in service
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    demand_target: f64,
    /// The target of BacklogPerInstance
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    target: f64,
    /// The period of the alarms, in seconds of AWS
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(10..=60))]
    period: u64,
    /// The fewest workers; with 0 the last worker goes when nothing was sent for a quarter of an hour of AWS
    #[arg(long, default_value_t = 1)]
    min: u32,
    /// The most workers, each with one thread [default: the number of cores, at least 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max: Option<u32>,
}

impl ScalingArgs {
    pub(crate) fn scaling(&self) -> ScalingSettings {
        let default = ScalingSettings::default();
        ScalingSettings {
            max_size: self.max.unwrap_or(default.max_size),
            min_size: self.min,
            policy: self.policy,
            demand_target: self.demand_target,
            backlog_target: self.target,
            period: Duration::from_secs(self.period),
            time_scale: self.time_scale,
            ..default
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number greater than 0".into())
}
