//! What a flood found.

mod html;
mod plots;
mod text;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::books::Books;
use crate::door::OpenDoor;
use crate::{Bucket, Percentiles, Plan, Sighting, Slice};

/// How many jobs without an answer are named.
const NAMED: usize = 20;

/// What a flood found. `sent = answered + failed + outstanding`. Times are in seconds; moments are since the start.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it was to do.
    pub plan: Plan,
    /// The plan's shape in words.
    pub shape: String,
    /// How the jobs came in.
    pub door: &'static str,
    /// When a job counts as answered.
    pub answered_means: &'static str,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// How many jobs it was to send.
    pub planned: u64,
    /// How many jobs were sent, those that nobody took included. Fewer than planned if it was stopped.
    pub sent: u64,
    /// How many were answered.
    pub answered: u64,
    /// How many failed, or were not taken.
    pub failed: u64,
    /// How many were not answered when it ended.
    pub outstanding: u64,
    /// Why jobs failed, and how many for each reason.
    pub failures: BTreeMap<String, u64>,
    /// Names of jobs that were not answered, the oldest first, at most twenty.
    pub outstanding_jobs: Vec<String>,
    /// When the last job was sent.
    pub last_sent: f64,
    /// When the last answer (or failure) came.
    pub last_end: f64,
    /// Jobs sent a second, until the last was sent.
    pub arrival_rate: f64,
    /// Jobs answered a second, until the last answer.
    pub rate: f64,
    /// From when a job was due to when its answer was seen.
    pub latency: Option<Percentiles>,
    /// By how much a latency may be too long: the time for which the answer was not looked for. None where answers are
    /// seen as they come.
    pub uncertainty: Option<Percentiles>,
    /// From when a job was due to when it was sent: how far the flood itself was behind. Latencies include it.
    pub lag: Option<Percentiles>,
    /// How many latencies lie in which range.
    pub histogram: Vec<Bucket>,
    /// What happened when.
    pub timeline: Vec<Slice>,
    /// Backlog and instances, second by second.
    pub sightings: Vec<Sighting>,
    /// What went wrong beside the jobs, and how often.
    pub notes: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn of(
        plan: &Plan,
        planned: u64,
        started_at: OffsetDateTime,
        door: &OpenDoor,
        books: &Books,
        sightings: Vec<Sighting>,
    ) -> Self {
        let entries = books.entries();
        let counts = entries.accounts.counts();
        let (last_sent, last_end) = (entries.last_sent.as_secs_f64(), entries.last_end.as_secs_f64());
        let per_second = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self {
            shape: plan.shape.to_string(),
            plan: plan.clone(),
            door: door.name(),
            answered_means: door.answered_means(),
            started_at: started_at.replace_millisecond(0).unwrap_or(started_at).format(&Rfc3339).unwrap_or_default(),
            planned,
            sent: counts.sent,
            answered: counts.answered,
            failed: counts.failed,
            outstanding: counts.outstanding,
            failures: entries.accounts.failures().clone(),
            outstanding_jobs: door.awaited(NAMED),
            last_sent,
            last_end,
            arrival_rate: per_second(counts.sent, last_sent),
            rate: per_second(counts.answered, last_end),
            latency: entries.latencies.percentiles(),
            uncertainty: entries.uncertainties.percentiles(),
            lag: entries.lags.percentiles(),
            histogram: entries.latencies.buckets(),
            timeline: entries.timeline.slices(),
            sightings,
            notes: entries.notes.clone(),
        }
    }

    /// For people, in a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// As JSON, for programs.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)?)
    }

    /// As one self-contained HTML file with plots.
    ///
    /// # Errors
    /// If the file can't be written, or (never yet) the plots can't be drawn.
    pub fn write_html(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, html::html(self).map_err(io::Error::other)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::{Plan, Report, Shape, Sighting, Slice};

    /// A report with something of everything.
    pub(crate) fn example() -> Report {
        let percentiles =
            crate::Percentiles { min: 0.08, p50: 0.25, p90: 0.6, p95: 0.81, p99: 1.4, max: 2.0, mean: 0.31 };
        let slice = |number: u32| Slice {
            start: f64::from(number),
            length: 1.0,
            due: 10,
            sent: 10,
            answered: if number == 3 { 0 } else { 9 },
            failed: u64::from(number == 5),
            outstanding: u64::from(number),
            p50: (number != 3).then_some(0.25),
            p95: (number != 3).then_some(0.8),
            p99: (number != 3).then_some(1.4),
        };
        let sighting = |number: u32| Sighting {
            at: f64::from(number),
            visible: u64::from(number) * 3,
            in_flight: 4,
            instances: Some(1 + u64::from(number / 4)),
        };
        Report {
            plan: Plan::new(Shape::Constant { rate: 10.0, duration: std::time::Duration::from_secs(10) }),
            shape: "10 jobs/s for 10 s".into(),
            door: "queue",
            answered_means: "the job's record says done",
            started_at: "2026-11-23T03:00:00Z".into(),
            planned: 100,
            sent: 100,
            answered: 81,
            failed: 1,
            outstanding: 18,
            failures: [("the fleet says: <this> & that".to_owned(), 1)].into(),
            outstanding_jobs: vec!["0198".into()],
            last_sent: 9.9,
            last_end: 10.2,
            arrival_rate: 10.1,
            rate: 7.9,
            latency: Some(percentiles),
            uncertainty: Some(percentiles),
            lag: Some(percentiles),
            histogram: vec![
                crate::Bucket { from: 0.064, to: 0.08, count: 0 },
                crate::Bucket { from: 0.08, to: 0.1, count: 60 },
                crate::Bucket { from: 0.1, to: 0.125, count: 21 },
            ],
            timeline: (0..10).map(slice).collect(),
            sightings: (0..10).map(sighting).collect(),
            notes: [("answers could not be looked for: no".to_owned(), 2)].into(),
        }
    }

    #[test]
    fn json_has_what_programs_look_for() {
        let json = serde_json::to_value(example()).expect("JSON");
        assert_eq!(json["sent"], 100);
        assert_eq!(json["plan"]["shape"]["duration"], 10.0);
        assert_eq!(json["latency"]["p95"], 0.81);
        assert_eq!(json["timeline"][3]["p50"], serde_json::Value::Null);
        assert_eq!(json["sightings"][4]["instances"], 2);
    }
}
