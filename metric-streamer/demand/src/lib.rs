//! How many workers a fleet needs, from what is seen of it: `WorkerDemand`.
//!
//! Pure: no clock, no network, nothing but std. metric-streamer publishes it, and the scaling lab simulates what comes of it.
//!
//! Target tracking assumes a metric that goes up and down in proportion to load over capacity. A backlog is not: it is zero
//! while the workers keep up, however busy they are. So the workers needed are reckoned from the work itself, which goes on
//! being measured when nothing waits:
//!
//! ```text
//! slots needed = arrivals a second × seconds a photo keeps a slot + photos that wait × the same / catch-up time
//! WorkerDemand = 100 × slots needed / slots in service
//! ```
//!
//! A slot is one of a worker's threads.

mod estimate;
mod look;
mod settings;
mod why;

pub use estimate::{Estimate, Estimator};
pub use look::{Look, Work, Worked};
pub use settings::DemandSettings;
pub use why::Why;
