//! How a flood goes, while it runs.

use std::time::Duration;

use serde::Serialize;

/// What a flood is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Jobs arrive.
    #[default]
    Arriving,
    /// No more jobs arrive; the flood waits for answers.
    Draining,
    /// It is over.
    Ended,
}

/// One look at a running flood. `sent = answered + failed + outstanding`, in every one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Since it began.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub elapsed: Duration,
    /// How many jobs it will send all together, if it is not stopped.
    pub planned: u64,
    /// How many it sent, those that nobody took included.
    pub sent: u64,
    /// How many were answered.
    pub answered: u64,
    /// How many failed, or were not taken.
    pub failed: u64,
    /// How many are still to be answered.
    pub outstanding: u64,
    /// Jobs sent a second, over the last few seconds.
    pub arrival_rate: f64,
    /// Jobs answered a second, over the last few seconds.
    pub rate: f64,
    /// The median latency of the answers of the last seconds; `None` without an answer.
    #[serde(serialize_with = "duration::seconds::option::serialize")]
    pub p50: Option<Duration>,
    /// 95 of 100 answers of the last seconds took at most this long.
    #[serde(serialize_with = "duration::seconds::option::serialize")]
    pub p95: Option<Duration>,
}
