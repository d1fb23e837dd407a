//! The service put together.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use fleet::JobQueue;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Settings, Streamer};

/// Run the program with these arguments, the first being its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match serve(fleet::settings::parse_or_exit(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    fleet::telemetry::log_to_stderr(&settings.telemetry.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = fleet::shutdown::on_signal()?;
        let listener = TcpListener::bind(settings.listen_addr)
            .await
            .with_context(|| format!("can't listen on {} (LISTEN_ADDR)", settings.listen_addr))?;
        run(settings, listener, shutdown).await
    })
}

/// Run the service on this socket until `shutdown`.
///
/// # Errors
/// If the socket fails.
pub async fn run(settings: Settings, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    let metrics = fleet::telemetry::collect_metrics()?;
    let config = fleet::aws::config().await;
    let streamer = Streamer {
        queue: JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url),
        auto_scaling: aws_sdk_autoscaling::Client::new(&config),
        cloud_watch: aws_sdk_cloudwatch::Client::new(&config),
        group: settings.asg_name,
    };
    tracing::info!(listen_addr = %listener.local_addr()?, group = streamer.group, "ready");
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/metrics", get(move || async move { metrics.render() }));
    let server = axum::serve(listener, routes).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let (served, ()) = tokio::join!(server.into_future(), streamer.run(settings.interval, shutdown));
    served?;
    tracing::info!("stopped");
    Ok(())
}
