//! Open-loop load on a fleet, with every job accounted for.
//!
//! A [`Plan`] says when jobs arrive; a [`Door`] says how they come in; [`Flood::start`] sends them, never waiting for an
//! answer before the next, and counts each answer's latency from the moment its job was *due*. While it runs
//! [`Flood::progress`] tells how it goes; [`Flood::finish`] gives the [`Report`]. Always: sent = answered + failed +
//! outstanding.
//!
//! ```no_run
//! # async fn example(config: &aws_config::SdkConfig) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use flood::{Door, FleetStores, Flood, Photo, Plan, Shape};
//!
//! let fleet = FleetStores::new(config, "a-bucket", "https://sqs.../jobs", "a-table").group("workers");
//! let plan = Plan::new(Shape::Constant { rate: 20.0, duration: Duration::from_secs(30) });
//! let flood = Flood::start(plan, Door::queue(fleet), Photo::samples()).await?;
//! let report = flood.finish().await;
//! println!("{}", report.text());
//! # Ok(()) }
//! ```
//!
//! Pure: `rate`, `arrivals`, `trace` (when jobs are due), `accounts`, `durations`, `timeline` (what became of them), `lookout`
//! (which records to look at). The `books` put these together; `flood` and the doors know the network.

mod accounts;
mod books;
pub mod cli;
mod door;
mod error;
mod fleet_stores;
mod flood;
mod lookout;
mod observer;
mod photo;
mod plan;
mod progress;
mod records;
mod report;
mod timeline;

pub use self::report::Report;
pub use ::report::{Bucket, Percentiles};
pub use door::{Door, LoadTestDoor, QueueDoor, TelegramDoor, TelegramFiles};
pub use error::FloodError;
pub use fleet_stores::FleetStores;
pub use flood::{Flood, Stopper};
pub use load::{Shape, Spacing};
pub use observer::Sighting;
pub use photo::Photo;
pub use plan::Plan;
pub use progress::{Phase, Progress};
pub use timeline::Slice;
