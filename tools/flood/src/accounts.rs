//! Where every job is: sent = answered + failed + outstanding.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A job's number, in the order in which they were sent.
pub(crate) type JobNumber = u64;

/// How many jobs are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) outstanding: u64,
}

/// Every job, and how it ended. A job ends once: what comes second changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// When each job that has not ended was due.
    outstanding: HashMap<JobNumber, Duration>,
    sent: u64,
    answered: u64,
    /// How many failed for each reason.
    failures: BTreeMap<String, u64>,
    failed: u64,
}

impl Accounts {
    /// One more job, which was due then.
    pub(crate) fn send(&mut self, due: Duration) -> JobNumber {
        let number = self.sent;
        self.sent += 1;
        self.outstanding.insert(number, due);
        number
    }

    /// The job is answered; when it was due, if this is how it ends.
    pub(crate) fn answer(&mut self, job: JobNumber) -> Option<Duration> {
        let due = self.outstanding.remove(&job)?;
        self.answered += 1;
        Some(due)
    }

    /// The job failed; when it was due, if this is how it ends.
    pub(crate) fn fail(&mut self, job: JobNumber, reason: &str) -> Option<Duration> {
        let due = self.outstanding.remove(&job)?;
        self.failed += 1;
        match self.failures.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.failures.insert(reason.to_owned(), 1);
            }
        }
        Some(due)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.sent,
            answered: self.answered,
            failed: self.failed,
            outstanding: self.outstanding.len() as u64,
        }
    }

    pub(crate) fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever happens, in whatever order and however often: every job is in one place, and stays where it ended.
        #[test]
        fn every_job_is_accounted_for(steps in prop::collection::vec((0_u8..4, 0_u64..40), 0..400)) {
            let mut accounts = Accounts::default();
            let mut ended = HashMap::new();
            for (step, job) in steps {
                match step {
                    0 | 1 => {
                        let number = accounts.send(Duration::from_secs(job));
                        prop_assert_eq!(number + 1, accounts.counts().sent);
                    }
                    2 => {
                        let ends = accounts.answer(job).is_some();
                        prop_assert_eq!(ends, job < accounts.counts().sent && !ended.contains_key(&job));
                        if ends { ended.insert(job, true); }
                    }
                    _ => {
                        let ends = accounts.fail(job, if job % 2 == 0 { "even" } else { "odd" }).is_some();
                        prop_assert_eq!(ends, job < accounts.counts().sent && !ended.contains_key(&job));
                        if ends { ended.insert(job, false); }
                    }
                }
                let counts = accounts.counts();
                prop_assert_eq!(counts.sent, counts.answered + counts.failed + counts.outstanding);
                prop_assert_eq!(counts.answered, ended.values().filter(|answered| **answered).count() as u64);
                prop_assert_eq!(counts.failed, accounts.failures().values().sum::<u64>());
            }
        }
    }
}
