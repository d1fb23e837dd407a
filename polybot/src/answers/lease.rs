//! What every lease has in common: on an update, an album or an answer.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use fleet::{AwsError, Clock};

/// A write that work depends on is retried five times after the SDK's own retries, a second after each.
const BACKOFF: ConstantBuilder = ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(5);

/// How long the holder of a lease may work: not until it ends, as then another may begin. Records have whole seconds.
pub(crate) fn working_time(lease: Duration) -> Duration {
    Duration::from_secs(lease.as_secs()).mul_f64(0.9)
}

/// Writes that the work begins or is done, and tries longer than the SDK does: while it is not written, the work waits or may be done
/// again. `failed` hears of each failure after which the write is retried.
///
/// # Errors
/// The last try's.
pub(crate) async fn insist<T, F: Future<Output = Result<T, AwsError>>>(
    clock: &Clock,
    write: impl FnMut() -> F,
    failed: impl Fn(&AwsError),
) -> Result<T, AwsError> {
    write.retry(BACKOFF).sleep(clock.clone()).notify(|error, _| failed(error)).await
}
