//! One chat's queue.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::window::Window;

/// Telegram asks for no more than one message a second in one chat; a little more than a second, as messages may come
/// closer together than they were sent.
const SECOND: Duration = Duration::from_millis(1050);
const MINUTE: Duration = Duration::from_millis(60_500);
/// What Telegram takes in one group in a minute.
const GROUP_MINUTE: usize = 20;

/// One chat. The sender holds `turn`, which is handed on in the order of asking.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) turn: tokio::sync::Mutex<()>,
    is_group: bool,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    second: Window,
    minute: Window,
    /// A 429 said so; nothing is sent before.
    held_until: Option<Instant>,
    /// What could not wait here was told to come back at times up to this one.
    promised: Option<Instant>,
    /// How many stand in the queue, the one that is sending included.
    waiting: u32,
}

/// A place in a chat's queue.
#[derive(Debug)]
pub(super) struct Place<'lane>(&'lane Lane);

impl Lane {
    pub(super) fn new(chat_id: i64) -> Self {
        let pace = Pace {
            second: Window::new(SECOND),
            minute: Window::new(MINUTE),
            held_until: None,
            promised: None,
            waiting: 0,
        };
        // Groups and channels have negative ids.
        Self { turn: tokio::sync::Mutex::new(()), is_group: chat_id < 0, pace: Mutex::new(pace) }
    }

    /// Stand in the queue.
    pub(super) fn enter(&self) -> Place<'_> {
        self.pace().waiting += 1;
        Place(self)
    }

    /// When the first in the queue may send.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        let is_group = self.is_group;
        self.pace().free_at(is_group, now)
    }

    /// When a sender that enters the queue now will be the first in it, as far as that can be told.
    pub(super) fn expected(&self, now: Instant) -> Instant {
        let is_group = self.is_group;
        let mut pace = self.pace();
        let free = pace.free_at(is_group, now);
        free + SECOND * pace.waiting
    }

    /// Something is being sent.
    pub(super) fn take(&self, now: Instant) {
        let mut pace = self.pace();
        pace.second.take(1, now);
        pace.minute.take(1, now);
    }

    /// Telegram refused it for being too much. Answers whether this chat's own limits explain it, as far as is known here.
    pub(super) fn hold(&self, until: Instant, now: Instant) -> bool {
        let mut pace = self.pace();
        pace.held_until = Some(pace.held_until.map_or(until, |held| held.max(until)));
        // The refused one is counted.
        self.is_group || pace.second.len(now) > 1
    }

    /// When to come back, for one that can't wait: each gets a time of its own, so that they don't all come at once.
    pub(super) fn promise(&self, now: Instant) -> Instant {
        let step = if self.is_group { MINUTE / GROUP_MINUTE as u32 } else { SECOND };
        let is_group = self.is_group;
        let mut pace = self.pace();
        let free = pace.free_at(is_group, now);
        let free = free + SECOND * pace.waiting;
        let promised = pace.promised.map_or(free, |promised| (promised + step).max(free));
        pace.promised = Some(promised);
        promised
    }

    pub(super) fn is_group(&self) -> bool {
        self.is_group
    }

    /// When something was sent here last, within a minute.
    pub(super) fn last(&self) -> Option<Instant> {
        self.pace().minute.last()
    }

    /// Whether nothing is known here that would be missed.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let mut pace = self.pace();
        let is_over = |time: Option<Instant>| time.is_none_or(|time| time <= now);
        pace.waiting == 0 && pace.minute.len(now) == 0 && is_over(pace.held_until) && is_over(pace.promised)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn free_at(&mut self, is_group: bool, now: Instant) -> Instant {
        let second = self.second.free_at(1, 1, now);
        let minute = if is_group { self.minute.free_at(GROUP_MINUTE, 1, now) } else { now };
        second.max(minute).max(self.held_until.unwrap_or(now))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.pace().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute_of(lane: &Lane, start: Instant) -> usize {
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(60) {
            lane.take(now);
            sent += 1;
            now = lane.free_at(now);
        }
        sent
    }

    #[test]
    fn twenty_a_minute_is_a_limit_of_groups() {
        let start = Instant::now();
        assert_eq!(minute_of(&Lane::new(-5), start), 20);
        assert!((55..=60).contains(&minute_of(&Lane::new(5), start)));
    }

    #[test]
    fn those_who_can_not_wait_get_times_of_their_own() {
        let now = Instant::now();
        let lane = Lane::new(-5);
        lane.hold(now + Duration::from_secs(3600), now);
        let first = lane.promise(now);
        assert_eq!(first, now + Duration::from_secs(3600));
        let second = lane.promise(now);
        assert!(second >= first + Duration::from_secs(3), "twenty a minute");
    }

    #[test]
    fn the_queue_is_told_from_afar() {
        let now = Instant::now();
        let lane = Lane::new(5);
        assert_eq!(lane.expected(now), now);
        let places: Vec<_> = (0..3).map(|_| lane.enter()).collect();
        assert_eq!(lane.expected(now), now + SECOND * 3);
        drop(places);
        assert_eq!(lane.expected(now), now);
        assert!(lane.is_idle(now));
    }
}
