//! Long polling: asks Telegram for updates, if there is no webhook.

use std::time::Duration;

use fleet::Clock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::inbox::{Inbox, NotKept};
use crate::{Telegram, TelegramError};

/// Wait after a failed request or an update that was not kept.
const PAUSE: Duration = Duration::from_secs(2);

/// Ask and keep until `shutdown`. An update is confirmed when it is kept, so none is lost at a crash, and none is waited for.
pub(crate) async fn run(telegram: &Telegram, inbox: &Inbox, clock: &Clock, shutdown: &CancellationToken) {
    let mut offset = 0;
    loop {
        let asked = tokio::select! {
            asked = telegram.updates(offset) => asked,
            () = shutdown.cancelled() => return,
        };
        let pause = match asked {
            Ok(batch) => keep_all(&batch, inbox, &mut offset).await,
            Err(error) => {
                tracing::warn!(%error, offset, "can't get updates from Telegram");
                Some(TelegramError::retry_after(&error).unwrap_or(PAUSE))
            }
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = clock.sleep(pause) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Keep a batch; `offset` moves to the first update that was not kept, before which one has to wait a little.
async fn keep_all(batch: &[Value], inbox: &Inbox, offset: &mut i64) -> Option<Duration> {
    for update in batch {
        match inbox.keep(update).await {
            Ok(()) => {}
            // It would come again and again.
            Err(error @ NotKept::NoUpdate(_)) => {
                fleet::log!(NOT_AN_UPDATE, %error, "Telegram delivered something that is not an update")
            }
            Err(error) => {
                tracing::warn!(update_id = update["update_id"].as_i64(), %error, "an update was not recorded; polybot asks for it again");
                return Some(PAUSE);
            }
        }
        if let Some(id) = update["update_id"].as_i64() {
            *offset = id + 1;
        }
    }
    None
}
