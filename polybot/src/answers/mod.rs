//! The outbox: everything between "finished" and "told". A photo is answered as an album of one.
//!
//! An [`Answer`](answer::Answer) is one or more finished predictions of one request, and composes itself. [`Answers::deliver`] takes a lease on it,
//! sends it and marks it as told; what can't be sent is deferred for as long as the [`RetryPolicy`] says, and then given up. Where
//! its states lie is [`outbox`]'s to know. Beside that: the sweep for what nobody called back for, jobs that failed too often
//! (dead letters), what an operator puts back (redrive), and jobs whose message is lost.

mod answer;
mod dead_letters;
mod deliver;
mod lease;
mod lost_jobs;
mod outbox;
mod outcome;
mod redrive;
mod retry_policy;
mod sweep;

pub(crate) use dead_letters::DeadLetters;
pub(crate) use deliver::Answers;
pub(crate) use lease::{insist, working_time};
pub(crate) use lost_jobs::LostJobs;
pub(crate) use outbox::Outbox;
pub(crate) use outcome::{DeliverError, Delivered};
pub(crate) use redrive::Redrive;
pub use redrive::{Redriven, redrive};
pub(crate) use retry_policy::{RetryPolicy, soon_again};
