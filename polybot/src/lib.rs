//! The Telegram side: takes photos, queues them for the workers, answers with what they found.
//!
//! Instances keep nothing between requests, so any number of them can stand behind a load balancer.

pub mod album_store;
pub mod albums;
pub mod buttons;
pub mod command;
pub mod darkroom;
pub mod delivery;
pub mod detection;
pub mod filters;
mod http;
pub mod incoming;
pub mod ledger;
mod polling;
pub mod reply;
mod secret;
mod service;
mod settings;
pub mod telegram;
pub mod updates;

use delivery::{DeliverError, Delivered, Delivery};
use detection::Detection;
pub use service::{main, run};
pub use settings::Settings;
use telegram::{Telegram, TelegramError};
use updates::Updates;
