//! Publishes `WorkerDemand` and `BacklogPerInstance` to CloudWatch, which drive the workers' scaling policies.

mod backlog;
mod cli;
mod described_metrics;
mod published;
mod service;
mod settings;
mod streamer;
mod wake;

pub use cli::{command, main};
pub use described_metrics::describe_metrics;
pub use published::{DIMENSIONS, NAMESPACE, PublishedMetric};
pub use service::run;
pub use settings::Settings;
