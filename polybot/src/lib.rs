//! The Telegram side: takes photos, queues them for the workers, answers with what they found.
//!
//! Instances keep nothing between requests, so any number of them can stand behind a load balancer.

pub mod command;
mod delivery;
mod detection;
pub mod filters;
mod http;
mod polling;
pub mod reply;
mod secret;
mod service;
mod settings;
mod telegram;
mod updates;

pub use delivery::{DeliverError, Delivered, Delivery};
pub use detection::Detection;
pub use service::{main, run};
pub use settings::Settings;
pub use telegram::{Telegram, TelegramError};
pub use updates::Updates;
