//! The service put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use fleet::server::{self, Limits};
use fleet::{JobQueue, Platform, WorkStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::streamer::Streamer;

/// Run the service on this socket until `shutdown`.
///
/// # Errors
/// If the socket fails.
pub async fn run(
    settings: Settings,
    platform: Platform,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    crate::describe_metrics();
    let config = platform.aws_for(env!("CARGO_PKG_NAME"));
    let (build, metrics) = (platform.build, platform.rendered_metrics());
    let streamer = Streamer {
        queue: JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url),
        work: WorkStore::new(
            aws_sdk_dynamodb::Client::new(&config),
            &settings.dynamodb_table,
            settings.report_interval,
        ),
        auto_scaling: aws_sdk_autoscaling::Client::new(&config),
        cloud_watch: aws_sdk_cloudwatch::Client::new(&config),
        demand: settings.demand(),
        group: settings.asg_name,
        clock: platform.clock,
        ready: AtomicBool::new(false),
    };
    let streamer = Arc::new(streamer);
    let listen_addr = listener.local_addr()?;
    fleet::log!(READY, group = streamer.group, %listen_addr, version = build.version, commit = build.commit, "ready");
    let well = Arc::clone(&streamer);
    let routes = Router::new()
        .route("/healthz", get(move || async move { healthz(&well) }))
        .route("/metrics", get(move || async move { metrics.render() }));
    let server = server::serve(listener, routes, server::no_body, Limits::default(), shutdown.clone());
    tokio::join!(server, streamer.run(settings.interval, shutdown));
    tracing::info!("stopped");
    Ok(())
}

/// Well once something was published.
fn healthz(streamer: &Streamer) -> (StatusCode, &'static str) {
    match streamer.ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "nothing was published yet"),
    }
}
