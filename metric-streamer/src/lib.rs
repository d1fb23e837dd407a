//! Publishes `BacklogPerInstance` to CloudWatch, which drives the workers' scaling policy.

pub mod backlog;
mod cli;
mod service;
mod settings;
mod streamer;

pub use cli::main;
pub use service::run;
pub use settings::Settings;
pub use streamer::{NAMESPACE, Streamer};
