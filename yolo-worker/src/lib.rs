//! The queue side: takes jobs from SQS, detects, records, calls polybot back.
//!
//! A worker keeps nothing between jobs, so it may be killed at any instant: a message is deleted when the result
//! is durable; until then it reappears after its visibility timeout.

mod attempt;
mod backoff;
mod bench;
mod callback;
mod check;
mod cli;
mod consumer;
mod described_metrics;
mod detect;
mod drain;
mod failures;
mod heartbeat;
mod http;
mod inference;
mod memory;
mod meter;
mod network;
mod pipeline;
mod readiness;
mod reporter;
mod service;
mod settings;

pub use attempt::outcomes;
pub use cli::{command, main};
pub use described_metrics::describe_metrics;
pub use network::Network;
pub use pipeline::Detect;
pub use service::{run, serve};
pub use settings::Settings;
