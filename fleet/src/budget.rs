//! Memory as something to be shared out: in bytes and not in pieces, as ten small files can be ten huge photos.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Semaphores count to 2^32; memory is counted in these.
const UNIT: u64 = 1 << 10;

/// So many bytes for one purpose. Clones share. First come, first served, so that small requests don't keep a large one out.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    bytes: u64,
}

/// So much of a budget, until it is dropped.
#[derive(Debug)]
pub struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), bytes: units as u64 * UNIT }
    }

    /// All of it, in bytes. What needs more can't be done at all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits for room for this many bytes. A caller that asks for more than the whole budget gets the whole budget.
    pub async fn room(&self, bytes: u64) -> Room {
        let units = bytes.min(self.bytes).div_ceil(UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // It is never closed.
        Room { _permit: Arc::clone(&self.units).acquire_many_owned(units).await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Whether it waits.
    fn waits<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }

    #[tokio::test]
    async fn large_ones_wait_for_each_other_and_no_small_one_overtakes_them() {
        let budget = Budget::new(10 * UNIT);
        let half = budget.room(5 * UNIT + 1).await;
        let mut large = pin!(budget.room(5 * UNIT));
        let mut small = pin!(budget.room(1));
        assert!(waits(large.as_mut()) && waits(small.as_mut()));
        drop(half);
        let (large, _small) = tokio::join!(large, small);
        drop(large);
    }

    #[tokio::test]
    async fn asking_for_too_much_gets_all() {
        let budget = Budget::new(10 * UNIT);
        let all = budget.room(u64::MAX).await;
        assert!(waits(pin!(budget.room(1))));
        drop(all);
        drop(budget.room(1).await);
    }
}
