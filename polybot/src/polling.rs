//! Long polling: asks Telegram for updates, where there is no webhook.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::updates::Handled;
use crate::{Telegram, Updates};

/// Wait after a failed request or a failed update.
const PAUSE: Duration = Duration::from_secs(2);

/// Ask and handle until `shutdown`. An update is confirmed only after it was handled, so none is lost at a crash; one
/// that fails is asked for again.
pub(crate) async fn run(telegram: &Telegram, updates: &Updates, shutdown: &CancellationToken) {
    let mut offset = 0;
    loop {
        let asked = tokio::select! {
            asked = telegram.updates(offset) => asked,
            () = shutdown.cancelled() => return,
        };
        let failed = match asked {
            Ok(batch) => handle_all(batch, updates, &mut offset).await,
            Err(error) => {
                tracing::warn!(%error, "can't get updates");
                true
            }
        };
        if failed {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Handle a batch side by side; `offset` moves to the first one that failed. Answers whether one did.
async fn handle_all(batch: Vec<teloxide::types::Update>, updates: &Updates, offset: &mut i32) -> bool {
    let mut running = Vec::with_capacity(batch.len());
    for update in batch {
        let (id, updates) = (update.id.0, updates.clone());
        running.push((id, tokio::spawn(async move { updates.handle(update).await })));
    }
    let mut failed = false;
    for (id, handled) in running {
        match handled.await {
            Ok(Ok(Handled::Done)) if !failed => *offset = i32::try_from(id + 1).unwrap_or(i32::MAX),
            Ok(Ok(Handled::Done)) => {}
            // As after a restart in the middle of it; it is asked for again.
            Ok(Ok(Handled::Busy)) => failed = true,
            Ok(Err(error)) => {
                tracing::warn!(%error, update_id = id, "an update failed and will be tried again");
                failed = true;
            }
            Err(error) => {
                // A panic is a bug; the same update would meet it again and block all others.
                tracing::error!(%error, update_id = id, "handling an update panicked");
                if !failed {
                    *offset = i32::try_from(id + 1).unwrap_or(i32::MAX);
                }
            }
        }
    }
    failed
}
