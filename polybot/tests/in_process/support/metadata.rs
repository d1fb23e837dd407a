//! EC2's instance metadata (IMDSv2) for one instance, as much of it as a worker reads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use embedded_aws::AutoScaling;

/// What the metadata is made of.
#[derive(Default)]
struct About {
    instance: OnceLock<(String, AutoScaling)>,
    /// EC2 has said that it takes the spot instance back.
    taken_back: AtomicBool,
}

pub(crate) struct Metadata {
    address: SocketAddr,
    about: Arc<About>,
}

impl Metadata {
    pub(crate) async fn start() -> Self {
        let about = Arc::<About>::default();
        let routes = Router::new()
            .route(
                "/latest/api/token",
                put(|| async { ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "a-token") }),
            )
            .route("/latest/meta-data/instance-id", get(instance_id))
            .route("/latest/meta-data/autoscaling/target-lifecycle-state", get(target_state))
            .route("/latest/meta-data/spot/instance-action", get(instance_action))
            .with_state(Arc::clone(&about));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, about }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The instance that asks.
    pub(crate) fn is_about(&self, instance: &str, auto_scaling: &AutoScaling) {
        assert!(self.about.instance.set((instance.to_owned(), auto_scaling.clone())).is_ok());
    }

    /// From now on there is a spot interruption notice, or none.
    pub(crate) fn take_back(&self, taken_back: bool) {
        self.about.taken_back.store(taken_back, Ordering::Relaxed);
    }
}

async fn instance_id(State(about): State<Arc<About>>) -> Result<String, StatusCode> {
    about.instance.get().map(|(instance, _)| instance.clone()).ok_or(StatusCode::NOT_FOUND)
}

async fn target_state(State(about): State<Arc<About>>) -> Result<String, StatusCode> {
    let (instance, auto_scaling) = about.instance.get().ok_or(StatusCode::NOT_FOUND)?;
    let (_, instance) = auto_scaling.instance(instance).ok_or(StatusCode::NOT_FOUND)?;
    let ends = instance.state.to_string().starts_with("Terminating");
    Ok(if ends { "Terminated" } else { "InService" }.to_owned())
}

async fn instance_action(State(about): State<Arc<About>>) -> Result<String, StatusCode> {
    let taken_back = about.taken_back.load(Ordering::Relaxed);
    taken_back
        .then(|| r#"{"action": "terminate", "time": "2026-11-23T08:22:00Z"}"#.to_owned())
        .ok_or(StatusCode::NOT_FOUND)
}
