//! How many instances a group has, and how many of them are warm.

use std::time::Duration;

/// Where an instance is in its life, as far as scaling cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being started.
    Pending,
    /// In service for this long.
    InService(Duration),
    /// On its way out; it counts no more.
    Terminating,
}

/// A group's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Never fewer instances than this.
    pub min_size: u32,
    /// Never more than this.
    pub max_size: u32,
    /// How many there should be.
    pub desired: u32,
    /// Those in service and past their warm-up. What is to be added is reckoned from these. A metric that counts
    /// instances itself may count others: BacklogPerInstance divides by all that are in service, warm or not.
    pub warmed_up: u32,
    /// Those that are being started or warm up.
    pub warming_up: u32,
}

impl Capacity {
    /// The size of a group with these instances, the warm-up being counted from when an instance is in service.
    #[must_use]
    pub fn of(
        min_size: u32,
        max_size: u32,
        desired: u32,
        instance_warmup: Duration,
        instances: impl IntoIterator<Item = Phase>,
    ) -> Self {
        let mut capacity = Self { min_size, max_size, desired, warmed_up: 0, warming_up: 0 };
        for instance in instances {
            match instance {
                Phase::InService(age) if age >= instance_warmup => capacity.warmed_up += 1,
                Phase::InService(_) | Phase::Pending => capacity.warming_up += 1,
                Phase::Terminating => {}
            }
        }
        capacity
    }

    /// Whether some of what is desired is not yet there or not yet warm.
    #[must_use]
    pub fn is_warming_up(&self) -> bool {
        self.warming_up > 0 || self.warmed_up < self.desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_counts_once_it_is_warm() {
        let seconds = |seconds| Phase::InService(Duration::from_secs(seconds));
        let instances = [Phase::Pending, seconds(59), seconds(60), seconds(3600), Phase::Terminating];
        let capacity = Capacity::of(1, 9, 4, Duration::from_secs(60), instances);
        assert_eq!((capacity.warmed_up, capacity.warming_up), (2, 2));
        assert!(capacity.is_warming_up());
    }

    #[test]
    fn what_is_missing_is_warming_up_too() {
        let warm = Phase::InService(Duration::from_secs(60));
        let capacity = Capacity::of(1, 9, 2, Duration::ZERO, [warm]);
        assert!(capacity.is_warming_up());
        assert!(!Capacity { desired: 1, ..capacity }.is_warming_up());
    }
}
