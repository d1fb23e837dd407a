//! The service put together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use fleet::server::{self, Limits};
use fleet::{ImageStore, JobQueue, Platform, PredictionStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::album_store::AlbumStore;
use crate::albums::Albums;
use crate::answers::{DeadLetters, LostJobs, Outbox, RetryPolicy};
use crate::filter_runner::FilterRunner;
use crate::forgetting::Forgetting;
use crate::http::{self, Context};
use crate::inbox::{Inbox, Queues};
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::reply::Kept;
use crate::startup::{until_answered, watch_webhook};
use crate::sweep::Sweep;
use crate::telegram::Webhook;
use crate::{Answers, Detection, Settings, Telegram, Updates, command, polling, secret};

/// The longest that what is sent waits for its chat's turn, before it is put off.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Run the service on this socket until `shutdown`, then finish the requests that run.
///
/// # Errors
/// If the token can't be read, Telegram refuses the webhook, or the socket fails.
pub async fn run(
    settings: Settings,
    platform: Platform,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    crate::describe_metrics();
    let config = platform.aws_for(env!("CARGO_PKG_NAME"));
    let metrics = platform.rendered_metrics();
    let Platform { build, clock, .. } = platform;
    let token = secret::telegram_token(&settings, &config).await?;
    let memory = Memory::default();
    // An answer may wait twice, for its picture and for its turn: less than a lease lasts, and than a worker waits for an answer
    // to its call.
    let patience = (settings.lease / 4).min(LONGEST_WAIT);
    let telegram = Telegram::new(&token, settings.telegram_api_url.clone(), patience, memory.clone(), clock.clone())?
        .with_local_files(settings.telegram_api_local_files.clone());
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let images = ImageStore::new(aws_sdk_s3::Client::new(&config), &settings.bucket_name);
    let predictions = PredictionStore::new(dynamodb.clone(), &settings.dynamodb_table);
    let album_store = AlbumStore::new(dynamodb.clone(), &settings.dynamodb_table);
    let sqs = aws_sdk_sqs::Client::new(&config);
    let queue = JobQueue::new(sqs.clone(), &settings.sqs_queue_url);
    let retry_policy = RetryPolicy { interval: settings.sweep_interval, give_up_after: settings.give_up_after };
    let working = TaskTracker::new();
    let answers = Answers {
        outbox: Outbox {
            predictions: predictions.clone(),
            albums: album_store.clone(),
            retry_policy,
            lease: settings.lease,
            clock: clock.clone(),
        },
        telegram: telegram.clone(),
        images: images.clone(),
        memory: memory.clone(),
        working: working.clone(),
    };
    let forgetting = Forgetting {
        images: images.clone(),
        predictions: predictions.clone(),
        telegram: telegram.clone(),
        clock: clock.clone(),
        working: working.clone(),
    };
    let region = config.region().map_or_else(|| "that its settings name".to_owned(), ToString::to_string);
    let kept = Kept { region, image_days: settings.image_days };
    let detection = Detection {
        telegram: telegram.clone(),
        images,
        predictions: predictions.clone(),
        queue: queue.clone(),
        clock: clock.clone(),
        working: working.clone(),
    };
    let filter_runner = FilterRunner::new(telegram.clone(), memory.clone());
    let albums = Albums {
        store: album_store,
        detection: detection.clone(),
        answers: answers.clone(),
        filter_runner: filter_runner.clone(),
        memory,
        retry_policy,
        clock: clock.clone(),
        quiet: settings.album_quiet,
        lease: settings.lease,
        waiting: working.clone(),
        shutdown: shutdown.clone(),
    };
    let ledger = Ledger::new(dynamodb, &settings.dynamodb_table, settings.lease);
    let (me, is_ready) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
    let updates = Updates {
        ledger: ledger.clone(),
        detection,
        filter_runner,
        albums: albums.clone(),
        forgetting,
        clock: clock.clone(),
        kept,
        me: Arc::clone(&me),
    };
    let inbox = Inbox {
        ledger,
        updates,
        me: Arc::clone(&me),
        retry_policy,
        clock: clock.clone(),
        working: working.clone(),
        shutdown: shutdown.clone(),
        queues: Queues::default(),
    };
    let webhook_secret = secret::webhook_secret(&token);
    let context = Arc::new(Context {
        inbox: inbox.clone(),
        answers: answers.clone(),
        ready: Arc::clone(&is_ready),
        webhook_secret: webhook_secret.clone(),
        results_secret: settings.results_secret.clone(),
        load_test_secret: settings.load_test_secret.clone().filter(|_| settings.load_test),
    });
    let guarded = Arc::clone(&context);
    let reads = move |head: &_| guarded.reads(head);
    let listen_addr = listener.local_addr()?;
    let limits = Limits { grace: settings.drain_timeout, ..Limits::default() };
    let sweep = Sweep {
        inbox: inbox.clone(),
        answers: answers.clone(),
        albums,
        lost_jobs: LostJobs {
            predictions: predictions.clone(),
            queue,
            answers: answers.clone(),
            clock: clock.clone(),
            stale_after: settings.stale_after,
        },
        clock: clock.clone(),
        interval: settings.sweep_interval,
    };
    let dead_letters = settings.dead_letter_queue_url.as_ref().map(|url| DeadLetters {
        queue: JobQueue::new(sqs, url),
        predictions,
        clock: clock.clone(),
        answers,
    });
    if dead_letters.is_none() {
        fleet::log!(
            NO_DEAD_LETTER_QUEUE,
            "DEAD_LETTER_QUEUE_URL is not set: users of jobs that keep failing are not told"
        );
    }
    let webhook_interval = 2 * settings.sweep_interval;
    let receive = async {
        let Some(who) = until_answered(&clock, || telegram.me(), &shutdown).await? else { return anyhow::Ok(()) };
        if !who.reads_groups {
            tracing::info!(
                "BotFather's privacy mode is on: groups show the bot commands and replies to it only (/setprivacy)"
            );
        }
        // It is set once.
        let _ = me.set(who);
        if until_answered(&clock, || telegram.set_menu(command::menu()), &shutdown).await?.is_none() {
            return Ok(());
        }
        // Set only when the routes are being served: Telegram begins to deliver at once.
        match &settings.telegram_app_url {
            Some(app_url) => {
                let url = app_url.join("webhook").context("TELEGRAM_APP_URL is no address that a path can follow")?;
                let certificate = settings.telegram_certificate.as_ref().map(|path| {
                    std::fs::read(path).with_context(|| format!("can't read {} (TELEGRAM_CERTIFICATE)", path.display()))
                });
                let webhook = Webhook { url, secret: webhook_secret, certificate: certificate.transpose()? };
                if until_answered(&clock, || telegram.set_webhook(&webhook), &shutdown).await?.is_none() {
                    return Ok(());
                }
                is_ready.store(true, Ordering::Relaxed);
                fleet::log!(READY, %listen_addr, version = build.version, commit = build.commit, "ready; Telegram delivers updates");
                watch_webhook(&telegram, &webhook, webhook_interval, &clock, &shutdown).await;
            }
            None => {
                if until_answered(&clock, || telegram.delete_webhook(), &shutdown).await?.is_none() {
                    return Ok(());
                }
                is_ready.store(true, Ordering::Relaxed);
                fleet::log!(READY, %listen_addr, version = build.version, commit = build.commit, "ready; asking Telegram for updates");
                polling::run(&telegram, &inbox, &clock, &shutdown).await;
            }
        }
        anyhow::Ok(())
    };
    let work = async {
        tokio::try_join!(
            receive,
            done(server::serve(listener, http::routes(context, metrics), reads, limits, shutdown.clone())),
            done(sweep.run(shutdown.clone())),
            done(async {
                if let Some(dead_letters) = &dead_letters {
                    dead_letters.run(shutdown.clone()).await;
                }
            }),
        )?;
        working.close();
        working.wait().await;
        anyhow::Ok(())
    };
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limits.grace).await;
    };
    tokio::select! {
        worked = work => worked?,
        () = too_late => tracing::warn!(at_work = working.len(), "stopped at the end of the drain timeout; other instances take over"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// A part of the service that can't fail.
async fn done(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}
