//! What is to happen when: all but arrivals and the ends of detections, which are many and have places of their own.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::workers::{Photo, WorkerId};
use crate::time::Nanos;

/// Something that is to happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// An instance has booted, and its worker takes jobs.
    Booted(WorkerId),
    /// The group counts an instance as in service, whether it has booted or not.
    Running(WorkerId),
    /// EC2 gives notice to a spot instance.
    Interrupted(WorkerId),
    /// An instance dies without a word.
    Crashed(WorkerId),
    /// The time that a worker had to finish is over.
    DrainTimeout(WorkerId),
    /// A message that a lost worker had is visible again.
    Reappears(Photo),
    /// The fleet is looked at, and what is seen is published.
    Look,
    /// A period of CloudWatch ends.
    PeriodEnds,
    /// The alarms are evaluated on the periods up to this one.
    Evaluate(u64),
    /// A scheduled minimum begins or ends.
    Schedule,
    /// An outage of spot begins.
    OutageBegins,
    /// There may be spot capacity again.
    OutageEnds,
    /// A slice of the timeline ends.
    SliceEnds,
}

#[derive(Debug)]
struct Entry {
    at: Nanos,
    /// What was put down first happens first.
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// What is to happen, the soonest first.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    next_number: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at: Nanos, event: Event) {
        self.entries.push(Reverse(Entry { at, number: self.next_number, event }));
        self.next_number += 1;
    }

    /// When the next event happens; the end of time if there is none.
    #[inline]
    pub(super) fn next_at(&self) -> Nanos {
        self.entries.peek().map_or(Nanos::MAX, |Reverse(entry)| entry.at)
    }

    pub(super) fn take(&mut self) -> Option<Event> {
        self.entries.pop().map(|Reverse(entry)| entry.event)
    }
}
