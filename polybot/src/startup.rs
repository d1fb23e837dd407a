//! What has to be settled with Telegram before the bot works, and what has to be watched while it does.

use std::time::Duration;

use backon::Retryable as _;
use fleet::Clock;
use tokio_util::sync::CancellationToken;

use crate::telegram::Webhook;
use crate::{Telegram, TelegramError};

/// Waits between tries at start; the last one stays.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];
/// The longest that a 429 at start is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// So long after an update was not taken the webhook counts as failing.
const FAILING: Duration = Duration::from_secs(300);

/// Asks Telegram until it responds. `None` if `shutdown` comes first.
///
/// # Errors
/// What Telegram refuses: another try would be refused, too.
pub(crate) async fn until_answered<T, F: Future<Output = Result<T, TelegramError>>>(
    clock: &Clock,
    ask: impl Fn() -> F,
    shutdown: &CancellationToken,
) -> Result<Option<T>, TelegramError> {
    let backoff = PAUSES.into_iter().chain(std::iter::repeat(PAUSES[PAUSES.len() - 1]));
    let asked = ask
        .retry(backoff)
        .sleep(clock.clone())
        .when(|error| error.may_pass() && !error.is_unauthorized())
        .adjust(|error, pause| error.retry_after().map(|wait| wait.min(LONGEST_PAUSE)).or(pause))
        .notify(
            |error, pause| tracing::warn!(%error, seconds = pause.as_secs(), "not ready: Telegram failed; retrying"),
        );
    tokio::select! {
        asked = asked => asked.map(Some),
        () = shutdown.cancelled() => Ok(None),
    }
}

/// Look at the webhook again and again as Telegram sees it, until `shutdown`: measure it, and set it anew where Telegram is
/// refused, as after a certificate was renewed or another program has set another secret.
pub(crate) async fn watch_webhook(
    telegram: &Telegram,
    webhook: &Webhook,
    interval: Duration,
    clock: &Clock,
    shutdown: &CancellationToken,
) {
    let mut set_at = clock.now();
    loop {
        tokio::select! {
            () = clock.sleep(interval) => {}
            () = shutdown.cancelled() => return,
        }
        let health = match telegram.webhook_health().await {
            Ok(health) => health,
            Err(error) => {
                tracing::warn!(%error, url = %webhook.url, "can't read the state of the webhook");
                continue;
            }
        };
        let is_failing = health.failed_at.is_some_and(|at| clock.now().since(at) < FAILING);
        metrics::gauge!("polybot_webhook_pending_updates").set(health.pending as f64);
        metrics::gauge!("polybot_webhook_failing").set(f64::from(u8::from(is_failing)));
        if !is_failing {
            continue;
        }
        let failure = health.failure.as_deref().unwrap_or_default();
        fleet::log!(WEBHOOK_FAILING, failure, url = %webhook.url, pending = health.pending, "Telegram can't deliver updates");
        // Not for a failure from before it was set last.
        if health.wants_setting() && health.failed_at.is_some_and(|at| at >= set_at) {
            match telegram.set_webhook(webhook).await {
                Ok(()) => fleet::log!(WEBHOOK_SET_AGAIN, "the webhook was set again"),
                Err(error) => tracing::warn!(%error, url = %webhook.url, "the webhook could not be set again"),
            }
            // A failure of the same second may be an old one.
            set_at = clock.now() + Duration::from_secs(1);
        }
    }
}
