//! What is sent, one chat's messages one after another, within Telegram's limits.
//!
//! Each chat has a queue of its own ([`Lane`]), so a chat that may not be written to for an hour holds nobody else. What would
//! have to wait longer than a request may is not sent but comes back with the time at which to try again: its sender keeps it
//! where answers that failed are kept, and nothing waits in memory for an hour. The limit over all chats is the [`Gate`]'s.

mod gate;
mod lane;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::Clock;
use teloxide::RequestError;

use gate::{Chat, Gate};
use lane::Lane;

/// So many chats may be known before those are forgotten in which nothing goes on.
const MANY_CHATS: usize = 4096;

/// The queues.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    shared: Arc<Shared>,
    patience: Duration,
    /// What can't wait here is retried later.
    comes_back: bool,
}

#[derive(Debug)]
struct Shared {
    lanes: Mutex<HashMap<i64, Arc<Lane>>>,
    gate: Gate,
    clock: Clock,
}

/// Why a message was not sent.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// It would have to wait too long; it may be retried after this.
    Later(Duration),
    /// The call failed.
    Failed(RequestError),
}

impl Sending {
    /// A sender waits no longer than `patience` for the chat's turn, by this clock.
    pub(crate) fn new(patience: Duration, clock: Clock) -> Self {
        let shared = Shared { lanes: Mutex::default(), gate: Gate::new(clock.clone()), clock };
        Self { shared: Arc::new(shared), patience, comes_back: true }
    }

    /// The same queues, for calls that are not worth a long wait and are not retried: no later turn is kept for them.
    pub(crate) fn with_patience(&self, patience: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), patience: patience.min(self.patience), comes_back: false }
    }

    /// Wait until the chat can be written to, without taking its turn: before what is costly to make. A chat that has to wait
    /// long says so at once.
    ///
    /// # Errors
    /// How much later to come, if the chat has to wait longer than the patience.
    pub(crate) async fn ready(&self, chat_id: i64) -> Result<(), Duration> {
        let lane = self.lane(chat_id);
        let now = self.shared.clock.instant();
        let expected = lane.expected(now);
        if expected > now + self.patience {
            return Err(lane.promise(now) - now);
        }
        self.shared.clock.sleep_until(expected).await;
        Ok(())
    }

    /// Does the call, of `messages` messages, when it is the chat's turn; retries after a 429, if that is soon enough.
    ///
    /// # Errors
    /// [`NotSent`].
    pub(crate) async fn send<T, F: Future<Output = Result<T, RequestError>>>(
        &self,
        chat_id: i64,
        messages: usize,
        call: impl Fn() -> F,
    ) -> Result<T, NotSent> {
        let lane = self.lane(chat_id);
        let now = self.shared.clock.instant();
        let deadline = now + self.patience;
        let later = || {
            let now = self.shared.clock.instant();
            let turn = if self.comes_back { lane.promise(now) } else { lane.expected(now) };
            NotSent::Later(turn.saturating_duration_since(now))
        };
        if lane.expected(now) > deadline {
            return Err(later());
        }
        let place = lane.enter();
        let Ok(turn) = self.shared.clock.timeout_at(deadline, lane.turn.lock()).await else {
            drop(place);
            return Err(later());
        };
        // As it was before: a chat that is refused through no fault of its own keeps its place among the chats.
        let chat = Chat { is_group: lane.is_group(), last: lane.last() };
        // No backoff of a library's: what a 429 names holds the whole lane, the next try passes the gate like any other message,
        // and one whose turn comes after the deadline is told when to come back instead.
        loop {
            let free = lane.free_at(self.shared.clock.instant());
            if free > deadline {
                drop((place, turn));
                return Err(later());
            }
            self.shared.clock.sleep_until(free).await;
            if !self.shared.gate.pass(messages, chat, deadline).await {
                drop((place, turn));
                return Err(later());
            }
            lane.take(self.shared.clock.instant());
            match call().await {
                Err(RequestError::RetryAfter(wait)) => {
                    let now = self.shared.clock.instant();
                    metrics::counter!("polybot_too_many_requests_total").increment(1);
                    let is_explained = lane.hold(now + wait.duration(), now);
                    if !is_explained {
                        self.shared.gate.refused(chat_id, now);
                    }
                    tracing::debug!(chat_id, seconds = wait.seconds(), is_explained, "Telegram says to wait");
                }
                outcome => return outcome.map_err(NotSent::Failed),
            }
        }
    }

    fn lane(&self, chat_id: i64) -> Arc<Lane> {
        let mut lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= MANY_CHATS && !lanes.contains_key(&chat_id) {
            let now = self.shared.clock.instant();
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle(now));
        }
        Arc::clone(lanes.entry(chat_id).or_insert_with(|| Arc::new(Lane::new(chat_id))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use teloxide::types::Seconds;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_chat_that_may_not_be_written_to_for_an_hour_holds_nobody_else() {
        let sending = Sending::new(PATIENCE, Clock::system());
        let calls = AtomicUsize::new(0);
        let slow = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(RequestError::RetryAfter(Seconds::from_seconds(3600)))
        };
        let begun = Instant::now();
        for _ in 0..3 {
            let Err(NotSent::Later(wait)) = sending.send(-5, 1, slow).await else { panic!("not now") };
            assert!(wait > Duration::from_secs(3590), "{wait:?}");
        }
        assert_eq!(calls.into_inner(), 1, "it is not asked again before its time");
        assert!(sending.ready(-5).await.is_err());
        sending.send(7, 1, || async { Ok(()) }).await.expect("another chat");
        assert!(begun.elapsed() < PATIENCE, "nobody waited");
    }

    #[tokio::test]
    async fn what_is_not_tried_again_takes_no_later_turn() {
        let sending = Sending::new(PATIENCE, Clock::system());
        let slow = || async { Err::<(), _>(RequestError::RetryAfter(Seconds::from_seconds(3600))) };
        assert!(sending.send(-5, 1, slow).await.is_err());
        let status = sending.with_patience(PATIENCE);
        for _ in 0..20 {
            assert!(status.send(-5, 1, slow).await.is_err());
        }
        let Err(NotSent::Later(wait)) = sending.send(-5, 1, slow).await else { panic!("not now") };
        assert!(wait < Duration::from_secs(3610), "{wait:?} for the second that comes back");
    }

    #[tokio::test]
    async fn a_short_429_is_waited_out() {
        let sending = Sending::new(Duration::from_secs(10), Clock::system());
        let calls = AtomicUsize::new(0);
        let call = || async {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            if first { Err(RequestError::RetryAfter(Seconds::from_seconds(1))) } else { Ok(()) }
        };
        sending.send(5, 1, call).await.expect("the second time");
    }

    #[tokio::test]
    async fn one_chats_messages_keep_their_order() {
        let sending = Sending::new(Duration::from_secs(10), Clock::system());
        let order = Mutex::new(Vec::new());
        let send = async |number| {
            let call = || async {
                order.lock().expect("no panic").push(number);
                Ok(())
            };
            sending.send(5, 1, call).await.expect("sent");
        };
        tokio::join!(send(1), send(2), send(3));
        assert_eq!(*order.lock().expect("no panic"), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_queue_that_is_too_long_is_not_entered() {
        let sending = Sending::new(PATIENCE, Clock::system());
        let send = async || sending.send(5, 1, || async { Ok(()) }).await;
        let outcomes = tokio::join!(send(), send(), send(), send(), send());
        assert!(
            matches!(outcomes, (Ok(()), Ok(()), _, Err(NotSent::Later(_)), Err(NotSent::Later(_)))),
            "{outcomes:?}"
        );
    }
}
