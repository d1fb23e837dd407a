//! The whole fleet on one machine, as people and operators meet it: real processes, the real model, real photos, the
//! embedded AWS and the Telegram sandbox. One program, so that all of it is compiled and linked once.
//!
//! `cargo test --release -p local --test e2e MODULE::` runs one module.

mod command_line;
mod conversation;
mod demo;
mod end_to_end;
mod faults;
mod flood;
mod forget;
mod lab;
mod memory;
mod page;
mod scaling;
mod support;
mod up;
