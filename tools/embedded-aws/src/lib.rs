//! AWS on one machine: an endpoint on loopback that speaks the protocols of S3, SQS, DynamoDB, Secrets Manager,
//! CloudWatch and Auto Scaling as the AWS SDKs speak them, so that a service runs here exactly as in production and
//! finds it by `AWS_ENDPOINT_URL` alone.
//!
//! Being right where the fleet depends on it comes before being complete: S3, DynamoDB and Secrets Manager are the
//! `winterbaume-*` crates; SQS, CloudWatch and Auto Scaling are small services of this crate. State is in memory and
//! lasts as long as the endpoint. It checks no signatures: whoever reaches the port is served.

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

mod auto_scaling;
mod aws_chunked;
mod call;
mod calls;
mod clock;
mod cloudwatch;
mod failure;
mod faults;
mod gateway;
mod reply;
mod service;
mod sqs;
mod xml;

pub use auto_scaling::{Activity, AutoScaling, AutoScalingError, CAUSE_HEADER, Group, Instance, LifecycleState};
pub use calls::Calls;
pub use faults::{Action, Fault, FaultHandle, Faults};
pub use service::Service;

/// The account that owns everything here.
pub const ACCOUNT: &str = "123456789012";
/// The one region.
pub const REGION: &str = "us-east-1";

/// A running endpoint. Dropping it stops it; [`EmbeddedAws::stop`] also waits until it has stopped.
#[derive(Debug)]
pub struct EmbeddedAws {
    endpoint: String,
    faults: Faults,
    calls: Calls,
    auto_scaling: AutoScaling,
    /// Every task of the endpoint, so that stopping leaves none behind.
    tasks: TaskTracker,
    stopping: DropGuard,
}

impl EmbeddedAws {
    /// Starts an empty AWS on a free port of loopback, in the current tokio runtime.
    pub async fn start() -> io::Result<Self> {
        Self::serve(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// Starts an empty AWS on a listener of the caller's.
    pub fn serve(listener: TcpListener) -> io::Result<Self> {
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (faults, calls) = (Faults::new(), Calls::new());
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let auto_scaling = AutoScaling::new(tasks.clone(), stopping.clone());
        let gateway = gateway::Gateway {
            s3: winterbaume_s3::S3Service::new(),
            dynamo_db: winterbaume_dynamodb::DynamoDbService::new(),
            secrets_manager: winterbaume_secretsmanager::SecretsManagerService::new(),
            sqs: sqs::Sqs::new(endpoint.clone(), faults.clone(), stopping.clone()),
            cloudwatch: cloudwatch::CloudWatch::default(),
            auto_scaling: auto_scaling.clone(),
            faults: faults.clone(),
            calls: calls.clone(),
        };
        tasks.spawn(gateway::run(Arc::new(gateway), listener, tasks.clone(), stopping.clone()));
        tracing::debug!(endpoint, "embedded AWS started");
        Ok(Self { endpoint, faults, calls, auto_scaling, tasks, stopping: stopping.drop_guard() })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The environment in which a process finds this AWS and no other: endpoint, region, made-up credentials, and
    /// nothing of the user's own profile.
    pub fn environment(&self) -> Vec<(String, String)> {
        let no_proxy = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default();
        let no_proxy = if no_proxy.is_empty() { "127.0.0.1".to_owned() } else { format!("{no_proxy},127.0.0.1") };
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "embedded"),
            ("AWS_SECRET_ACCESS_KEY", "embedded"),
            // Empty is as good as unset, and unlike unset it hides what the parent has.
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_PROFILE", "default"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", &no_proxy),
            ("no_proxy", &no_proxy),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The SDK configuration for clients in this process.
    pub async fn sdk_config(&self) -> aws_config::SdkConfig {
        let credentials = aws_credential_types::Credentials::new("embedded", "embedded", None, None, "embedded-aws");
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(REGION)
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .load()
            .await
    }

    /// The rules by which calls go wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How often each operation was called.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The Auto Scaling groups, for the launcher that starts and ends what stands for their instances.
    pub fn auto_scaling(&self) -> &AutoScaling {
        &self.auto_scaling
    }

    /// Stops listening, ends every connection and waits until nothing of the endpoint runs any more.
    pub async fn stop(self) {
        let Self { tasks, stopping, .. } = self;
        tasks.close();
        drop(stopping);
        tasks.wait().await;
    }
}
