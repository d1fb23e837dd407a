//! The one place that builds the AWS SDK's configuration.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// The longest one attempt of a call may take. Longer than SQS's longest long poll (20 s).
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest a call may take with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a call is tried, the first time included; between tries the SDK waits with jitter, longer each time.
const ATTEMPTS: u32 = 4;

/// Region, credentials and endpoint from the environment (`AWS_*`), profile or instance role; timeouts and retries the
/// same for every service.
pub async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(CALL_TIMEOUT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .load()
        .await
}
