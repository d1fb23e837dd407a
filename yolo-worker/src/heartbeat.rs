//! Keeps a message invisible while its job waits or runs.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use fleet::queue::Received;
use fleet::{AwsError, JobQueue};
use tokio::time::Instant;

/// The longest an extension may take; it is begun at least this long before the message would reappear.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Codes of SQS that say: deleted, or visible again and perhaps somebody else's. The older protocol puts a prefix before them.
const FINAL: [&str; 3] = ["MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue"];
/// Wait after an extension that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Extend the message again and again. Returns only when it can't be kept: then another worker may get the job, and this
/// one should give it up.
pub(crate) async fn extend_visibility(queue: &JobQueue, message: &Received, timeout: Duration) {
    // `received` is a little late: the message has been invisible since before the receive returned. Half the timeout
    // leaves room for that.
    let mut deadline = Instant::now() + timeout;
    loop {
        tokio::time::sleep(next_extension(timeout)).await;
        match tokio::time::timeout_at(deadline, extend(queue, message, timeout)).await {
            Ok(Some(extended)) => deadline = extended + timeout,
            Ok(None) => return,
            Err(_) => {
                fleet::log!(
                    MESSAGE_NOT_EXTENDED,
                    message_id = message.message_id,
                    "a message could not be extended in time"
                );
                return;
            }
        }
    }
}

/// Extend until it works; returns when the request that did was begun, `None` if no other can.
async fn extend(queue: &JobQueue, message: &Received, timeout: Duration) -> Option<Instant> {
    let extend = || async move {
        let begun = Instant::now();
        queue.extend_visibility(&message.receipt, timeout).await.map(|()| begun)
    };
    let is_final = |error: &AwsError| error.code().is_some_and(|code| FINAL.iter().any(|last| code.ends_with(last)));
    let extended = extend.retry(ConstantBuilder::new().with_delay(PAUSE).without_max_times());
    let extended = extended.when(|error| {
        fleet::log!(MESSAGE_NOT_EXTENDED, message_id = message.message_id, %error, "a message was not extended");
        !is_final(error)
    });
    extended.await.ok()
}

/// At half the timeout, and early enough for one request before the end.
fn next_extension(timeout: Duration) -> Duration {
    (timeout / 2).min(timeout.saturating_sub(REQUEST_TIME)).max(timeout / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extends_at_half_time_and_one_request_before_the_end() {
        let seconds = Duration::from_secs;
        assert_eq!(next_extension(seconds(60)), seconds(30));
        assert_eq!(next_extension(seconds(16)), seconds(6));
        assert_eq!(next_extension(seconds(4)), seconds(1));
    }
}
