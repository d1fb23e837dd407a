//! EC2's instance metadata (IMDSv2) for one instance, as much of it as a worker reads.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use embedded_aws::AutoScaling;

type About = Arc<OnceLock<(String, AutoScaling)>>;

pub(crate) struct Metadata {
    address: SocketAddr,
    about: About,
}

impl Metadata {
    pub(crate) async fn start() -> Self {
        let about = About::default();
        let routes = Router::new()
            .route(
                "/latest/api/token",
                put(|| async { ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "a-token") }),
            )
            .route("/latest/meta-data/instance-id", get(instance_id))
            .route("/latest/meta-data/autoscaling/target-lifecycle-state", get(target_state))
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
        assert!(self.about.set((instance.to_owned(), auto_scaling.clone())).is_ok());
    }
}

async fn instance_id(State(about): State<About>) -> Result<String, StatusCode> {
    about.get().map(|(instance, _)| instance.clone()).ok_or(StatusCode::NOT_FOUND)
}

async fn target_state(State(about): State<About>) -> Result<String, StatusCode> {
    let (instance, auto_scaling) = about.get().ok_or(StatusCode::NOT_FOUND)?;
    let (_, instance) = auto_scaling.instance(instance).ok_or(StatusCode::NOT_FOUND)?;
    let ends = instance.state.to_string().starts_with("Terminating");
    Ok(if ends { "Terminated" } else { "InService" }.to_owned())
}
