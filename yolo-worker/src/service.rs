//! The service put together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use detector::{Detector, StandIn, Thresholds};
use fleet::{ImageStore, JobQueue, PredictionStore};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Callback, Consumer, InferencePool, Pipeline, Settings, http};

/// Start the service and run it until SIGTERM or ctrl-c.
pub(crate) fn serve(settings: Settings) -> anyhow::Result<()> {
    fleet::telemetry::log_to_stderr(&settings.telemetry.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = fleet::shutdown::on_signal()?;
        let listener = TcpListener::bind(settings.listen_addr)
            .await
            .with_context(|| format!("can't listen on {} (LISTEN_ADDR)", settings.listen_addr))?;
        run(settings, listener, shutdown).await
    })
}

/// Run the service on this socket until `shutdown`, then finish the jobs that run.
///
/// # Errors
/// If the model can't be loaded or the socket fails.
pub async fn run(settings: Settings, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    let metrics = fleet::telemetry::collect_metrics()?;
    let model = settings.model.clone();
    let detector = tokio::task::spawn_blocking(move || load(&model)).await??;
    let threads = settings.threads();
    tracing::info!(model = detector.name(), threads, "model loaded");

    let config = fleet::aws::config().await;
    let queue = JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url);
    let pipeline = Arc::new(Pipeline {
        images: ImageStore::new(aws_sdk_s3::Client::new(&config), &settings.bucket_name),
        predictions: PredictionStore::new(aws_sdk_dynamodb::Client::new(&config), &settings.dynamodb_table),
        callback: Callback::new(settings.polybot_results_url.clone(), settings.results_secret.clone())?,
        detector: Arc::new(detector),
        inference: InferencePool::new(threads)?,
        limits: detector::photo::Limits::default(),
    });
    let context = http::Context { pipeline: Arc::clone(&pipeline), slots: Semaphore::new(threads) };
    let consumer = Consumer {
        queue,
        pipeline,
        capacity: 2 * threads,
        visibility_timeout: settings.visibility_timeout(),
        receive_wait: Duration::from_secs(settings.receive_wait),
    };
    tracing::info!(queue = settings.sqs_queue_url, listen_addr = %listener.local_addr()?, "ready");
    // The routes outlive the consumer: a draining worker is healthy and can still be scraped.
    let drained = CancellationToken::new();
    let server = axum::serve(listener, http::routes(Arc::new(context), metrics))
        .with_graceful_shutdown(drained.clone().cancelled_owned());
    let consume = async {
        consumer.run(shutdown).await;
        drained.cancel();
    };
    let (served, ()) = tokio::join!(server.into_future(), consume);
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// The detector that the `MODEL` setting asks for.
fn load(model: &str) -> anyhow::Result<Detector> {
    if let Some(stand_in) = StandIn::from_setting(model) {
        tracing::warn!(
            pause_ms = stand_in.pause.as_millis() as u64,
            "MODEL is the stand-in: nothing is really detected"
        );
        return Ok(Detector::stand_in(stand_in));
    }
    let path = models::locate(model, &|step| tracing::info!(model, "{step}"))?;
    Ok(Detector::load(&path, Thresholds::default())?)
}
