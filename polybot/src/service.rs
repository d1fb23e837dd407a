//! The service put together.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use fleet::{ImageStore, JobQueue, PredictionStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Context};
use crate::{Delivery, Detection, Settings, Telegram, Updates, polling, secret};

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = fleet::shutdown::on_signal()?;
        let listener = TcpListener::bind(settings.listen_addr)
            .await
            .with_context(|| format!("can't listen on {} (LISTEN_ADDR)", settings.listen_addr))?;
        run(settings, listener, shutdown).await
    })
}

/// Run the service on this socket until `shutdown`, then finish the requests that run.
///
/// # Errors
/// If the token can't be read, Telegram refuses the webhook, or the socket fails.
pub async fn run(settings: Settings, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    let metrics = fleet::telemetry::collect_metrics()?;
    let config = fleet::aws::config().await;
    let token = secret::telegram_token(&settings, &config).await?;
    let telegram = Telegram::new(&token, settings.telegram_api_url.clone())?;
    let images = ImageStore::new(aws_sdk_s3::Client::new(&config), &settings.bucket_name);
    let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&config), &settings.dynamodb_table);
    let queue = JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url);
    let delivery = Delivery { telegram: telegram.clone(), images: images.clone(), predictions: predictions.clone() };
    let updates = Updates { detection: Detection { telegram: telegram.clone(), images, predictions, queue } };
    let webhook_secret = secret::webhook_secret(&token);
    let context = Arc::new(Context {
        updates: updates.clone(),
        delivery: delivery.clone(),
        webhook_secret: webhook_secret.clone(),
        results_secret: settings.results_secret.clone(),
    });
    let listen_addr = listener.local_addr()?;
    let server = axum::serve(listener, http::routes(context, metrics))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let receive = async {
        // Set only when the routes are being served: Telegram begins to deliver at once.
        match &settings.telegram_app_url {
            Some(app_url) => {
                let url = app_url.join("webhook").context("TELEGRAM_APP_URL is no address that a path can follow")?;
                telegram.set_webhook(url, &webhook_secret).await?;
                tracing::info!(%listen_addr, "ready; Telegram delivers updates");
                shutdown.cancelled().await;
            }
            None => {
                telegram.delete_webhook().await?;
                tracing::info!(%listen_addr, "ready; asking Telegram for updates");
                polling::run(&telegram, &updates, &shutdown).await;
            }
        }
        anyhow::Ok(())
    };
    let serve = async { Ok(server.await?) };
    let sweep = async {
        delivery.sweep(shutdown.clone()).await;
        anyhow::Ok(())
    };
    tokio::try_join!(serve, receive, sweep)?;
    tracing::info!("stopped");
    Ok(())
}
