//! The Telegram side: takes photos, queues them for the workers, answers with what they found.
//!
//! Instances keep nothing between requests, so any number of them can stand behind a load balancer.

pub mod album_store;
pub mod albums;
pub mod buttons;
mod cli;
pub mod command;
mod content;
pub mod darkroom;
pub mod dead_letters;
pub mod delivery;
mod described_metrics;
pub mod detection;
pub mod forgetting;
mod http;
pub mod inbox;
pub mod incoming;
mod lease;
pub mod ledger;
pub mod lost_jobs;
pub mod memory;
pub mod patience;
mod polling;
mod redrive;
pub mod reply;
mod secret;
mod sending;
mod service;
mod settings;
mod startup;
pub mod sweep;
pub mod telegram;
pub mod updates;

pub use cli::{command, main};
use delivery::{DeliverError, Delivered, Delivery};
pub use described_metrics::describe_metrics;
use detection::Detection;
pub use redrive::{Redriven, redrive};
pub use service::run;
pub use settings::Settings;
use telegram::{Telegram, TelegramError};
use updates::Updates;
