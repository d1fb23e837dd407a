//! The whole fleet on one machine: embedded AWS, a Telegram sandbox, and the three services as processes of their own,
//! which run exactly as they will in production.
//!
//! The services are this same executable, started again with a hidden command, so that they can be killed like
//! instances.

mod child;
mod cli;
mod demo;
mod detect;
mod flood;
mod keeper;
mod lab;
mod local_fleet;
pub mod page;
mod real_telegram;
mod resources;
pub mod scaling;
mod scaling_args;
mod shell;
mod up;
mod usage;

pub use child::{Child, LogLine};
pub use cli::main;
pub use local_fleet::{LocalFleet, Options};
pub use real_telegram::RealTelegram;
pub use resources::Resources;
pub use scaling::{Launcher, ScalingPolicy, ScalingSettings, TimeScale};
