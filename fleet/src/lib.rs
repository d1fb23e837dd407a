//! What polybot, yolo-worker and metric-streamer share. It knows none of them.
//!
//! - [`Job`]: what polybot puts on the queue; [`Prediction`]: what a worker records.
//! - [`JobQueue`], [`ImageStore`], [`PredictionStore`]: SQS, S3 and DynamoDB, in this system's words.
//! - [`table`]: the table's items, their states and transitions; [`Timestamp`].
//! - [`WorkStore`]: what workers did, which metric-streamer scales them by.
//! - [`Platform`]: what a service runs on; [`Clock`]: the time that it decides by.
//! - [`service`], [`server`], [`settings`], [`aws`], [`telemetry`], [`shutdown`], [`BuildInfo`]: what each service does the
//!   same way.

pub mod aws;
mod budget;
mod build_info;
mod clock;
mod error;
pub mod event;
mod failure;
pub mod images;
pub mod job;
mod platform;
pub mod prediction;
pub mod predictions;
pub mod queue;
pub mod server;
pub mod service;
pub mod settings;
pub mod shutdown;
mod summary;
pub mod table;
pub mod telemetry;
mod timestamp;
mod wish;
pub mod work;

pub use budget::{Budget, Room};
pub use build_info::BuildInfo;
pub use clock::{Clock, Elapsed};
pub use error::{AwsError, in_words};
pub use event::{EVENTS, Event};
pub use failure::FailureReason;
pub use images::ImageStore;
pub use job::Job;
pub use platform::Platform;
pub use prediction::{DetectionResult, Label, Prediction, Status};
pub use predictions::PredictionStore;
pub use queue::JobQueue;
pub use summary::{plural, summary};
pub use timestamp::{Timestamp, TimestampMillis};
#[doc(hidden)]
pub use tracing;
pub use wish::{Deed, Wish};
pub use work::WorkStore;
