//! The arithmetic of EC2 Auto Scaling's target tracking: points of a metric in, a desired capacity out.
//!
//! Pure: no clock, no network, nothing but std. The local Auto Scaling group and the scaling lab use it: one version for
//! both. What AWS's documentation states is done as stated; where it is silent, the choice is the careful one, and its
//! comment says so.
//!
//! A policy has two [`Alarm`]s on one metric, each evaluated once a period. While one is in `ALARM`, [`Policy::scale`]
//! tells the desired capacity that its points call for, and [`AlarmAction`] when that is done: once a minute at most.

mod action;
mod alarm;
mod capacity;
mod combined;
mod policy;

pub use action::AlarmAction;
pub use alarm::{Alarm, AlarmState, ComparisonOperator, Evaluation};
pub use capacity::{Capacity, Phase};
pub use combined::{Vote, combined};
pub use policy::{CapacityChange, Policy};
