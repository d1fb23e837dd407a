//! The service put together.

use std::sync::Arc;

use detector::Model;
use fleet::server::{self, Limits};
use fleet::{ImageStore, JobQueue, Platform, PredictionStore, WorkStore};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::attempt::Worker;
use crate::callback::Callback;
use crate::consumer::Consumer;
use crate::drain::{Instance, Notice};
use crate::failures::Failures;
use crate::inference::InferencePool;
use crate::memory::Memory;
use crate::meter::Meter;
use crate::pipeline::{Detect, Pipeline};
use crate::readiness::Readiness;
use crate::{Settings, http, network, reporter};

/// The most callbacks under way at once.
const MAX_CALLBACKS: usize = 64;

/// Run the service on this socket until `shutdown`, then finish the jobs that run.
///
/// # Errors
/// If the model can't be loaded or the socket fails.
pub async fn run(
    settings: Settings,
    platform: Platform,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    crate::describe_metrics();
    let threads = settings.threads();
    let network = settings.network.clone();
    let load = move || network.load(&|step| tracing::info!(model = network.model, "{step}"));
    let detector = tokio::task::spawn_blocking(load).await??;
    if let Some(warning) = network::warning(&settings.network, &detector) {
        tracing::warn!(model = settings.network.model, "{warning}");
    }
    let isa = detector.model().and_then(Model::isa);
    let fallback_reason = detector.model().and_then(Model::fallback_reason);
    metrics::gauge!("worker_model_fallback").set(if fallback_reason.is_some() { 1.0 } else { 0.0 });
    fleet::log!(MODEL_LOADED, model = detector.name(), ?isa, fallback_reason, threads, "model loaded");

    serve(settings, platform, Arc::new(detector), listener, shutdown).await
}

/// The same with a detector of the caller's.
///
/// # Errors
/// If the system gives no thread, or the socket fails.
pub async fn serve(
    settings: Settings,
    platform: Platform,
    detector: Arc<dyn Detect>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let threads = settings.threads();
    let config = platform.aws_for(env!("CARGO_PKG_NAME"));
    let (build, metrics) = (platform.build, platform.rendered_metrics());
    let pipeline = Arc::new(Pipeline {
        images: ImageStore::new(aws_sdk_s3::Client::new(&config), &settings.bucket_name),
        detector,
        inference: InferencePool::new(threads, platform.metrics)?,
        meter: Meter::new(threads),
        limits: detector::photo::Limits::default(),
        memory: Memory::for_threads(threads),
    });
    let readiness = Readiness::default();
    let (in_flight, held) = watch::channel(0);
    let worker = Arc::new(Worker {
        queue: JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url),
        predictions: PredictionStore::new(aws_sdk_dynamodb::Client::new(&config), &settings.dynamodb_table),
        pipeline,
        callback: Callback::new(settings.polybot_results_url.clone(), settings.results_secret.clone())?,
        callbacks: Semaphore::new(MAX_CALLBACKS),
        clock: platform.clock.clone(),
        visibility_timeout: settings.visibility_timeout,
        failures: Failures::default(),
        retry_wait: settings.retry_wait,
        in_flight,
    });
    let slots = Semaphore::new(threads);
    let context = http::Context { worker: Arc::clone(&worker), slots, readiness: readiness.clone() };
    let work_store =
        WorkStore::new(aws_sdk_dynamodb::Client::new(&config), &settings.dynamodb_table, settings.report_interval);
    let consumer = Consumer {
        worker: Arc::clone(&worker),
        capacity: 2 * threads,
        receive_wait: settings.receive_wait,
        drain_timeout: settings.drain_timeout,
        readiness,
    };
    let instance = settings.asg_name.map(|group| Instance {
        metadata: platform.metadata.clone(),
        clock: platform.clock.clone(),
        auto_scaling: aws_sdk_autoscaling::Client::new(&config),
        group,
        hook: settings.lifecycle_hook,
        id: OnceCell::new(),
    });
    let listen_addr = listener.local_addr()?;
    fleet::log!(READY, queue = settings.sqs_queue_url, %listen_addr, version = build.version, commit = build.commit, "ready");
    // The routes outlive the consumer: a draining worker is healthy and can still be scraped.
    let (consumed, drained) = (CancellationToken::new(), CancellationToken::new());
    let routes = http::routes(Arc::new(context), metrics);
    let server = server::serve(listener, routes, server::no_body, Limits::default(), drained.clone());
    let work = async {
        let consume = async {
            consumer.run(shutdown.clone()).await;
            consumed.cancel();
        };
        match &instance {
            Some(instance) => {
                let protect = async {
                    if settings.scale_in_protection {
                        tokio::select! {
                            () = instance.protect_while_busy(held) => {}
                            () = shutdown.cancelled() => {}
                        }
                    }
                };
                let (noticed, (), ()) = tokio::join!(stop_at_notice(instance, &shutdown), consume, protect);
                // After a spot notice no hook waits yet.
                if noticed == Some(Notice::ScaleIn) {
                    instance.drained().await;
                }
            }
            None => consume.await,
        }
        drained.cancel();
    };
    let report = reporter::report(&worker.pipeline.meter, &work_store, &platform.clock, &consumed);
    tokio::join!(server, work, report);
    tracing::info!("stopped");
    Ok(())
}

/// Cancel `shutdown` when the instance is going to end; `None` if something else cancels it before.
async fn stop_at_notice(instance: &Instance, shutdown: &CancellationToken) -> Option<Notice> {
    tokio::select! {
        notice = instance.notice() => {
            shutdown.cancel();
            Some(notice)
        }
        () = shutdown.cancelled() => None,
    }
}
