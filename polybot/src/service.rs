//! The service put together.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fleet::{ImageStore, JobQueue, PredictionStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::album_store::AlbumStore;
use crate::albums::Albums;
use crate::darkroom::Darkroom;
use crate::http::{self, Context};
use crate::ledger::Ledger;
use crate::telegram::Webhook;
use crate::{Delivery, Detection, Settings, Telegram, Updates, command, polling, secret};

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
    let bot = telegram.name().await?;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let images = ImageStore::new(aws_sdk_s3::Client::new(&config), &settings.bucket_name);
    let predictions = PredictionStore::new(dynamodb.clone(), &settings.dynamodb_table);
    let album_store = AlbumStore::new(dynamodb.clone(), &settings.dynamodb_table);
    let queue = JobQueue::new(aws_sdk_sqs::Client::new(&config), &settings.sqs_queue_url);
    let delivery = Delivery {
        telegram: telegram.clone(),
        images: images.clone(),
        predictions: predictions.clone(),
        albums: album_store.clone(),
    };
    let detection = Detection { telegram: telegram.clone(), images, predictions, queue };
    let darkroom = Darkroom::new(telegram.clone());
    let waiting = TaskTracker::new();
    let albums = Albums {
        store: album_store,
        detection: detection.clone(),
        darkroom: darkroom.clone(),
        bot: bot.clone(),
        quiet: Duration::from_secs_f64(settings.album_quiet),
        waiting: waiting.clone(),
        shutdown: shutdown.clone(),
    };
    let ledger = Ledger::new(dynamodb, &settings.dynamodb_table);
    let updates = Updates { ledger, detection, darkroom, albums: albums.clone(), bot };
    let webhook_secret = secret::webhook_secret(&token);
    let context = Arc::new(Context {
        updates: updates.clone(),
        delivery: delivery.clone(),
        webhook_secret: webhook_secret.clone(),
        results_secret: settings.results_secret.clone(),
        load_test_secret: settings.load_test_secret.clone().filter(|_| settings.load_test),
    });
    let listen_addr = listener.local_addr()?;
    let server = axum::serve(listener, http::routes(context, metrics))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let receive = async {
        telegram.set_menu(command::menu()).await?;
        // Set only when the routes are being served: Telegram begins to deliver at once.
        match &settings.telegram_app_url {
            Some(app_url) => {
                let url = app_url.join("webhook").context("TELEGRAM_APP_URL is no address that a path can follow")?;
                let certificate = settings.telegram_certificate.as_ref().map(|path| {
                    std::fs::read(path).with_context(|| format!("can't read {} (TELEGRAM_CERTIFICATE)", path.display()))
                });
                let certificate = certificate.transpose()?;
                telegram.ensure_webhook(Webhook { url, secret: webhook_secret, certificate }).await?;
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
        delivery.sweep(&albums, shutdown.clone()).await;
        anyhow::Ok(())
    };
    tokio::try_join!(serve, receive, sweep)?;
    waiting.close();
    waiting.wait().await;
    tracing::info!("stopped");
    Ok(())
}
