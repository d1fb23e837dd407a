//! A laboratory for the fleet's scaling: a simulation of queue, workers, CloudWatch and EC2 Auto Scaling, photo by photo,
//! in which an operator can try what costs days and dollars on AWS.
//!
//! What scales is `target-tracking`, the same code that scales the local group. The arrivals are `load`'s, the same that
//! the flood sends. The library knows no network and no clock; the same seed gives the same answer.

pub mod cli;
mod distribution;
mod error;
mod fetched;
mod load_setting;
mod metric;
mod outcome;
mod prices;
mod recommend;
mod report_page;
mod setting;
mod simulation;
mod sweep;
mod time;

pub use distribution::Distribution;
pub use error::LabError;
pub use fetched::{Fetched, Period};
pub use load_setting::Load;
pub use metric::{Metric, Observation};
pub use outcome::{Change, Outcome, Slice, Swing, Waits};
pub(crate) use prices::{Price, Priced, prices};
pub(crate) use recommend::{Recommendation, recommend};
pub use setting::{Group, Losses, Outage, Publishing, Queue, Scaling, ScheduledMin, Setting, TargetTracking, Worker};
pub use simulation::{Run, simulate};
pub(crate) use sweep::{Candidate, Score, sweep};
