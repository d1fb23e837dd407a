//! The fleet at one moment, as the browser is told.

use serde::Serialize;

use super::flooding::FloodState;
use super::pace::Pace;

/// All of it. What could not be read is missing, and `troubles` says why.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct FleetState {
    /// Milliseconds since the epoch, as all times here.
    pub(super) at_ms: u64,
    #[serde(flatten)]
    pub(super) cloud: CloudState,
    pub(super) pace: Pace,
    pub(super) flood: Option<FloodState>,
}

/// What AWS says.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct CloudState {
    pub(super) queue: Option<QueueState>,
    pub(super) group: Option<GroupState>,
    /// The name of the metric that the first scaling policy follows.
    pub(super) followed: Option<String>,
    /// What of it was published last.
    pub(super) metric: Option<MetricState>,
    /// Workers needed, as published last.
    pub(super) needed: Option<f64>,
    /// What the scaling policy wants it to be.
    pub(super) target: Option<f64>,
    pub(super) alarms: Vec<AlarmState>,
    /// The newest first.
    pub(super) activities: Vec<ActivityState>,
    pub(super) troubles: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct QueueState {
    pub(super) visible: u64,
    pub(super) in_flight: u64,
    /// Jobs that failed too often.
    pub(super) dead: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct GroupState {
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) desired: i32,
    pub(super) instances: Vec<InstanceState>,
}

impl GroupState {
    pub(super) fn in_service(&self) -> usize {
        self.instances.iter().filter(|instance| instance.state == "InService").count()
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct InstanceState {
    pub(super) id: String,
    /// As Auto Scaling calls it, such as `InService`.
    pub(super) state: String,
    pub(super) healthy: bool,
    pub(super) since_ms: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct MetricState {
    pub(super) value: f64,
    pub(super) at_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct AlarmState {
    pub(super) name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) threshold: Option<f64>,
    /// Of what it looks at, such as `GreaterThanThreshold`.
    pub(super) comparison: String,
    pub(super) since_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ActivityState {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) cause: String,
    pub(super) status: String,
    pub(super) started_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
}
