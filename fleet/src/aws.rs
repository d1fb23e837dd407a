//! The one place that builds the AWS SDK's configuration.

use std::time::Duration;

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};

use crate::platform;

/// The longest one attempt of a call may take. Longer than SQS's longest long poll (20 s).
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest a call may take with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a call is tried, the first time included; between tries the SDK waits with jitter, longer each time.
const ATTEMPTS: u32 = 4;

/// As [`config`], for clients of the program of this name: each call tells AWS the name, in its user agent.
pub async fn config_for(program: &'static str) -> SdkConfig {
    platform::named(&config().await, program)
}

/// Region, credentials and endpoint from the environment (`AWS_*`), profile or instance role; timeouts and retries the
/// same for every service.
pub async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
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

/// EC2's instance metadata, where the environment says or where it always is.
pub(crate) fn metadata() -> imds::Client {
    imds::Client::builder().configure(&ProviderConfig::without_region().with_http_client(http_client())).build()
}

/// How every call to AWS goes over the network: the SDK's own client, through the proxy that the environment names, if any.
///
/// Its TLS is built on `ring`, because reqwest's and so Telegram's is: the SDK's default would bring a second cryptographic
/// library in C.
pub fn http_client() -> SharedHttpClient {
    // As the SDK makes its default client; `Builder::build_https` would not look for a proxy.
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring));
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}
