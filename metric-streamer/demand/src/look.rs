//! What is seen of a fleet.

/// What workers did within a stretch of time, summed up over all of them. Times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Messages that were finished.
    pub photos: f64,
    /// How often a slot finished a job, jobs that will be retried included.
    pub turns: f64,
    /// For how long slots were at work.
    pub busy: f64,
    /// For how long there were slots, busy or not.
    pub slots: f64,
    /// For how long there were workers.
    pub workers: f64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.photos += other.photos;
        self.turns += other.turns;
        self.busy += other.busy;
        self.slots += other.slots;
        self.workers += other.workers;
    }
}

/// What workers did in one stretch of time of many that follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worked {
    /// When it ended, in seconds since some moment that is the same for all, the looks included.
    pub until: f64,
    /// How long it was.
    pub seconds: f64,
    /// What was done in it.
    pub work: Work,
}

/// One look at the queue and the group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// When, in seconds since some moment that is the same for all looks.
    pub at: f64,
    /// Messages on the queue that wait to be received.
    pub visible: u64,
    /// Messages that workers have.
    pub in_flight: u64,
    /// Instances that the group has in service.
    pub in_service: u32,
}
