//! Publishes `BacklogPerInstance` to CloudWatch, which drives the workers' scaling policy.

pub mod backlog;
mod service;
mod settings;
mod streamer;

pub use service::{main, run};
pub use settings::Settings;
pub use streamer::{NAMESPACE, Streamer};
