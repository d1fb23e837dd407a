//! Several polybots and workers, the embedded AWS and the Telegram sandbox in one process, and time that passes when the test
//! says so: what becomes of every update, album and prediction, also when instances die in the middle.
//!
//! See `support` for what a scenario is made of.

mod albums;
mod answers;
mod aws_calls;
mod faults;
mod forgetting;
mod jobs;
mod machines;
mod status;
mod support;
mod updates;
