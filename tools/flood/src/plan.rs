//! What a flood is to do.

use std::time::Duration;

use load::{Arrivals, Rate, Shape, Spacing};
use serde::Serialize;

use crate::FloodError;

/// How long a flood waits for answers after the last arrival, by default.
const DRAIN: Duration = Duration::from_secs(120);
/// The most jobs that one flood sends.
const MOST_JOBS: f64 = 50_000_000.0;

/// What a flood is to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// How many jobs a second, over time.
    pub shape: Shape,
    /// How they lie within that.
    pub spacing: Spacing,
    /// Poisson arrivals with the same seed are the same arrivals.
    pub seed: u64,
    /// The longest to wait for answers after the last arrival.
    #[serde(serialize_with = "duration::seconds::serialize")]
    pub drain: Duration,
}

impl Plan {
    /// This shape with Poisson arrivals, seed 1, and two minutes for the answers after the last.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { shape, spacing: Spacing::default(), seed: 1, drain: DRAIN }
    }

    /// When each job is due.
    pub(crate) fn arrivals(&self) -> Result<Arrivals, FloodError> {
        let jobs = Rate::of(&self.shape)?.map_or(0.0, |rate| rate.jobs());
        if jobs > MOST_JOBS {
            return Err(FloodError::Plan(format!("that would be {jobs:.0} jobs; at most {MOST_JOBS} in one flood")));
        }
        Ok(Arrivals::of(&self.shape, self.spacing, self.seed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_an_end() {
        let plan = Plan::new(Shape::Constant { rate: 90_000.0, duration: Duration::from_secs(86_400) });
        let error = plan.arrivals().expect_err("too many").to_string();
        assert!(error.contains("at most 50000000"), "{error}");
    }
}
