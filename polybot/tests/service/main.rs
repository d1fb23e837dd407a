//! The polybot program as Telegram meets it: the real process, the Telegram sandbox, the embedded AWS. What a worker does is
//! done by the test, so no model is needed.

mod audit;
mod files;
mod harness;
mod limits;
mod memory;
mod people;
mod refusals;
mod startup;
