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
}

impl Default for RateLimits {
    /// What Telegram asks of bots.
    fn default() -> Self {
        Self { per_second: 30, per_chat_per_second: 1 }
    }
}

const WINDOW: Duration = Duration::from_secs(1);

/// Counts what was sent in the last second.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    pub(crate) limits: Option<RateLimits>,
    overall: VecDeque<Instant>,
    chats: HashMap<i64, VecDeque<Instant>>,
}

impl Limiter {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes room for `messages` into `chat_id`, or tells how many seconds to wait.
    pub(crate) fn take(&mut self, chat_id: i64, messages: usize, now: Instant) -> Result<(), u64> {
        let Some(limits) = self.limits else { return Ok(()) };
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_into_a_chat_and_so_many_overall() {
        let limits = Some(RateLimits { per_second: 3, per_chat_per_second: 1 });
        let mut limiter = Limiter::new(limits);
        let start = Instant::now();
        assert_eq!(limiter.take(1, 1, start), Ok(()));
        assert_eq!(limiter.take(1, 1, start), Err(1));
        assert_eq!(limiter.take(2, 2, start), Ok(()));
        assert_eq!(limiter.take(3, 1, start), Err(1));
        assert_eq!(limiter.take(1, 1, start + WINDOW), Ok(()));
    }

    #[test]
    fn no_limits_unless_asked_for() {
        let mut limiter = Limiter::default();
        assert!((0..1000).all(|_| limiter.take(1, 10, Instant::now()).is_ok()));
    }
}
