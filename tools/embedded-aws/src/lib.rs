//! AWS on one machine: an endpoint on loopback that speaks the protocols of S3, SQS, DynamoDB, Secrets Manager,
//! CloudWatch and Auto Scaling as the AWS SDKs speak them, so that a service runs here exactly as in production and
//! finds it by `AWS_ENDPOINT_URL` alone.
//!
//! Being right where the fleet depends on it comes before being complete: each is a small service of this crate, and
//! says so when it is asked for what it does not offer. State is in memory and lasts as long as the endpoint, unless
//! [`EmbeddedAws::serve_in`] keeps it in a folder. It does not check signatures: it serves every client that reaches the port.

// No operator reads its log.
#![allow(clippy::disallowed_macros)]

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use data_dir::DataDir;

mod auto_scaling;
mod aws_chunked;
mod call;
mod calls;
mod clock;
mod cloudwatch;
mod data_dir;
mod dynamo_db;
mod failure;
mod faults;
mod gateway;
mod reply;
mod s3;
mod secrets_manager;
mod service;
mod sqs;
mod xml;

pub use auto_scaling::{Activity, AutoScaling, AutoScalingError, CAUSE_HEADER, Group, Instance, LifecycleState};
pub use calls::Calls;
pub use data_dir::DataDirError;
pub use faults::{Action, Fault, FaultHandle, Faults};
pub use service::Service;
pub use sqs::redrive_policy;

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
    /// The folder that is taken, if there is one.
    data_dir: Option<DataDir>,
}

/// The services whose state can be kept.
struct Stored {
    s3: s3::S3,
    dynamo_db: dynamo_db::DynamoDb,
    sqs: Arc<sqs::Sqs>,
    keeper: Option<Arc<sqs::Keeper>>,
}

impl EmbeddedAws {
    /// Starts an empty AWS on a free port of loopback, in the current tokio runtime.
    pub async fn start() -> io::Result<Self> {
        Self::serve(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// Starts an empty AWS on a listener of the caller's.
    pub fn serve(listener: TcpListener) -> io::Result<Self> {
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (faults, stopping) = (Faults::new(), CancellationToken::new());
        let stored = Stored {
            s3: s3::S3::default(),
            dynamo_db: dynamo_db::DynamoDb::default(),
            sqs: Arc::new(sqs::Sqs::new(endpoint.clone(), faults.clone(), stopping.clone())),
            keeper: None,
        };
        Ok(Self::run(listener, endpoint, stored, faults, stopping, None))
    }

    /// Starts an AWS whose objects, tables and messages are kept in a folder, and are there again when it is started
    /// with that folder the next time. Metrics, secrets and Auto Scaling groups are not kept.
    ///
    /// What was answered with success is kept even if this program is killed: an object is a file, a write to a table is
    /// in a journal, a message in a snapshot before the answer is given. Receives and deletions of messages are kept a
    /// moment later: a message may come once more. After a power failure the last writes to tables may be lost: they are
    /// left to the operating system to write.
    ///
    /// # Errors
    /// [`DataDirError`] if another program has the folder, or it can't be read or written.
    pub async fn serve_in(listener: TcpListener, folder: &Path) -> Result<Self, DataDirError> {
        let data_dir = DataDir::take(folder)?;
        let address = listener.local_addr().map_err(|error| data_dir.error("listen to serve what is", error))?;
        let endpoint = format!("http://{address}");
        let (faults, stopping) = (Faults::new(), CancellationToken::new());
        let s3 = s3::S3::open(&data_dir.path().join("s3"));
        let s3 = s3.map_err(|error| data_dir.error("read S3's objects", error))?;
        let dynamo_db = dynamo_db::DynamoDb::open(data_dir.path());
        let dynamo_db = dynamo_db.map_err(|error| data_dir.error("read or write DynamoDB's tables", error))?;
        let sqs = Arc::new(sqs::Sqs::new(endpoint.clone(), faults.clone(), stopping.clone()));
        let keeper = sqs::Keeper::open(data_dir.path(), &sqs);
        let keeper = Arc::new(keeper.map_err(|error| data_dir.error("read SQS's messages", error))?);
        let stored = Stored { s3, dynamo_db, sqs, keeper: Some(keeper) };
        Ok(Self::run(listener, endpoint, stored, faults, stopping, Some(data_dir)))
    }

    fn run(
        listener: TcpListener,
        endpoint: String,
        stored: Stored,
        faults: Faults,
        stopping: CancellationToken,
        data_dir: Option<DataDir>,
    ) -> Self {
        let (calls, tasks) = (Calls::new(), TaskTracker::new());
        let auto_scaling = AutoScaling::new(tasks.clone(), stopping.clone());
        if let Some(keeper) = &stored.keeper {
            tasks.spawn(Arc::clone(keeper).run(Arc::clone(&stored.sqs), stopping.clone()));
        }
        let gateway = gateway::Gateway {
            s3: stored.s3,
            dynamo_db: stored.dynamo_db,
            secrets_manager: secrets_manager::SecretsManager::default(),
            sqs: stored.sqs,
            keeper: stored.keeper,
            cloudwatch: cloudwatch::CloudWatch::default(),
            auto_scaling: auto_scaling.clone(),
            faults: faults.clone(),
            calls: calls.clone(),
        };
        tasks.spawn(gateway::run(Arc::new(gateway), listener, tasks.clone(), stopping.clone()));
        tracing::debug!(endpoint, "embedded AWS started");
        Self { endpoint, faults, calls, auto_scaling, tasks, stopping: stopping.drop_guard(), data_dir }
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
        sdk_config(&self.endpoint).await
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
        let Self { tasks, stopping, data_dir, .. } = self;
        tasks.close();
        drop(stopping);
        tasks.wait().await;
        // Only now may another program have the folder.
        drop(data_dir);
    }
}

/// The SDK configuration for clients of an embedded AWS at this address, in whatever process it runs.
pub async fn sdk_config(endpoint: &str) -> aws_config::SdkConfig {
    let credentials = aws_credential_types::Credentials::new("embedded", "embedded", None, None, "embedded-aws");
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        // It is on loopback and speaks plain HTTP; no proxy of the environment's is asked for that.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(REGION)
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
        .load()
        .await
}
