//! What a service runs on: AWS, the time, and where it measures.

use aws_config::{AppName, SdkConfig, imds};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::telemetry::Metrics;
use crate::{BuildInfo, Clock};

/// All that a service takes from its surroundings, but for its settings and its socket. `main` hands it the process's; a test
/// hands each instance one of its own, so that several run in one process.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Which program runs.
    pub build: BuildInfo,
    /// What time it is.
    pub clock: Clock,
    /// Where this instance measures.
    pub metrics: Metrics,
    /// Region, credentials, endpoint, and how calls go over the network.
    pub aws: SdkConfig,
    /// What EC2 says of the instance that this runs on, if it runs on one.
    pub metadata: imds::Client,
}

impl Platform {
    /// The configuration for clients of the service of this name. Each call tells AWS the name, in its user agent.
    #[must_use]
    pub fn aws_for(&self, service: &'static str) -> SdkConfig {
        named(&self.aws, service)
    }

    /// Renders what this instance measured.
    #[must_use]
    pub fn rendered_metrics(&self) -> PrometheusHandle {
        self.metrics.handle()
    }
}

/// The configuration with this name in the user agent.
pub(crate) fn named(aws: &SdkConfig, service: &'static str) -> SdkConfig {
    let name = AppName::new(service).expect("the services' names are names");
    aws.to_builder().app_name(name).build()
}
