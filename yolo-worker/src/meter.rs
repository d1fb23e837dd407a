//! How busy this worker's slots are, and what it finishes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet::work::Work;

/// Measures since it was last read.
#[derive(Debug)]
pub(crate) struct Meter {
    slots: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Slots at work now.
    busy: u32,
    /// Up to when everything is counted.
    counted: Instant,
    work: Work,
}

impl Meter {
    /// Measures a worker with this many slots, from now on.
    pub(crate) fn new(slots: usize) -> Self {
        let state = State { busy: 0, counted: Instant::now(), work: Work::default() };
        Self { slots: u32::try_from(slots).unwrap_or(u32::MAX), state: Mutex::new(state) }
    }

    /// A slot is busy until the guard is dropped.
    pub(crate) fn begin(&self) -> Busy<'_> {
        self.now().busy += 1;
        Busy(self)
    }

    /// A message is finished.
    pub(crate) fn finished(&self) {
        self.now().work.photos += 1;
    }

    /// What was done since the last call.
    pub(crate) fn take(&self) -> Work {
        std::mem::take(&mut self.now().work)
    }

    /// Count what could not be reported: the next `take` returns it.
    pub(crate) fn put_back(&self, work: Work) {
        self.now().work += work;
    }

    /// Counted up to now.
    fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.saturating_duration_since(state.counted);
        state.counted = now;
        let busy = passed.saturating_mul(state.busy);
        state.work += Work { busy, slots: passed.saturating_mul(self.slots), workers: passed, ..Work::default() };
        state
    }
}

/// A slot at work.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Meter);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.now();
        state.busy = state.busy.saturating_sub(1);
        state.work.turns += 1;
    }
}

/// The longest that a report is held back, so that not all workers write at once: a twentieth of the stretch.
pub(crate) const SPREAD: f64 = 0.05;

/// Until the end of the stretch that runs now, and a moment by chance.
pub(crate) fn until_report(since_epoch: Duration, length: Duration, chance: f64) -> Duration {
    let nanos = length.as_nanos().max(1);
    let left = nanos - since_epoch.as_nanos() % nanos;
    Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)) + length.mul_f64(SPREAD * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_slots_and_idle_ones_are_counted() {
        let meter = Meter::new(4);
        let before = Instant::now();
        let (one, other) = (meter.begin(), meter.begin());
        std::thread::sleep(Duration::from_millis(20));
        meter.finished();
        drop(one);
        std::thread::sleep(Duration::from_millis(10));
        drop(other);
        let work = meter.take();
        let passed = before.elapsed();
        assert_eq!((work.photos, work.turns), (1, 2));
        assert!(work.busy >= Duration::from_millis(50) && work.busy <= 2 * passed, "{work:?}");
        assert!(work.workers >= Duration::from_millis(30), "{work:?}");
        assert_eq!(work.slots, 4 * work.workers);
        // What was taken is counted no more; what is put back is.
        assert!(meter.take().photos == 0);
        meter.put_back(work);
        let again = meter.take();
        assert!(again.photos == 1 && again.busy == work.busy, "{again:?}");
    }

    #[test]
    fn reports_come_at_the_end_of_a_stretch() {
        let ten = Duration::from_secs(10);
        assert_eq!(until_report(Duration::from_secs(103), ten, 0.0), Duration::from_secs(7));
        assert_eq!(until_report(Duration::from_secs(100), ten, 1.0), Duration::from_millis(10_500));
    }
}
