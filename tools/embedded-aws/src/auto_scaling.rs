//! EC2 Auto Scaling's groups, in awsQuery. A group here is only what should be and what is; it does not start or end anything. A
//! launcher watches [`AutoScaling::changes`], does what [`Group::shortage`] and [`Group::surplus`] call for, and reports
//! each step back.

mod group;
mod groups;
mod operations;
mod state;
mod wire;

pub use group::{Activity, Group, Instance, LifecycleState};
pub use groups::{AutoScaling, AutoScalingError};
pub use operations::CAUSE_HEADER;
