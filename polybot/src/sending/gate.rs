//! The limit of the bot over all its chats.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet::Clock;
use tokio::sync::Notify;

use super::window::Window;

/// What is sent in a second. Telegram takes 30 of one bot; two fewer, as what is slow on its way counts with the next second's.
const PER_SECOND: f64 = 28.0;
/// However often Telegram refuses, so much is tried.
const LEAST_PER_SECOND: f64 = 3.0;
/// The share of it that is kept for private chats in which nothing was sent for a while, one part of so many: groups at their
/// limits would take all of it at once, and whoever asks then would wait for the next second.
const KEPT_FOR_QUIET: usize = 4;
/// So long nothing was sent in a private chat that is quiet.
const QUIET: Duration = Duration::from_secs(5);
/// What is left of the rate when Telegram says that it was too much, and what comes back each second.
const CUT: f64 = 0.7;
const REGAIN: f64 = 1.0;
/// A little more than a second, as messages may come closer together than they were sent.
const SECOND: Duration = Duration::from_millis(1050);
/// Two chats that are refused within this time, and did nothing to be, speak for a limit that is the bot's.
const SAME_CAUSE: Duration = Duration::from_secs(2);

/// All that is sent passes here. Quiet private chats go first, then those in which nothing was sent for long, so that those with
/// much to say don't keep the others waiting. Instances of polybot share Telegram's limit without knowing of each other: each sends less when
/// Telegram refuses, and slowly more again.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    window: Window,
    rate: f64,
    /// When `rate` was so.
    since: Instant,
    suspect: Option<(i64, Instant)>,
    waiting: BTreeSet<Key>,
    arrivals: u64,
}

/// Ordered as those that wait pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_loud: bool,
    /// When something was last sent in the chat.
    last: Option<Instant>,
    is_group: bool,
    arrival: u64,
}

/// A chat as far as the gate looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chat {
    pub(super) is_group: bool,
    /// When something was last sent in it, within a minute.
    pub(super) last: Option<Instant>,
}

impl Chat {
    fn is_loud(self, now: Instant) -> bool {
        self.is_group || self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET)
    }
}

/// A place in the queue; given up when dropped.
struct Waiter<'gate> {
    gate: &'gate Gate,
    key: Key,
}

impl Gate {
    pub(super) fn new(clock: Clock) -> Self {
        let state = State {
            window: Window::new(SECOND),
            rate: PER_SECOND,
            since: clock.instant(),
            suspect: None,
            waiting: BTreeSet::new(),
            arrivals: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), clock }
    }

    /// Wait for room for `messages` of this chat, until `deadline`. Answers whether there was.
    pub(super) async fn pass(&self, messages: usize, chat: Chat, deadline: Instant) -> bool {
        let waiter = self.enter(chat, self.clock.instant());
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = self.clock.instant();
            let look_again = match self.free_at(&waiter, messages, now) {
                Some(free) if free <= now => return true,
                Some(free) => free,
                None => deadline,
            };
            if now >= deadline {
                return false;
            }
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(look_again.min(deadline)) => {}
            }
        }
    }

    /// A chat was refused that had not sent too much by itself.
    pub(super) fn refused(&self, chat_id: i64, now: Instant) {
        let mut state = self.state();
        let same_cause = state.suspect.is_some_and(|(other, at)| other != chat_id && now - at < SAME_CAUSE);
        state.suspect = Some((chat_id, now));
        if same_cause && now - state.since > SECOND / 2 {
            let rate = state.rate_at(now);
            state.rate = (rate * CUT).max(LEAST_PER_SECOND);
            state.since = now;
            metrics::counter!("polybot_rate_cuts_total").increment(1);
            tracing::info!(
                per_second = state.rate,
                "Telegram says that the bot sends too much; it sends less for a while"
            );
        }
    }

    /// When the waiter may pass; taken, if that is now. Nothing for one that is not the first.
    fn free_at(&self, waiter: &Waiter<'_>, messages: usize, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        if state.waiting.first() != Some(&waiter.key) {
            return None;
        }
        let all = state.rate_at(now) as usize;
        let most = if waiter.key.is_loud { all - all / KEPT_FOR_QUIET } else { all };
        let free = state.window.free_at(most, messages, now);
        if free <= now {
            state.window.take(messages, now);
        }
        Some(free)
    }

    fn enter(&self, chat: Chat, now: Instant) -> Waiter<'_> {
        let mut state = self.state();
        state.arrivals += 1;
        let Chat { is_group, last } = chat;
        let key = Key { is_loud: chat.is_loud(now), last, is_group, arrival: state.arrivals };
        state.waiting.insert(key);
        Waiter { gate: self, key }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rate_at(&self, now: Instant) -> f64 {
        (self.rate + REGAIN * (now - self.since).as_secs_f64()).min(PER_SECOND)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.gate.state().waiting.remove(&self.key);
        self.gate.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_chats_that_did_nothing_speak_for_the_bots_limit() {
        let start = Instant::now();
        let gate = Gate::new(Clock::system());
        let rate = |after| gate.state().rate_at(start + after);
        let later = start + Duration::from_secs(5);
        gate.refused(1, later);
        gate.refused(1, later + SECOND);
        assert!(rate(Duration::from_secs(7)) > 27.9, "one chat says nothing of the bot");
        gate.refused(2, later + SECOND);
        assert!(rate(Duration::from_millis(6050)) < 19.7);
        gate.refused(3, later + SECOND);
        assert!(rate(Duration::from_millis(6050)) > 19.5, "one cause cuts once");
        assert!(rate(Duration::from_secs(20)) > 27.9, "it comes back");
    }

    const QUIET_CHAT: Chat = Chat { is_group: false, last: None };

    #[tokio::test]
    async fn quiet_chats_go_first() {
        let start = Instant::now();
        let gate = Gate::new(Clock::system());
        let far = start + Duration::from_secs(60);
        assert!(gate.pass(30, QUIET_CHAT, far).await);
        let order = Mutex::new(Vec::new());
        let pass = async |name: &'static str, chat: Chat| {
            assert!(gate.pass(30, chat, far).await);
            order.lock().expect("no panic").push(name);
        };
        tokio::join!(
            pass("busy", Chat { is_group: false, last: Some(start) }),
            pass("new group", Chat { is_group: true, last: None }),
            pass("quiet", QUIET_CHAT)
        );
        assert_eq!(*order.lock().expect("no panic"), ["quiet", "new group", "busy"]);
    }

    #[test]
    fn however_loud_groups_are_there_is_room_for_quiet_chats() {
        let start = Instant::now();
        let gate = Gate::new(Clock::system());
        let passed = |chat: Chat| {
            let count = (0..100).take_while(|_| {
                let waiter = gate.enter(chat, start);
                gate.free_at(&waiter, 1, start).is_some_and(|free| free <= start)
            });
            count.count()
        };
        assert_eq!(passed(Chat { is_group: true, last: None }), 21);
        assert_eq!(passed(Chat { is_group: false, last: Some(start) }), 0);
        assert_eq!(passed(QUIET_CHAT), 7);
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_told() {
        let gate = Gate::new(Clock::system());
        assert!(gate.pass(30, QUIET_CHAT, Instant::now() + SECOND).await);
        assert!(!gate.pass(30, QUIET_CHAT, Instant::now() + Duration::from_millis(20)).await);
        assert!(gate.state().waiting.is_empty());
    }
}
