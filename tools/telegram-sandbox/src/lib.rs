//! A stand-in for Telegram's servers: it speaks the Bot API on loopback, so that a bot runs on one machine exactly as
//! it does in production, with only its API URL changed.
//!
//! [`Sandbox::start`] opens it; [`Sandbox::user`] gives a person who posts; [`Sandbox::wait_for`] and
//! [`Sandbox::events`] tell what the bot did about it.
//!
//! The state (`state.rs` and the files it holds: chats, messages, files, outbox, events) is pure: it takes values and
//! gives values. Only `server.rs`, `polling.rs` and `webhook_posts.rs` know sockets.

mod app;
mod bot_command;
mod chat;
mod editing;
mod entities;
mod events;
mod faults;
mod files;
mod limits;
mod message;
mod methods;
mod named;
mod options;
mod outbox;
mod params;
mod polling;
mod post;
mod refusal;
mod sandbox;
mod sending;
mod server;
mod shared;
mod state;
mod subscription;
mod user;
mod webhook;
mod webhook_posts;

pub use app::App;
pub use bot_command::BotCommand;
pub use chat::{ChatKind, Forbidden};
pub use events::{Event, EventKind};
pub use faults::Fault;
pub use limits::RateLimits;
pub use message::{Attachment, AttachmentKind, Button, ChatMessage};
pub use options::SandboxOptions;
pub use post::Post;
pub use sandbox::Sandbox;
pub use subscription::{Subscription, Timeout};
pub use user::{CannotPost, User};
pub use webhook_posts::WebhookStatus;
