//! The fleet, as a flood sees it.

use aws_config::SdkConfig;
use fleet::{ImageStore, JobQueue, PredictionStore};

/// Where a fleet keeps its jobs, photos and records, and how to look at its size.
#[derive(Clone, Debug)]
pub struct FleetStores {
    pub(crate) images: ImageStore,
    pub(crate) queue: JobQueue,
    pub(crate) predictions: PredictionStore,
    pub(crate) auto_scaling: aws_sdk_autoscaling::Client,
    pub(crate) group: Option<String>,
}

impl FleetStores {
    /// The fleet with this bucket, queue and table.
    #[must_use]
    pub fn new(config: &SdkConfig, bucket: &str, queue_url: &str, table: &str) -> Self {
        Self {
            images: ImageStore::new(aws_sdk_s3::Client::new(config), bucket),
            queue: JobQueue::new(aws_sdk_sqs::Client::new(config), queue_url),
            predictions: PredictionStore::new(aws_sdk_dynamodb::Client::new(config), table),
            auto_scaling: aws_sdk_autoscaling::Client::new(config),
            group: None,
        }
    }

    /// Its workers are this Auto Scaling group: the report then shows how many there were.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = Some(name.into());
        self
    }
}
