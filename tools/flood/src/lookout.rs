//! Which records to look at next. A fleet answers about in the order in which jobs were sent, so the records worth
//! looking at are those just after the newest that is finished; the rest is looked at now and then, so that nothing is
//! missed where the order is another.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::accounts::JobNumber;

/// The least records after the newest finished one that are looked at each time.
const AHEAD: usize = 75;
/// The most records far ahead that are looked at each time, in turn.
const FAR_AHEAD: usize = 25;
/// The most records that were overtaken that are looked at each time.
const OVERTAKEN: usize = 200;
/// A record that was overtaken is looked at again after this part of the time since: soon at first, since workers that
/// work side by side overtake each other a little all the time, and less and less often where a job is stuck.
const PART: u32 = 4;
/// But no later than this.
const LATEST: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Awaited {
    prediction_id: Uuid,
    /// When it was last seen unfinished; when it was sent, before the first look.
    unfinished_at: Duration,
    /// Since when a later one is known to be finished.
    overtaken_at: Option<Duration>,
    /// For one that was overtaken: not to be looked at before.
    not_before: Duration,
}

/// The records that are waited for.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    awaited: BTreeMap<JobNumber, Awaited>,
    numbers: HashMap<Uuid, JobNumber>,
    /// One after the newest that was seen finished.
    frontier: JobNumber,
    /// How many were found finished since records were last chosen.
    found: usize,
    /// Where the look far ahead goes on.
    far: JobNumber,
}

impl Lookout {
    /// A job was sent; its record is waited for.
    pub(crate) fn expect(&mut self, job: JobNumber, prediction_id: Uuid, now: Duration) {
        let awaited = Awaited { prediction_id, unfinished_at: now, overtaken_at: None, not_before: Duration::ZERO };
        self.awaited.insert(job, awaited);
        self.numbers.insert(prediction_id, job);
    }

    /// No record will come.
    pub(crate) fn forget(&mut self, prediction_id: Uuid) -> Option<JobNumber> {
        let job = self.numbers.remove(&prediction_id)?;
        self.awaited.remove(&job);
        Some(job)
    }

    /// What to look at now.
    pub(crate) fn choose(&mut self, now: Duration) -> Vec<Uuid> {
        let overtaken = self.awaited.range(..self.frontier).map(|(_, awaited)| awaited);
        let overtaken = overtaken.filter(|awaited| awaited.not_before <= now).take(OVERTAKEN);
        let mut chosen: Vec<Uuid> = overtaken.map(|awaited| awaited.prediction_id).collect();
        // Three times as many as came last time, since the newest is seldom the last of them.
        let ahead = AHEAD.max(3 * std::mem::take(&mut self.found));
        let mut end = self.frontier;
        for (&job, awaited) in self.awaited.range(self.frontier..).take(ahead) {
            chosen.push(awaited.prediction_id);
            end = job + 1;
        }
        if self.awaited.range(self.far.max(end)..).next().is_none() {
            self.far = end;
        }
        let mut far = self.far.max(end);
        for (&job, awaited) in self.awaited.range(far..).take(FAR_AHEAD) {
            chosen.push(awaited.prediction_id);
            far = job + 1;
        }
        self.far = far;
        chosen
    }

    /// These were looked at, `now`, and the finished ones among them found. Answers those with the time for which each was
    /// not looked at.
    pub(crate) fn looked(
        &mut self,
        at: &[Uuid],
        finished: impl Fn(Uuid) -> bool,
        now: Duration,
    ) -> Vec<(Uuid, JobNumber, Duration)> {
        let (mut found, mut unfinished) = (Vec::new(), Vec::new());
        for &prediction_id in at {
            let Some(&job) = self.numbers.get(&prediction_id) else { continue };
            if !finished(prediction_id) {
                unfinished.push(job);
                continue;
            }
            self.numbers.remove(&prediction_id);
            if let Some(awaited) = self.awaited.remove(&job) {
                found.push((prediction_id, job, now.saturating_sub(awaited.unfinished_at)));
                self.frontier = self.frontier.max(job + 1);
            }
        }
        for job in unfinished {
            let Some(awaited) = self.awaited.get_mut(&job) else { continue };
            awaited.unfinished_at = now;
            if job < self.frontier {
                let since = now.saturating_sub(*awaited.overtaken_at.get_or_insert(now));
                awaited.not_before = now + (since / PART).min(LATEST);
            }
        }
        self.found += found.len();
        found
    }

    /// Those that are still waited for, the oldest first.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.awaited.values().map(|awaited| awaited.prediction_id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(u128::from(number))
    }

    /// Plays a fleet that finishes jobs in this order, `per_tick` a tick; returns the looks taken and the longest time that
    /// an answer lay there unseen.
    fn play(order: &[u64], per_tick: usize) -> (usize, Duration) {
        let mut lookout = Lookout::default();
        (0..order.len() as u64).for_each(|job| lookout.expect(job, id(job), Duration::ZERO));
        let mut finished_at = HashMap::new();
        let (mut now, mut looks, mut seen, mut worst) = (Duration::ZERO, 0, 0, Duration::ZERO);
        while seen < order.len() {
            let first = finished_at.len();
            finished_at.extend(order.iter().skip(first).take(per_tick).map(|job| (id(*job), now)));
            now += TICK;
            let chosen = lookout.choose(now);
            assert_eq!(chosen.iter().collect::<HashSet<_>>().len(), chosen.len(), "nothing is looked at twice");
            looks += chosen.len();
            for (prediction_id, _, unsure) in lookout.looked(&chosen, |id| finished_at.contains_key(&id), now) {
                let late = now - finished_at[&prediction_id];
                assert!(late <= unsure, "an answer was {late:?} late and said to be at most {unsure:?}");
                worst = worst.max(late);
                seen += 1;
            }
            assert!(now < Duration::from_secs(3600), "not all was seen");
        }
        assert_eq!(lookout.awaited().count(), 0);
        (looks, worst)
    }

    #[test]
    fn in_order_each_answer_is_seen_at_the_next_look() {
        let order: Vec<u64> = (0..3000).collect();
        let (looks, worst) = play(&order, 30);
        assert_eq!(worst, TICK);
        assert!(looks < 3000 * 5, "{looks} looks for 3000 records");
    }

    #[test]
    fn a_few_are_all_looked_at_every_time() {
        let order: Vec<u64> = (0..AHEAD as u64).rev().collect();
        let (_, worst) = play(&order, 1);
        assert!(worst <= LATEST, "{worst:?}");
    }

    #[test]
    fn what_was_overtaken_is_looked_at_less_and_less_often() {
        let mut lookout = Lookout::default();
        (0..2).for_each(|job| lookout.expect(job, id(job), Duration::ZERO));
        let seconds = Duration::from_secs;
        let found = lookout.looked(&[id(0), id(1)], |found| found == id(1), seconds(4));
        assert_eq!(found, [(id(1), 1, seconds(4))]);
        assert_eq!(lookout.choose(seconds(4)), [id(0)], "at once again");
        lookout.looked(&[id(0)], |_| false, seconds(6));
        assert!(lookout.choose(Duration::from_millis(6499)).is_empty());
        assert_eq!(lookout.choose(Duration::from_millis(6500)), [id(0)]);
        lookout.looked(&[id(0)], |_| false, seconds(60));
        assert_eq!(lookout.choose(seconds(61)), [id(0)], "a second at most");
        assert_eq!(lookout.forget(id(0)), Some(0));
        assert_eq!(lookout.forget(id(0)), None);
        assert!(lookout.choose(seconds(99)).is_empty());
    }

    #[test]
    fn four_side_by_side_are_seen_soon_though_they_overtake_each_other() {
        // Each four finish in the opposite order, one a look.
        let order: Vec<u64> = (0..400).map(|job| job / 4 * 4 + 3 - job % 4).collect();
        let (_, worst) = play(&order, 1);
        assert!(worst <= TICK * 2, "{worst:?}");
    }

    proptest! {
        #[test]
        fn every_answer_is_seen_in_any_order(jobs in 1_u64..600, per_tick in 1_usize..50, seed: u64) {
            let mut order: Vec<u64> = (0..jobs).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut order);
            play(&order, per_tick);
        }
    }
}
