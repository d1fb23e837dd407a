//! The books of one flood: what happened to each job, when, and how long it took. Every task of the flood writes here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use report::{Durations, quantile};
use tokio::time::Instant;

use crate::accounts::{Accounts, JobNumber};
use crate::timeline::Timeline;
use crate::{Phase, Progress};

/// The last seconds that [`Progress`] tells of.
const RECENT: Duration = Duration::from_secs(5);
/// How many different things may be noted; a flood of errors says no more than its first few.
const MOST_NOTES: usize = 20;

/// What was written down.
#[derive(Debug)]
pub(crate) struct Entries {
    pub(crate) accounts: Accounts,
    pub(crate) timeline: Timeline,
    /// From due to answered.
    pub(crate) latencies: Durations,
    /// From due to sent: how far the flood itself was behind.
    pub(crate) lags: Durations,
    /// How much shorter than its latency an answer may have taken: the time since it was last seen unanswered.
    pub(crate) uncertainties: Durations,
    pub(crate) last_sent: Duration,
    pub(crate) last_end: Duration,
    /// What went wrong beside the jobs, and how often.
    pub(crate) notes: BTreeMap<String, u64>,
}

/// The books.
#[derive(Debug)]
pub(crate) struct Books {
    start: Instant,
    planned: u64,
    entries: Mutex<Entries>,
}

impl Books {
    /// Of a flood that begins now.
    pub(crate) fn open(planned: u64) -> Self {
        let entries = Entries {
            accounts: Accounts::default(),
            timeline: Timeline::default(),
            latencies: Durations::new(),
            lags: Durations::new(),
            uncertainties: Durations::new(),
            last_sent: Duration::ZERO,
            last_end: Duration::ZERO,
            notes: BTreeMap::new(),
        };
        Self { start: Instant::now(), planned, entries: Mutex::new(entries) }
    }

    /// Since the flood began.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The moment so long after it began.
    pub(crate) fn at(&self, since_start: Duration) -> Instant {
        self.start + since_start
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job is sent now.
    pub(crate) fn sent(&self, due: Duration) -> JobNumber {
        let now = self.now();
        let mut entries = self.entries();
        entries.timeline.sent(due, now);
        entries.lags.record(now.saturating_sub(due));
        entries.last_sent = now;
        entries.accounts.send(due)
    }

    /// A job was answered at `at`, or up to `uncertainty` before.
    pub(crate) fn answered(&self, job: JobNumber, at: Duration, uncertainty: Option<Duration>) {
        let mut entries = self.entries();
        if let Some(due) = entries.accounts.answer(job) {
            let latency = at.saturating_sub(due);
            entries.timeline.answered(at, latency);
            entries.latencies.record(latency);
            if let Some(uncertainty) = uncertainty {
                entries.uncertainties.record(uncertainty);
            }
            entries.last_end = entries.last_end.max(at);
        }
    }

    /// A job failed now.
    pub(crate) fn failed(&self, job: JobNumber, reason: &str) {
        let now = self.now();
        let mut entries = self.entries();
        if entries.accounts.fail(job, reason).is_some() {
            entries.timeline.failed(now);
            entries.last_end = entries.last_end.max(now);
        }
    }

    /// Something failed that does not belong to a job.
    pub(crate) fn note(&self, what: impl std::fmt::Display) {
        let mut entries = self.entries();
        let what = what.to_string();
        if entries.notes.len() < MOST_NOTES || entries.notes.contains_key(&what) {
            *entries.notes.entry(what).or_default() += 1;
        }
    }

    /// How it goes.
    pub(crate) fn progress(&self, phase: Phase) -> Progress {
        let elapsed = self.now();
        let (counts, rates, mut latencies) = {
            let entries = self.entries();
            let timeline = &entries.timeline;
            (entries.accounts.counts(), timeline.rates(elapsed, RECENT), timeline.latencies(elapsed, RECENT))
        };
        let mut at = |wanted| quantile(&mut latencies, wanted).map(Duration::from_secs_f32);
        Progress {
            phase,
            elapsed,
            planned: self.planned,
            sent: counts.sent,
            answered: counts.answered,
            failed: counts.failed,
            outstanding: counts.outstanding,
            arrival_rate: rates.0,
            rate: rates.1,
            p50: at(0.5),
            p95: at(0.95),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn latency_is_counted_from_when_a_job_was_due() {
        let seconds = Duration::from_secs;
        let books = Books::open(2);
        let job = books.sent(seconds(1));
        books.answered(job, seconds(4), Some(Duration::from_millis(40)));
        // What comes second changes nothing.
        books.answered(job, seconds(9), Some(seconds(9)));
        books.failed(job, "too late for that");
        let (lost, refused) = (books.sent(seconds(2)), books.sent(seconds(2)));
        books.failed(refused, "refused");
        let progress = books.progress(Phase::Arriving);
        assert_eq!((progress.sent, progress.answered, progress.failed, progress.outstanding), (3, 1, 1, 1));
        let entries = books.entries();
        let latency = entries.latencies.percentiles().expect("one");
        assert!((latency.min - 3.0).abs() < 0.01 && (latency.max - 3.0).abs() < 0.01, "{latency:?}");
        assert!((entries.uncertainties.percentiles().expect("one").max - 0.04).abs() < 0.001);
        assert_eq!(entries.last_end, seconds(4));
        drop(entries);
        books.answered(lost, seconds(5), None);
        assert_eq!(books.progress(Phase::Ended).outstanding, 0);
    }

    #[tokio::test]
    async fn a_flood_of_errors_is_noted_briefly() {
        let books = Books::open(1);
        (0..1000).for_each(|number| books.note(format!("trouble {number}")));
        (0..5).for_each(|_| books.note("trouble 0"));
        let entries = books.entries();
        assert_eq!(entries.notes.len(), MOST_NOTES);
        assert_eq!(entries.notes.get("trouble 0"), Some(&6));
    }
}
