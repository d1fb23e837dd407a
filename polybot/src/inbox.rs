//! Updates between Telegram's "ok" and their end: kept, handled one chat after another, tried again, given up.
//!
//! Telegram is told "ok" as soon as an update is kept, so no chat, file or answer can hold the webhook, or the polling, for the
//! others. Each chat has a queue here, as Telegram itself brings one chat's updates one after another; chats go side by side.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fleet::{AwsError, Clock, FailureReason};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::answers::{self, RetryPolicy};
use crate::detection::HandleError;
use crate::incoming::{self, Update};
use crate::lane::Lane;
use crate::ledger::{Entry, Ledger, Taken};
use crate::me::Me;
use crate::updates::Updates;

/// So many updates may be under way here; more are left to Telegram, which brings them again.
const MOST: usize = 2000;
/// So many of one chat may wait here; more stay in the table until their lease is over, and the sweep brings them.
const MOST_OF_ONE: usize = 200;
/// The most that one look of the sweep takes over.
const BATCH: usize = 200;
/// After so many instances died under it, an update is not tried any more.
const MOST_DEATHS: i64 = 3;

/// The updates that are under way. Clones share.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    /// Where they are kept.
    pub(crate) ledger: Ledger,
    /// What is done about them.
    pub(crate) updates: Updates,
    /// Who the bot is, once Telegram has said it; until then nothing is taken.
    pub(crate) me: Arc<OnceLock<Me>>,
    /// When they are tried again.
    pub(crate) retry_policy: RetryPolicy,
    pub(crate) clock: Clock,
    /// Those at work; finished before the service ends.
    pub(crate) working: TaskTracker,
    /// At shutdown what is not begun is given back.
    pub(crate) shutdown: CancellationToken,
    /// Those that wait for others of their lane.
    pub(crate) queues: Queues,
}

/// Updates that wait for others of their lane. Clones share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// A lane that has a queue, be it an empty one, has a task that works on it.
    by_lane: HashMap<Lane, VecDeque<Entry>>,
    /// The updates that wait or are being handled.
    held: HashSet<i64>,
}

/// Why Telegram has to bring an update again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// It is none.
    #[error(transparent)]
    NoUpdate(#[from] incoming::NoUpdate),
    /// Telegram has not said yet who the bot is.
    #[error("not ready: Telegram has not answered yet")]
    NotReady,
    /// Another instance is at it.
    #[error("another instance is at it")]
    Busy,
    /// Too many are under way here.
    #[error("{MOST} updates are under way here")]
    Full,
    /// It was not kept.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Inbox {
    /// Keep an update, to be handled soon. After that Telegram may forget it.
    ///
    /// # Errors
    /// [`NotKept`].
    pub(crate) async fn keep(&self, update: &Value) -> Result<(), NotKept> {
        if let Some((group, supergroup)) = incoming::migration(update) {
            self.updates.detection.telegram.moved_to(group, supergroup);
        }
        let update = Update::read(update, self.me.get().ok_or(NotKept::NotReady)?)?;
        let Some(asked) = update.asked else { return Ok(()) };
        if self.queues.are_full() {
            return Err(NotKept::Full);
        }
        match self.ledger.take(update.id, &asked, self.clock.now()).await? {
            Taken::Now(entry) => self.enqueue(*entry),
            Taken::Before => {}
            Taken::Busy => return Err(NotKept::Busy),
        }
        Ok(())
    }

    /// Take over what is due. What waits here, however long, is not: it is reached.
    pub(crate) async fn sweep(&self) {
        // Those that wait here may be the oldest of all; nothing may be hidden behind them.
        let most = i32::try_from(BATCH + self.queues.len()).unwrap_or(i32::MAX);
        let due = match self.ledger.due(self.clock.now(), most).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the sweep can't read the updates that are due");
                return;
            }
        };
        for update_id in due.into_iter().filter(|update_id| !self.queues.has(*update_id)).take(BATCH) {
            if self.shutdown.is_cancelled() || self.queues.are_full() {
                return;
            }
            match self.ledger.take_over(update_id, self.clock.now()).await {
                Ok(Some(entry)) => self.enqueue(entry),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, update_id, "an update could not be taken over"),
            }
        }
    }

    fn enqueue(&self, entry: Entry) {
        let lane = entry.asked.lane();
        if let Some(first) = self.queues.push(&lane, entry) {
            let inbox = self.clone();
            self.working.spawn(async move { inbox.work_on(lane, first).await });
        }
    }

    /// Handle a lane's updates until none is left.
    async fn work_on(&self, lane: Lane, first: Entry) {
        let mut next = Some(first);
        while let Some(entry) = next {
            let span = tracing::info_span!("update", update_id = entry.update_id, chat_id = entry.asked.chat_id());
            let update_id = entry.update_id;
            self.work(entry).instrument(span).await;
            next = self.queues.next(&lane, update_id);
        }
    }

    async fn work(&self, mut entry: Entry) {
        let update_id = entry.update_id;
        if self.shutdown.is_cancelled() {
            if let Err(error) = self.ledger.give_back(&entry).await {
                tracing::warn!(%error, update_id, "the lease was not given back; the retry waits until it ends");
            }
            return;
        }
        match self.ledger.begin(&mut entry, &self.clock).await {
            Ok(true) => {}
            // It waited for others of its chat, and another instance has it now.
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, update_id, "the update was not begun; the sweep takes it over when its lease ends");
                return;
            }
        }
        let outcome = if entry.deaths > MOST_DEATHS {
            fleet::log!(
                UPDATE_KILLED_INSTANCES,
                update_id,
                "an update was given up: every instance that handled it died"
            );
            metrics::counter!("polybot_updates_given_up_total").increment(1);
            self.updates.apologise(&entry.asked, &FailureReason::RetriesExhausted).await
        } else {
            self.handle(&entry).await
        };
        let ended = match outcome {
            Ok(()) => self.ledger.end(update_id, &self.clock).await,
            Err(error) => self.failed(&entry, error).await,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, update_id, "the update was not marked as handled; it may be handled again when its lease ends");
        }
    }

    /// Handle it, and try again a little where that can help at once. Stops before the lease ends: then another may try.
    async fn handle(&self, entry: &Entry) -> Result<(), HandleError> {
        let (updates, asked, work_id) = (self.updates.clone(), entry.asked.clone(), entry.work_id);
        let (update_id, clock) = (entry.update_id, self.clock.clone());
        // On a task of its own: a panic is a bug, and must not end the chat's queue. What it logs carries the ids of the update.
        let handling = async move {
            let (updates, asked) = (&updates, &asked);
            answers::soon_again(&clock, HandleError::may_pass_soon, || updates.handle(asked, work_id)).await
        };
        let mut work = tokio::spawn(handling.in_current_span());
        match self.clock.timeout(self.ledger.time(), &mut work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                fleet::log!(UPDATE_PANICKED, %error, update_id, "handling an update panicked");
                self.updates.apologise(&entry.asked, &FailureReason::RetriesExhausted).await
            }
            Err(_) => {
                work.abort();
                Err(HandleError::TooSlow)
            }
        }
    }

    /// Defer it, or give it up and say so.
    async fn failed(&self, entry: &Entry, error: HandleError) -> Result<(), AwsError> {
        let (update_id, now) = (entry.update_id, self.clock.now());
        if error.is_unreachable() {
            tracing::info!(%error, update_id, "the chat can't be reached");
            return self.ledger.end(update_id, &self.clock).await;
        }
        let first_failed_at = entry.first_failed_at.unwrap_or(now);
        let gone_since = error.gone_since(entry.gone_since, now);
        let next = match gone_since {
            Some(gone_since) => self.retry_policy.next_attempt_for_a_file(gone_since, now),
            None => self.retry_policy.next_attempt_after(first_failed_at, now, error.retry_after()),
        };
        if let Some(next) = next {
            tracing::warn!(%error, update_id, seconds = next.since(now).as_secs(), "an update failed; it is retried");
            return self.ledger.defer(entry, first_failed_at, gone_since, next).await;
        }
        fleet::log!(UPDATE_GIVEN_UP, %error, update_id, "an update was given up");
        metrics::counter!("polybot_updates_given_up_total").increment(1);
        let reason = match gone_since {
            Some(_) => FailureReason::NotGivenByTelegram,
            None => FailureReason::RetriesExhausted,
        };
        match self.updates.apologise(&entry.asked, &reason).await {
            // Told later, for as long as anything else would be.
            Err(error) if !error.is_unreachable() => {
                tracing::warn!(%error, update_id, "the sender was not told");
                match self.retry_policy.next_attempt_after(first_failed_at, now, error.retry_after()) {
                    Some(next) => self.ledger.defer(entry, first_failed_at, gone_since, next).await,
                    None => self.ledger.end(update_id, &self.clock).await,
                }
            }
            _ => self.ledger.end(update_id, &self.clock).await,
        }
    }
}

impl Queues {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.state().held.len()
    }

    fn are_full(&self) -> bool {
        self.len() >= MOST
    }

    /// Whether it waits or is being handled here.
    fn has(&self, update_id: i64) -> bool {
        self.state().held.contains(&update_id)
    }

    /// Put it behind the others of its lane, unless there are too many: one chat must not fill what all share. Given back at once, if
    /// there are none: somebody has to begin.
    fn push(&self, lane: &Lane, entry: Entry) -> Option<Entry> {
        let mut state = self.state();
        let State { by_lane, held } = &mut *state;
        match by_lane.get_mut(lane) {
            Some(waiting) if waiting.len() >= MOST_OF_ONE => None,
            Some(waiting) => {
                held.insert(entry.update_id);
                waiting.push_back(entry);
                None
            }
            None => {
                held.insert(entry.update_id);
                by_lane.insert(lane.clone(), VecDeque::new());
                Some(entry)
            }
        }
    }

    /// One is done; the next of its lane.
    fn next(&self, lane: &Lane, done: i64) -> Option<Entry> {
        let mut state = self.state();
        state.held.remove(&done);
        let next = state.by_lane.get_mut(lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            state.by_lane.remove(lane);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::incoming::{Asked, Pressed};

    fn entry(update_id: i64) -> Entry {
        let press = Pressed { id: "5".into(), presser: 6, data: "menu".into(), message: None, photo: None };
        Entry {
            update_id,
            work_id: Uuid::nil(),
            asked: Asked::Press(press),
            held_until: fleet::Timestamp::from_secs(0),
            first_failed_at: None,
            gone_since: None,
            deaths: 0,
        }
    }

    #[test]
    fn one_chat_can_not_fill_what_all_share() {
        let (queues, busy, other) = (Queues::default(), Lane::Chat(7), Lane::Chat(8));
        let begun = (0..).take(MOST).filter_map(|id| queues.push(&busy, entry(id)));
        assert_eq!(begun.map(|entry| entry.update_id).collect::<Vec<_>>(), [0]);
        assert_eq!((queues.len(), queues.are_full()), (1 + MOST_OF_ONE, false));
        assert!(queues.has(0) && queues.has(MOST_OF_ONE as i64) && !queues.has(1 + MOST_OF_ONE as i64));
        assert!(queues.push(&other, entry(-1)).is_some());
        assert_eq!(queues.next(&busy, 0).map(|entry| entry.update_id), Some(1));
        assert!(!queues.has(0) && queues.push(&busy, entry(-2)).is_none() && queues.has(-2));
    }
}
