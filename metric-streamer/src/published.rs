//! The metrics in CloudWatch: names, units, how finely they are kept.

use aws_sdk_cloudwatch::types::StandardUnit;

/// The CloudWatch namespace of all that is published here.
pub const NAMESPACE: &str = "Polybot";

/// What each metric is of: the queue's name and the group's name.
pub const DIMENSIONS: [&str; 2] = ["QueueName", "AutoScalingGroupName"];

/// One metric that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedMetric {
    /// Workers needed in percent of those in service.
    WorkerDemand,
    /// Messages per instance in service.
    BacklogPerInstance,
    /// Workers needed.
    WorkersNeeded,
    /// Workers that keep up with what arrives.
    WorkersKeepingUp,
    /// Photos that arrive in a second.
    ArrivalRate,
    /// How long a photo keeps a thread.
    SecondsPerPhoto,
    /// Messages that wait.
    BacklogVisible,
    /// Messages in flight.
    BacklogInFlight,
    /// Instances in service.
    InServiceInstances,
}

impl PublishedMetric {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::WorkerDemand,
        Self::BacklogPerInstance,
        Self::WorkersNeeded,
        Self::WorkersKeepingUp,
        Self::ArrivalRate,
        Self::SecondsPerPhoto,
        Self::BacklogVisible,
        Self::BacklogInFlight,
        Self::InServiceInstances,
    ];

    /// The name in CloudWatch.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkerDemand => "WorkerDemand",
            Self::BacklogPerInstance => "BacklogPerInstance",
            Self::WorkersNeeded => "WorkersNeeded",
            Self::WorkersKeepingUp => "WorkersKeepingUp",
            Self::ArrivalRate => "ArrivalRate",
            Self::SecondsPerPhoto => "SecondsPerPhoto",
            Self::BacklogVisible => "BacklogVisible",
            Self::BacklogInFlight => "BacklogInFlight",
            Self::InServiceInstances => "InServiceInstances",
        }
    }

    /// The unit in CloudWatch.
    #[must_use]
    pub fn unit(self) -> StandardUnit {
        match self {
            Self::WorkerDemand => StandardUnit::Percent,
            Self::BacklogPerInstance => StandardUnit::None,
            Self::ArrivalRate => StandardUnit::CountSecond,
            Self::SecondsPerPhoto => StandardUnit::Seconds,
            Self::WorkersNeeded
            | Self::WorkersKeepingUp
            | Self::BacklogVisible
            | Self::BacklogInFlight
            | Self::InServiceInstances => StandardUnit::Count,
        }
    }

    /// How finely CloudWatch keeps it, in seconds: to the second for those that policies follow, whose alarms have periods
    /// of ten.
    #[must_use]
    pub fn resolution(self) -> i32 {
        if matches!(self, Self::WorkerDemand | Self::BacklogPerInstance) { 1 } else { 60 }
    }
}
