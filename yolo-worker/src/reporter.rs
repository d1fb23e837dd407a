//! Tells what this worker did, once a stretch of time: metric-streamer scales the fleet by it.

use std::time::UNIX_EPOCH;

use fleet::{Clock, WorkStore};

use crate::meter::{Meter, until_report};

/// Add to the store what was done, at the end of each stretch, for ever. What can't be added is added with the next.
pub(crate) async fn report(meter: &Meter, store: &WorkStore, clock: &Clock) {
    loop {
        let since_epoch = clock.since_epoch();
        let stretch = store.stretch_at(UNIX_EPOCH + since_epoch);
        clock.sleep(until_report(since_epoch, store.length(), fastrand::f64())).await;
        let work = meter.take();
        if let Err(error) = store.add(stretch, &work).await {
            metrics::counter!("worker_report_failures_total").increment(1);
            fleet::log!(REPORT_FAILED, %error, stretch, "this worker's report was not stored; the next one includes it");
            meter.put_back(work);
        }
    }
}
