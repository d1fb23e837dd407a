//! How much was sent within a span of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much in any span of this length, and no more.
#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Duration,
    sent: VecDeque<Instant>,
}

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, sent: VecDeque::new() }
    }

    /// When `more` may be sent where `most` are allowed in a span. More than `most` at once may go when nothing else went
    /// for a whole span: a large album has to be possible.
    pub(super) fn free_at(&mut self, most: usize, more: usize, now: Instant) -> Instant {
        self.forget(now);
        let too_many = (self.sent.len() + more).saturating_sub(most);
        match too_many.min(self.sent.len()).checked_sub(1) {
            // Free when the last of those that are too many is older than the span.
            Some(last) => self.sent[last] + self.span,
            None => now,
        }
    }

    pub(super) fn take(&mut self, count: usize, now: Instant) {
        self.sent.extend(std::iter::repeat_n(now, count));
    }

    pub(super) fn last(&self) -> Option<Instant> {
        self.sent.back().copied()
    }

    pub(super) fn len(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.sent.len()
    }

    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|sent| now.duration_since(*sent) >= self.span) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_in_any_span() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut window = Window::new(second);
        assert_eq!(window.free_at(3, 2, start), start);
        window.take(2, start);
        assert_eq!(window.free_at(3, 1, start), start);
        window.take(1, start + second / 2);
        assert_eq!(window.free_at(3, 1, start + second / 2), start + second);
        assert_eq!(window.free_at(3, 3, start + second / 2), start + second / 2 + second);
        assert_eq!(window.free_at(3, 2, start + second), start + second);
        assert_eq!(window.len(start + second), 1);
    }

    #[test]
    fn more_than_is_ever_allowed_waits_for_silence() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(1));
        assert_eq!(window.free_at(3, 10, start), start);
        window.take(1, start);
        assert_eq!(window.free_at(3, 10, start), start + Duration::from_secs(1));
    }
}
