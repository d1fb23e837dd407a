//! The Telegram side: takes photos, queues them for the workers, answers with what they found.
//!
//! Instances keep nothing between requests, so any number of them can stand behind a load balancer.

mod album_store;
mod albums;
mod answers;
pub mod buttons;
mod cli;
pub mod command;
mod content;
mod described_metrics;
mod detection;
mod filter_error;
mod filter_runner;
mod forgetting;
mod http;
mod inbox;
pub mod incoming;
pub mod lane;
mod ledger;
mod me;
mod memory;
mod place;
mod polling;
pub mod reply;
mod secret;
mod sending;
mod service;
mod settings;
mod startup;
mod sweep;
mod telegram;
mod updates;

use answers::{Answers, DeliverError, Delivered};
pub use answers::{Redriven, redrive};
pub use cli::{command, main};
pub use described_metrics::describe_metrics;
use detection::Detection;
pub use me::Me;
pub use service::run;
pub use settings::Settings;
use telegram::{Telegram, TelegramError};
use updates::Updates;
