//! One look for answers without a callback, and for those that were deferred and are due again.

use fleet::Status;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Answers, Delivered};

/// The most that one look delivers.
const BATCH: i32 = 1000;
/// The most answers that one look sends at the same time: a chat that has to wait holds up only its own.
const SIDE_BY_SIDE: usize = 32;

impl Answers {
    /// One look for what was finished an interval ago or earlier and was not told.
    pub(crate) async fn sweep(&self, shutdown: &CancellationToken) {
        let until = self.outbox.retry_policy.index_time(self.outbox.clock.now());
        for status in [Status::Done, Status::Failed] {
            let found = self.outbox.predictions.undelivered(status, until, BATCH).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, status = status.as_str(), "the sweep can't look for undelivered predictions");
                    continue;
                }
            };
            let mut running = JoinSet::new();
            for prediction_id in found {
                if shutdown.is_cancelled() {
                    break;
                }
                if running.len() >= SIDE_BY_SIDE {
                    running.join_next().await;
                }
                let answers = self.clone();
                running.spawn(async move { answers.sweep_one(prediction_id).await });
            }
            while running.join_next().await.is_some() {}
        }
    }

    async fn sweep_one(&self, prediction_id: Uuid) {
        match self.deliver(prediction_id).await {
            Ok(Delivered::Now) => {
                metrics::counter!("polybot_swept_total").increment(1);
                tracing::info!(%prediction_id, "the sweep delivered what was not called back");
            }
            Ok(_) => {}
            Err(error) => fleet::log!(DELIVERY_FAILED, %prediction_id, %error, "the sweep could not deliver"),
        }
    }
}
