//! How fast a bot may send.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Sending faster than this is answered 429 with `retry_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Messages a second over all chats; each photo of an album counts.
    pub per_second: u32,
    /// Messages a second into one chat; an album counts once.
    pub per_chat_per_second: u32,
    /// Messages a minute into one group; an album counts once. Private chats have no such limit.
    pub per_group_per_minute: u32,
}

impl Default for RateLimits {
    /// What Telegram asks of bots.
    fn default() -> Self {
        Self { per_second: 30, per_chat_per_second: 1, per_group_per_minute: 20 }
    }
}

const WINDOW: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Counts what was sent in the last second.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    pub(crate) limits: Option<RateLimits>,
    overall: VecDeque<Instant>,
    chats: HashMap<i64, VecDeque<Instant>>,
    minutes: HashMap<i64, VecDeque<Instant>>,
    /// How long each message makes the bot wait in a chat, and when the last one was.
    slow: HashMap<i64, (Duration, Option<Instant>)>,
    /// Messages that were refused, by chat.
    pub(crate) refused: HashMap<i64, usize>,
}

impl Limiter {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Slow mode: in this chat the bot may send one message in so long.
    pub(crate) fn slow_down(&mut self, chat_id: i64, pause: Option<Duration>) {
        match pause {
            Some(pause) => self.slow.insert(chat_id, (pause, None)),
            None => self.slow.remove(&chat_id),
        };
    }

    /// Takes room for `messages` into `chat_id`, or tells how many seconds to wait.
    pub(crate) fn take(&mut self, chat_id: i64, messages: usize, now: Instant) -> Result<(), u64> {
        let taken = self.try_to_take(chat_id, messages, now);
        if taken.is_err() {
            *self.refused.entry(chat_id).or_default() += 1;
        }
        taken
    }

    fn try_to_take(&mut self, chat_id: i64, messages: usize, now: Instant) -> Result<(), u64> {
        if let Some((pause, Some(last))) = self.slow.get(&chat_id) {
            let left = pause.saturating_sub(now.duration_since(*last));
            if !left.is_zero() {
                return Err(left.as_secs_f64().ceil() as u64);
            }
        }
        self.within_limits(chat_id, messages, now)?;
        if let Some((_, last)) = self.slow.get_mut(&chat_id) {
            *last = Some(now);
        }
        Ok(())
    }

    fn within_limits(&mut self, chat_id: i64, messages: usize, now: Instant) -> Result<(), u64> {
        let Some(limits) = self.limits else { return Ok(()) };
        if chat_id < 0 {
            let minute = self.minutes.entry(chat_id).or_default();
            while minute.front().is_some_and(|sent| now.duration_since(*sent) >= MINUTE) {
                minute.pop_front();
            }
            if let Some(first) = minute.front().filter(|_| minute.len() >= limits.per_group_per_minute.max(1) as usize)
            {
                let left = MINUTE.saturating_sub(now.duration_since(*first));
                return Err(left.as_secs().max(1));
            }
        }
        let chat = self.chats.entry(chat_id).or_default();
        for window in [&mut self.overall, &mut *chat] {
            while window.front().is_some_and(|sent| now.duration_since(*sent) >= WINDOW) {
                window.pop_front();
            }
        }
        // An album larger than the limit must still be possible on an idle bot.
        let overall_full =
            !self.overall.is_empty() && self.overall.len() + messages > limits.per_second.max(1) as usize;
        if overall_full || chat.len() >= limits.per_chat_per_second.max(1) as usize {
            return Err(WINDOW.as_secs());
        }
        self.overall.extend(std::iter::repeat_n(now, messages));
        chat.push_back(now);
        if chat_id < 0 {
            self.minutes.entry(chat_id).or_default().push_back(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_into_a_chat_and_so_many_overall() {
        let limits = Some(RateLimits { per_second: 3, ..RateLimits::default() });
        let mut limiter = Limiter::new(limits);
        let start = Instant::now();
        assert_eq!(limiter.take(1, 1, start), Ok(()));
        assert_eq!(limiter.take(1, 1, start), Err(1));
        assert_eq!(limiter.take(2, 2, start), Ok(()));
        assert_eq!(limiter.take(3, 1, start), Err(1));
        assert_eq!(limiter.take(1, 1, start + WINDOW), Ok(()));
    }

    #[test]
    fn groups_have_a_limit_of_a_minute_and_slow_mode() {
        let mut limiter = Limiter::new(Some(RateLimits { per_group_per_minute: 2, ..RateLimits::default() }));
        let start = Instant::now();
        for second in 0..3 {
            let now = start + WINDOW * second;
            assert_eq!(limiter.take(5, 1, now), Ok(()), "no limit of private chats");
            let expected = if second < 2 { Ok(()) } else { Err(58) };
            assert_eq!(limiter.take(-5, 1, now), expected);
        }
        assert_eq!(limiter.take(-5, 1, start + MINUTE), Ok(()));
        let mut limiter = Limiter::default();
        limiter.slow_down(-5, Some(Duration::from_secs(3600)));
        assert_eq!(limiter.take(-5, 1, start), Ok(()));
        assert_eq!(limiter.take(-5, 1, start + WINDOW), Err(3599));
        assert_eq!(limiter.take(-6, 1, start + WINDOW), Ok(()));
        assert_eq!(limiter.refused[&-5], 1);
    }

    #[test]
    fn no_limits_unless_asked_for() {
        let mut limiter = Limiter::default();
        assert!((0..1000).all(|_| limiter.take(1, 10, Instant::now()).is_ok()));
    }
}
