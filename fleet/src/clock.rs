//! The time that a service decides by.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backon::Sleeper;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{Timestamp, TimestampMillis};

/// What time it is, for all that a service decides: leases, sweeps, retries, the silence after an album. Clones show the same
/// time.
///
/// Timeouts of the network are not its business: a socket waits in real time, whatever the service's clock shows. So a test
/// that moves the clock by a week breaks no connection, as it would with tokio's paused time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None`: the system's.
    hand: Option<Arc<Hand>>,
}

/// A clock that stands until it is moved.
#[derive(Debug)]
struct Hand {
    start: Instant,
    since_epoch: Duration,
    passed: watch::Sender<Duration>,
}

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it took too long")]
pub struct Elapsed;

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that shows the present and stands until it is [advanced](Self::advance), for tests.
    #[must_use]
    pub fn by_hand() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let hand = Hand { start: Instant::now(), since_epoch, passed: watch::Sender::new(Duration::ZERO) };
        Self { hand: Some(Arc::new(hand)) }
    }

    /// Move a clock that is moved by hand; what sleeps until a moment in this time wakes. The system's does not move.
    pub fn advance(&self, time: Duration) {
        if let Some(hand) = &self.hand {
            hand.passed.send_modify(|passed| *passed += time);
        }
    }

    /// The time in whole seconds, as records have it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_secs(0) + self.since_epoch()
    }

    /// The time in whole milliseconds.
    #[must_use]
    pub fn now_millis(&self) -> TimestampMillis {
        TimestampMillis::from_millis(i64::try_from(self.since_epoch().as_millis()).unwrap_or(i64::MAX))
    }

    /// The time since the epoch.
    #[must_use]
    pub fn since_epoch(&self) -> Duration {
        match &self.hand {
            Some(hand) => hand.since_epoch + *hand.passed.borrow(),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// The time as a date.
    #[must_use]
    pub fn date(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.since_epoch()
    }

    /// A time that never goes back, to reckon with.
    #[must_use]
    pub fn instant(&self) -> Instant {
        match &self.hand {
            Some(hand) => hand.start + *hand.passed.borrow(),
            None => Instant::now(),
        }
    }

    /// Wait for this long.
    pub async fn sleep(&self, time: Duration) {
        match &self.hand {
            Some(_) => self.sleep_until(self.instant() + time).await,
            None => tokio::time::sleep(time).await,
        }
    }

    /// Wait until this moment.
    pub async fn sleep_until(&self, moment: Instant) {
        match &self.hand {
            Some(hand) => {
                let mut passed = hand.passed.subscribe();
                // The sender is `hand`, so it can't go away while this waits.
                let _ = passed.wait_for(|passed| hand.start + *passed >= moment).await;
            }
            None => tokio::time::sleep_until(moment.into()).await,
        }
    }

    /// Do the work, unless that takes longer than `time`.
    ///
    /// # Errors
    /// [`Elapsed`]; the work is dropped then.
    pub async fn timeout<T>(&self, time: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        self.timeout_at(self.instant() + time, work).await
    }

    /// Do the work, unless that takes until this moment.
    ///
    /// # Errors
    /// [`Elapsed`]; the work is dropped then.
    pub async fn timeout_at<T>(&self, moment: Instant, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.sleep_until(moment) => Err(Elapsed),
        }
    }
}

/// So that [`backon`] waits by this clock between two tries.
impl Sleeper for Clock {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn sleep(&self, time: Duration) -> Self::Sleep {
        let clock = self.clone();
        Box::pin(async move { Clock::sleep(&clock, time).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_moved_by_hand_wakes_who_sleeps() {
        let clock = Clock::by_hand();
        let (before, week) = (clock.now(), Duration::from_secs(7 * 24 * 3600));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(week).await }
        });
        let work = clock.timeout(week / 2, std::future::pending::<()>());
        let moved = async { clock.advance(week / 2) };
        let (work, ()) = tokio::join!(work, moved);
        assert_eq!(work, Err(Elapsed));
        clock.advance(week);
        sleeper.await.expect("it wakes");
        assert_eq!(clock.now().since(before), week / 2 * 3);
    }

    #[tokio::test]
    async fn the_systems_clock_goes_by_itself() {
        let clock = Clock::system();
        let before = (clock.instant(), clock.since_epoch());
        clock.sleep(Duration::from_millis(2)).await;
        assert!(clock.instant() - before.0 >= Duration::from_millis(2) && clock.since_epoch() > before.1);
        clock.timeout(Duration::from_secs(60), async {}).await.expect("in time");
    }
}
