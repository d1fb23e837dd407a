//! Publishes `WorkerDemand` and `BacklogPerInstance` to CloudWatch, which drive the workers' scaling policies.

pub mod backlog;
mod cli;
mod service;
mod settings;
mod streamer;
mod wake;

pub use cli::main;
pub use service::run;
pub use settings::Settings;
pub use streamer::{NAMESPACE, Streamer};
