//! Many settings under the same loads, on all cores.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::Serialize;

use crate::{LabError, Load, Outcome, Price, Run, Setting, simulate};

/// A setting that is tried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// What tells it from the others: names and values.
    pub(crate) choices: Vec<(String, String)>,
    /// The whole of it.
    pub(crate) setting: Setting,
    /// The price of its instances, if it is known.
    pub(crate) price: Option<Price>,
}

/// What is told of a candidate, over all loads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Score {
    /// What tells it from the others.
    pub(crate) choices: Vec<(String, String)>,
    /// The share of photos that were late, of the load where it was worst.
    pub(crate) late_share: f64,
    /// Worker hours that are paid for, of all loads.
    pub(crate) worker_hours: f64,
    /// The same in multiples of the work.
    pub(crate) waste: f64,
    /// What they cost, if prices are known.
    pub(crate) dollars: Option<f64>,
    /// Seconds from sent to answered, of the load where it was worst.
    pub(crate) p50: f64,
    /// The same.
    pub(crate) p95: f64,
    /// The same.
    pub(crate) p99: f64,
    /// The same.
    pub(crate) longest: f64,
    /// The most workers.
    pub(crate) peak: u32,
    /// Changes of the capacity, of all loads.
    pub(crate) changes: u64,
    /// Whether no other is both cheaper and safer.
    pub(crate) on_the_front: bool,
}

impl Score {
    /// What is to be small: dollars, or worker hours where no price is known.
    #[must_use]
    pub(crate) fn cost(&self) -> f64 {
        self.dollars.unwrap_or(self.worker_hours)
    }

    /// Of a candidate and what it did under each load.
    #[must_use]
    pub(crate) fn of(candidate: &Candidate, outcomes: &[Outcome]) -> Self {
        let worst = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
        let sum = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>();
        let paid = sum(|outcome| outcome.worker_seconds);
        // What has no answer at all is late, too.
        let late = |outcome: &Outcome| {
            let lost = outcome.outstanding as f64;
            (outcome.late as f64 + lost) / ((outcome.answered + outcome.failed) as f64 + lost).max(1.0)
        };
        Self {
            choices: candidate.choices.clone(),
            late_share: worst(late),
            worker_hours: paid / 3600.0,
            waste: paid / sum(|outcome| outcome.work_seconds).max(1e-9),
            dollars: candidate.price.map(|price| outcomes.iter().map(|outcome| price.dollars(outcome)).sum()),
            p50: worst(|outcome| outcome.latency.map_or(0.0, |latency| latency.p50)),
            p95: worst(|outcome| outcome.latency.map_or(0.0, |latency| latency.p95)),
            p99: worst(|outcome| outcome.latency.map_or(0.0, |latency| latency.p99)),
            longest: worst(|outcome| outcome.latency.map_or(0.0, |latency| latency.longest)),
            peak: outcomes.iter().map(|outcome| outcome.peak_in_service).max().unwrap_or(0),
            changes: outcomes.iter().map(|outcome| outcome.changes).sum(),
            on_the_front: false,
        }
    }
}

/// Simulate every candidate under every load; `done` is told how many simulations are done.
///
/// # Errors
/// The first that can't be simulated.
pub(crate) fn sweep(
    candidates: &[Candidate],
    loads: &[Load],
    run: Run,
    done: impl Fn(usize) + Sync,
) -> Result<Vec<Score>, LabError> {
    let tasks = candidates.len() * loads.len();
    let outcomes = parallel(tasks, done, |task| {
        let (candidate, load) = (task / loads.len(), task % loads.len());
        let mut outcome = simulate(&candidates[candidate].setting, &loads[load], run)?;
        // Of many nobody sees the course.
        outcome.timeline = Vec::new();
        outcome.first_changes = Vec::new();
        Ok(outcome)
    })?;
    let mut scores: Vec<Score> = candidates
        .iter()
        .zip(outcomes.chunks(loads.len().max(1)))
        .map(|(candidate, outcomes)| Score::of(candidate, outcomes))
        .collect();
    mark_the_front(&mut scores);
    Ok(scores)
}

/// Runs tasks on all cores; returns their results in order.
pub(crate) fn parallel<T: Send>(
    tasks: usize,
    done: impl Fn(usize) + Sync,
    work: impl Fn(usize) -> Result<T, LabError> + Sync,
) -> Result<Vec<T>, LabError> {
    let (next, finished, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let answers: Mutex<Vec<(usize, Result<T, LabError>)>> = Mutex::new(Vec::with_capacity(tasks));
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(tasks.max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = work(task);
                    if answer.is_err() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((task, answer));
                    done(finished.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    answers.sort_unstable_by_key(|(task, _)| *task);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Mark the scores that no other beats in both cost and lateness.
fn mark_the_front(scores: &mut [Score]) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let key = |score: &Score| (score.cost(), score.late_share);
    order.sort_by(|one, other| {
        let (one, other) = (key(&scores[*one]), key(&scores[*other]));
        one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1))
    });
    let mut latest = f64::INFINITY;
    for index in order {
        let score = &mut scores[index];
        score.on_the_front = score.late_share < latest;
        latest = latest.min(score.late_share);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn score(cost: f64, late_share: f64) -> Score {
        Score {
            choices: vec![("min".into(), cost.to_string())],
            late_share,
            worker_hours: cost,
            waste: 1.5,
            dollars: None,
            p50: 0.1,
            p95: 0.5,
            p99: 1.0,
            longest: 2.0,
            peak: 3,
            changes: 4,
            on_the_front: false,
        }
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let mut scores = vec![score(3.0, 0.1), score(1.0, 0.5), score(2.0, 0.5), score(2.0, 0.2), score(4.0, 0.1)];
        mark_the_front(&mut scores);
        let front: Vec<f64> = scores.iter().filter(|score| score.on_the_front).map(Score::cost).collect();
        assert_eq!(front, [3.0, 1.0, 2.0]);
        assert!(!scores[2].on_the_front && scores[3].on_the_front);
    }

    #[test]
    fn answers_come_in_order_and_the_first_error_ends_it() {
        let told = AtomicUsize::new(0);
        let answers = parallel(
            50,
            |done| {
                told.fetch_max(done, Ordering::Relaxed);
            },
            |task| Ok(task * 2),
        )
        .expect("all");
        assert!(answers.iter().enumerate().all(|(task, answer)| *answer == task * 2));
        assert_eq!((answers.len(), told.into_inner()), (50, 50));
        let failed = parallel(9, |_| {}, |task| if task == 3 { Err(LabError::setting("no")) } else { Ok(task) });
        assert_eq!(failed.expect_err("failed").to_string(), "no");
    }
}
