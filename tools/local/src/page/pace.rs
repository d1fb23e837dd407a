//! How fast photos are answered, as people see it: from the moment one was posted in the Telegram sandbox to the moment
//! its answer is there.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use telegram_sandbox::{AttachmentKind, ChatMessage, Event, EventKind};

use super::flooding::FloodState;

/// The time before now whose answers the latencies are of.
const LATENCY_WINDOW_MS: u64 = 60_000;
/// The time before now that rates are of.
const RATE_WINDOW_MS: u64 = 5_000;
/// How long the page waits for a photo's answer.
const FORGET_MS: u64 = 600_000;

/// How fast it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Pace {
    /// Photos answered a second, over the last few seconds.
    pub(super) photos_per_second: f64,
    /// The median latency of the answers.
    pub(super) p50_ms: Option<u64>,
    /// The 95th percentile of the answers' latency.
    pub(super) p95_ms: Option<u64>,
}

impl Pace {
    /// With what a running flood sees, which goes past the chats. Its latencies are far more than those of the chats.
    pub(super) fn with_flood(self, flood: Option<&FloodState>) -> Self {
        let Some(flood) = flood.filter(|flood| flood.phase != flood::Phase::Ended) else { return self };
        let photos_per_second = self.photos_per_second + flood.rate;
        if flood.p50_ms.is_none() {
            return Self { photos_per_second, ..self };
        }
        Self { photos_per_second, p50_ms: flood.p50_ms, p95_ms: flood.p95_ms }
    }
}

/// Photos between post and answer. Pure: events in, pace out.
#[derive(Debug, Default)]
pub(super) struct PaceMeter {
    /// When each photo without an answer was posted, by chat and message.
    waiting: HashMap<(i64, i32), u64>,
    /// When each answer came, and how long it took if that is known.
    answered: VecDeque<(u64, Option<u64>)>,
}

impl PaceMeter {
    pub(super) fn take(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Posted(message) if is_picture(message) => {
                self.waiting.insert((message.chat_id, message.message_id), event.at_ms);
            }
            // Each photo of an album counts; the album took as long as its first.
            EventKind::Sent(message) if is_picture(message) => {
                let asked = message.reply_to.and_then(|asked| self.waiting.remove(&(message.chat_id, asked)));
                let latency = asked.map(|asked| event.at_ms.saturating_sub(asked));
                self.answered.push_back((event.at_ms, latency));
            }
            _ => {}
        }
    }

    pub(super) fn pace(&mut self, now_ms: u64) -> Pace {
        while self.answered.front().is_some_and(|(at, _)| at + LATENCY_WINDOW_MS < now_ms) {
            self.answered.pop_front();
        }
        self.waiting.retain(|_, at| *at + FORGET_MS >= now_ms);
        let recent = self.answered.iter().rev().take_while(|(at, _)| at + RATE_WINDOW_MS > now_ms).count();
        let mut latencies: Vec<u64> = self.answered.iter().filter_map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        Pace {
            photos_per_second: recent as f64 * 1000.0 / RATE_WINDOW_MS as f64,
            p50_ms: percentile(&latencies, 50),
            p95_ms: percentile(&latencies, 95),
        }
    }
}

fn is_picture(message: &ChatMessage) -> bool {
    message.attachment.as_ref().is_some_and(|attachment| attachment.kind == AttachmentKind::Photo)
}

/// By nearest rank.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 95), Some(7));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 95)), (Some(50), Some(95)));
        assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(2));
    }

    #[test]
    fn rates_and_latencies_are_of_the_last_time() {
        let mut meter = PaceMeter {
            answered: [(1_000, Some(900)), (58_000, Some(100)), (59_500, None)].into(),
            ..Default::default()
        };
        let pace = meter.pace(60_000);
        assert_eq!(pace, Pace { photos_per_second: 0.4, p50_ms: Some(100), p95_ms: Some(900) });
        assert_eq!(meter.pace(62_000).p95_ms, Some(100));
        assert_eq!(meter.pace(200_000), Pace::default());
    }
}
