//! Tells what this worker did, once a stretch of time: metric-streamer scales the fleet by it.

use std::time::{Duration, UNIX_EPOCH};

use fleet::{Clock, WorkStore};
use tokio_util::sync::CancellationToken;

use crate::meter::{Meter, until_report};

/// The last report may take so long: nothing is lost by it but a few seconds of one worker.
const LAST_REPORT: Duration = Duration::from_secs(2);

/// Add to the store what was done, at the end of each stretch, and the rest once the consumer has `ended`. What can't be added is
/// added with the next.
pub(crate) async fn report(meter: &Meter, store: &WorkStore, clock: &Clock, ended: &CancellationToken) {
    loop {
        let since_epoch = clock.since_epoch();
        let stretch = store.stretch_at(UNIX_EPOCH + since_epoch);
        tokio::select! {
            () = clock.sleep(until_report(since_epoch, store.length(), fastrand::f64())) => {}
            () = ended.cancelled() => {
                if !matches!(tokio::time::timeout(LAST_REPORT, store.add(stretch, &meter.take())).await, Ok(Ok(()))) {
                    tracing::debug!(stretch, "this worker's last report was not stored");
                }
                return;
            }
        }
        let work = meter.take();
        if let Err(error) = store.add(stretch, &work).await {
            metrics::counter!("worker_report_failures_total").increment(1);
            fleet::log!(REPORT_FAILED, %error, stretch, "this worker's report was not stored; the next one includes it");
            meter.put_back(work);
        }
    }
}
