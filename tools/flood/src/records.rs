//! Sees answers in the predictions' records.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet::predictions::{MOST_STANDINGS, Standing};
use fleet::{PredictionStore, Status};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::accounts::JobNumber;
use crate::books::Books;
use crate::lookout::Lookout;

/// How often records are looked at, where few are waited for. Answers are seen that much late at worst where they come in
/// order; the report says how late they were.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The most records that are read in a second, so that the flood's own reads do not become a load.
const RECORDS_A_SECOND: u32 = 1500;

/// When a job counts as answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnsweredWhen {
    /// Its record says `done`.
    Done,
    /// Besides, its user was told.
    Told,
}

/// The records that are waited for.
#[derive(Debug)]
pub(crate) struct Records {
    predictions: PredictionStore,
    answered_when: AnsweredWhen,
    lookout: Mutex<Lookout>,
}

impl Records {
    pub(crate) fn new(predictions: PredictionStore, answered_when: AnsweredWhen) -> Self {
        Self { predictions, answered_when, lookout: Mutex::default() }
    }

    fn lookout(&self) -> MutexGuard<'_, Lookout> {
        self.lookout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect(&self, job: JobNumber, prediction_id: Uuid, now: Duration) {
        self.lookout().expect(job, prediction_id, now);
    }

    pub(crate) fn forget(&self, prediction_id: Uuid) -> Option<JobNumber> {
        self.lookout().forget(prediction_id)
    }

    /// Those still waited for, the oldest first.
    pub(crate) fn awaited(&self, most: usize) -> Vec<String> {
        self.lookout().awaited().take(most).map(|id| id.to_string()).collect()
    }

    /// Look again and again, for as long as this is polled.
    pub(crate) async fn watch(&self, books: &Books) {
        loop {
            let began = Instant::now();
            let looked_at = u32::try_from(self.look(books).await).unwrap_or(u32::MAX);
            tokio::time::sleep_until(began + pause(looked_at)).await;
        }
    }

    /// Returns how many records were looked at.
    async fn look(&self, books: &Books) -> usize {
        let chosen = self.lookout().choose(books.now());
        let mut calls = JoinSet::new();
        for ids in chosen.chunks(MOST_STANDINGS) {
            let (predictions, ids) = (self.predictions.clone(), ids.to_vec());
            calls.spawn(async move { (predictions.standings(&ids).await, ids) });
        }
        while let Some(Ok((standings, ids))) = calls.join_next().await {
            match standings {
                Ok(standings) => self.take(books, &ids, standings),
                // The records of this call are looked at again.
                Err(error) => books.note(format!("answers could not be looked for: {error}")),
            }
        }
        chosen.len()
    }

    fn take(&self, books: &Books, ids: &[Uuid], standings: Vec<Standing>) {
        let now = books.now();
        let ended = standings.into_iter().filter(|standing| self.is_end(standing));
        let mut ended: HashMap<Uuid, Standing> = ended.map(|standing| (standing.prediction_id, standing)).collect();
        let found = self.lookout().looked(ids, |id| ended.contains_key(&id), now);
        for (prediction_id, job, unseen_for) in found {
            match ended.remove(&prediction_id) {
                Some(Standing { status: Status::Failed, failure, .. }) => {
                    books.failed(job, &format!("the fleet says: {}", failure.unwrap_or_default()));
                }
                _ => books.answered(job, now, Some(unseen_for)),
            }
        }
    }

    fn is_end(&self, standing: &Standing) -> bool {
        let told = self.answered_when == AnsweredWhen::Done || standing.delivered_at.is_some();
        standing.status != Status::Queued && told
    }
}

/// The pause after a look at this many records.
fn pause(records: u32) -> Duration {
    LOOK_EVERY.max(Duration::from_secs(1) * records / RECORDS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_records_are_looked_at_often_and_many_seldom() {
        let ms = Duration::from_millis;
        assert_eq!((pause(0), pause(30), pause(75), pause(300)), (ms(25), ms(25), ms(50), ms(200)));
    }
}
