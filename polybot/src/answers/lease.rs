//! What every lease has in common, be it on an update, an album or an answer.

use std::time::Duration;

use fleet::{AwsError, Clock};

/// How often a write that ends a lease is tried again after the SDK's own tries, and the wait before each.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// How long the holder of a lease may work: not until it ends, as then another may begin. Records have whole seconds.
pub(crate) fn working_time(lease: Duration) -> Duration {
    Duration::from_secs(lease.as_secs()).mul_f64(0.9)
}

/// Write that the work is done, and try longer than the SDK does: while it is not written, it may be done again. `failed`
/// hears of each failure after which it is tried again.
///
/// # Errors
/// The last try's.
pub(crate) async fn insist<T, F: Future<Output = Result<T, AwsError>>>(
    clock: &Clock,
    mut write: impl FnMut() -> F,
    failed: impl Fn(&AwsError),
) -> Result<T, AwsError> {
    for _ in 0..TRIES {
        match write().await {
            Ok(written) => return Ok(written),
            Err(error) => failed(&error),
        }
        clock.sleep(PAUSE).await;
    }
    write().await
}
