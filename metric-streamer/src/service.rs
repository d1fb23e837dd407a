//! The service put together.

use axum::Router;
use axum::routing::get;
use fleet::server::{self, Limits};
use fleet::{BuildInfo, JobQueue};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Settings, Streamer};

/// Run the service on this socket until `shutdown`.
///
/// # Errors
/// If metrics are being collected already.
pub async fn run(
    settings: Settings,
    build: BuildInfo,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let metrics = fleet::telemetry::collect_metrics(build)?;
    let config = fleet::aws::config().await;
    let streamer = Streamer {
        queue: JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url),
        auto_scaling: aws_sdk_autoscaling::Client::new(&config),
        cloud_watch: aws_sdk_cloudwatch::Client::new(&config),
        group: settings.asg_name,
    };
    let listen_addr = listener.local_addr()?;
    tracing::info!(group = streamer.group, %listen_addr, version = build.version, commit = build.commit, "ready");
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/metrics", get(move || async move { metrics.render() }));
    let server = server::serve(listener, routes, server::no_body, Limits::default(), shutdown.clone());
    tokio::join!(server, streamer.run(settings.interval, shutdown));
    tracing::info!("stopped");
    Ok(())
}
