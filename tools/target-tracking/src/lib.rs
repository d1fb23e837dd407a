//! The arithmetic of EC2 Auto Scaling's target tracking: points of a metric in, a desired capacity out.
//!
//! Pure: no clock, no network, nothing but std. A local Auto Scaling group uses it, and whatever wants to know what AWS
//! would do without waiting for it. What AWS's documentation states is done as stated; where it is silent, the choice is
//! the careful one, and its comment says so.
//!
//! A policy has two [`Alarm`]s on one metric, each evaluated once a period. While one is in `ALARM`, [`Policy::scale`]
//! tells the desired capacity that its points call for.

mod alarm;
mod capacity;
mod policy;

pub use alarm::{Alarm, AlarmState, ComparisonOperator, Evaluation};
pub use capacity::{Capacity, Phase};
pub use policy::{Policy, Scaling};
