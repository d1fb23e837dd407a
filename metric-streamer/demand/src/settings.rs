//! What an operator may decide.

use std::time::Duration;

/// Over how long arrivals and work are averaged at least.
const SHORTEST_WINDOW: Duration = Duration::from_secs(20);
/// And at most.
const LONGEST_WINDOW: Duration = Duration::from_secs(300);
/// For how long nothing arrives before the last worker may go.
const IDLE_BEFORE_ZERO: Duration = Duration::from_secs(900);

/// What an operator may decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemandSettings {
    /// Within how long a photo that waits is to be begun: what waits is to be worked off in this time.
    pub promise: Duration,
    /// Over how long arrivals and work are averaged at least.
    pub shortest_window: Duration,
    /// And at most, where fewer photos come.
    pub longest_window: Duration,
    /// For how long nothing has to arrive until no worker at all is needed.
    pub idle_before_zero: Duration,
}

impl DemandSettings {
    /// With this promise.
    #[must_use]
    pub fn new(promise: Duration) -> Self {
        Self {
            promise,
            shortest_window: SHORTEST_WINDOW,
            longest_window: LONGEST_WINDOW,
            idle_before_zero: IDLE_BEFORE_ZERO,
        }
    }

    /// These settings for an AWS whose times all pass `times` times faster, while a photo takes as long as before.
    #[must_use]
    pub fn faster(self, times: u32) -> Self {
        Self {
            promise: self.promise / times,
            shortest_window: self.shortest_window / times,
            longest_window: self.longest_window / times,
            idle_before_zero: self.idle_before_zero / times,
        }
    }
}

impl Default for DemandSettings {
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}
