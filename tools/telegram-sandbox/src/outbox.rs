//! Updates on their way to the bot.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// Updates of one chat are delivered one after another, as Telegram does; those of different chats side by side.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<i64>,
    busy: bool,
    failures: u32,
}

/// Holds every update until the bot has taken it, by either way.
#[derive(Debug)]
pub(crate) struct Outbox {
    next_id: i64,
    pending: BTreeMap<i64, (i64, Value)>,
    lanes: HashMap<i64, Lane>,
    ready: VecDeque<i64>,
    resting: BTreeSet<(Instant, i64)>,
    in_flight: usize,
    allowed: Option<HashSet<String>>,
}

/// What the webhook should do now.
#[derive(Debug)]
pub(crate) enum Next {
    /// Post this.
    Deliver { lane: i64, update_id: i64, update: Value },
    /// No update before this moment.
    WaitUntil(Instant),
    /// No update before something changes.
    Wait,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            next_id: 1,
            pending: BTreeMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            resting: BTreeSet::new(),
            in_flight: 0,
            allowed: None,
        }
    }
}

impl Outbox {
    /// `lane` is the chat, or the person for a pressed button.
    pub(crate) fn push(&mut self, lane: i64, kind: &str, content: Value) {
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(kind)) {
            return;
        }
        let update_id = self.next_id;
        self.next_id += 1;
        self.pending.insert(update_id, (lane, json!({ "update_id": update_id, kind: content })));
        let queue = self.lanes.entry(lane).or_default();
        queue.waiting.push_back(update_id);
        if queue.waiting.len() == 1 && !queue.busy && queue.failures == 0 {
            self.ready.push_back(lane);
        }
    }

    /// Which kinds the bot wants from now on; an empty list is Telegram's default: all that the sandbox makes.
    pub(crate) fn allow(&mut self, kinds: &[String]) {
        self.allowed = (!kinds.is_empty()).then(|| kinds.iter().cloned().collect());
    }

    pub(crate) fn allowed(&self) -> Option<Vec<String>> {
        let mut kinds: Vec<_> = self.allowed.as_ref()?.iter().cloned().collect();
        kinds.sort();
        Some(kinds)
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// The result of `getUpdates`. Updates before `offset` are confirmed.
    pub(crate) fn take(&mut self, offset: i64, limit: usize) -> Vec<Value> {
        let first = if offset < 0 {
            let skip = self.pending.len().saturating_sub(usize::try_from(-offset).unwrap_or(usize::MAX));
            self.pending.keys().nth(skip).copied().unwrap_or(self.next_id)
        } else {
            offset
        };
        self.pending = self.pending.split_off(&first);
        self.pending.values().take(limit).map(|(_, update)| update.clone()).collect()
    }

    pub(crate) fn next(&mut self, max_connections: usize, now: Instant) -> Next {
        while let Some((rested, lane)) = self.resting.first().copied().filter(|(rested, _)| *rested <= now) {
            self.resting.remove(&(rested, lane));
            self.ready.push_back(lane);
        }
        if self.in_flight >= max_connections.max(1) {
            return Next::Wait;
        }
        while let Some(key) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            // Some may be gone meanwhile: taken by getUpdates, or dropped.
            while lane.waiting.front().is_some_and(|id| !self.pending.contains_key(id)) {
                lane.waiting.pop_front();
                lane.failures = 0;
            }
            let Some(update_id) = lane.waiting.front().copied() else {
                self.lanes.remove(&key);
                continue;
            };
            let update = self.pending[&update_id].1.clone();
            lane.busy = true;
            self.in_flight += 1;
            return Next::Deliver { lane: key, update_id, update };
        }
        self.resting.first().map_or(Next::Wait, |(rested, _)| Next::WaitUntil(*rested))
    }

    /// What came of the update that [`Self::next`] gave for `lane`.
    pub(crate) fn delivered(&mut self, lane: i64, update_id: i64, taken: bool, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        queue.busy = false;
        if taken {
            self.pending.remove(&update_id);
            queue.failures = 0;
            self.ready.push_back(lane);
        } else {
            let backoff = FIRST_BACKOFF.saturating_mul(1 << queue.failures.min(10)).min(LONGEST_BACKOFF);
            queue.failures += 1;
            self.resting.insert((now + backoff, lane));
        }
    }

    /// A new webhook is tried at once, whatever the old one did.
    pub(crate) fn forget_failures(&mut self) {
        for (_, lane) in std::mem::take(&mut self.resting) {
            if let Some(queue) = self.lanes.get_mut(&lane) {
                queue.failures = 0;
            }
            self.ready.push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(lanes: &[i64]) -> Outbox {
        let mut outbox = Outbox::default();
        for (number, lane) in lanes.iter().enumerate() {
            outbox.push(*lane, "message", json!({ "number": number }));
        }
        outbox
    }

    fn next_id(outbox: &mut Outbox, now: Instant) -> Option<i64> {
        match outbox.next(2, now) {
            Next::Deliver { update_id, .. } => Some(update_id),
            Next::WaitUntil(_) | Next::Wait => None,
        }
    }

    #[test]
    fn one_chat_in_order_and_chats_side_by_side() {
        let now = Instant::now();
        let mut outbox = outbox(&[7, 7, 8, 9]);
        assert_eq!(next_id(&mut outbox, now), Some(1));
        assert_eq!(next_id(&mut outbox, now), Some(3), "2 waits for 1, which is of the same chat");
        assert_eq!(next_id(&mut outbox, now), None, "two connections at most");
        outbox.delivered(7, 1, true, now);
        assert_eq!(next_id(&mut outbox, now), Some(4));
        outbox.delivered(8, 3, true, now);
        assert_eq!(next_id(&mut outbox, now), Some(2));
        outbox.delivered(7, 2, true, now);
        outbox.delivered(9, 4, true, now);
        assert_eq!(outbox.pending(), 0);
    }

    #[test]
    fn what_failed_is_tried_again_later_and_later_and_never_lost() {
        let mut now = Instant::now();
        let mut outbox = outbox(&[7]);
        for expected_ms in [200, 400, 800, 1600, 3200, 5000, 5000] {
            assert_eq!(next_id(&mut outbox, now), Some(1));
            outbox.delivered(7, 1, false, now);
            let Next::WaitUntil(again) = outbox.next(2, now) else { panic!("must rest") };
            assert_eq!((again - now).as_millis(), expected_ms);
            now = again;
        }
        assert_eq!(outbox.pending(), 1);
        outbox.push(7, "message", json!({}));
        assert_eq!(next_id(&mut outbox, now), Some(1));
        outbox.delivered(7, 1, true, now);
        assert_eq!(next_id(&mut outbox, now), Some(2));
    }

    #[test]
    fn an_offset_confirms_and_a_negative_one_keeps_the_last() {
        let mut outbox = outbox(&[7, 7, 8, 9]);
        assert_eq!(outbox.take(0, 2).len(), 2);
        assert_eq!(outbox.take(0, 100).len(), 4);
        assert_eq!(outbox.take(2, 100)[0]["update_id"], 2);
        assert_eq!(outbox.take(-1, 100)[0]["update_id"], 4);
        assert_eq!(outbox.pending(), 1);
        assert_eq!(next_id(&mut outbox, Instant::now()), Some(4), "what was confirmed is not posted any more");
    }

    #[test]
    fn only_allowed_kinds_are_kept() {
        let mut outbox = Outbox::default();
        outbox.allow(&["callback_query".into()]);
        outbox.push(1, "message", json!({}));
        outbox.push(1, "callback_query", json!({}));
        assert_eq!(outbox.pending(), 1);
        outbox.allow(&[]);
        outbox.push(1, "message", json!({}));
        assert_eq!(outbox.pending(), 2);
    }
}
