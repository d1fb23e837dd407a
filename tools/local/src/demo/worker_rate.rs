//! How fast one worker is here, and the flood that follows from it.

use std::time::Duration;

use anyhow::bail;
use flood::{Door, FleetStores, Flood, Photo, Plan, Shape, Spacing};

/// Jobs by which the pace is measured.
const JOBS: u64 = 8;
/// How many times as many photos come as one worker can do.
const TOO_MUCH: f64 = 3.0;
/// The most photos a second that the demonstration makes, so that it shows the workers' limits and not the flood's.
const MOST: f64 = 60.0;
/// How long they come.
const FLOOD: Duration = Duration::from_secs(20);
/// How long the demo waits for their answers after that.
const DRAIN: Duration = Duration::from_secs(100);

/// What one worker does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WorkerRate {
    /// Photos a second.
    pub(super) rate: f64,
}

impl WorkerRate {
    /// Send a few photos to the only worker that there is.
    pub(super) async fn measure(fleet: FleetStores) -> anyhow::Result<Self> {
        let plan = Plan { drain: DRAIN, ..Plan::new(Shape::Count { jobs: JOBS }) };
        let report = Flood::start(plan, Door::queue(fleet), Photo::samples()).await?.finish().await;
        if report.answered < JOBS {
            bail!("one worker alone did not answer {JOBS} photos:\n{}", report.text());
        }
        Ok(Self { rate: report.rate })
    }

    /// More than one worker can do.
    pub(super) fn flood(self) -> anyhow::Result<Plan> {
        let rate = (self.rate * TOO_MUCH).min(MOST);
        // For people; of a rate below one a digit matters.
        let rate = if rate < 2.0 { (rate * 10.0).ceil() / 10.0 } else { rate.ceil() };
        if rate < self.rate * TOO_MUCH / 2.0 {
            bail!(
                "one worker does {:.0} photos/s here: too fast for a flood of {MOST} photos/s to need more workers. \
                 --model stand-in:400 takes its time",
                self.rate
            );
        }
        let shape = Shape::Constant { rate, duration: FLOOD };
        Ok(Plan { spacing: Spacing::Poisson, drain: DRAIN, ..Plan::new(shape) })
    }

    pub(super) fn in_words(self) -> String {
        format!(
            "one worker does {:.1} photos/s here: the fleet has to find out how many of them a flood needs",
            self.rate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flood_is_more_than_one_worker_can_do() {
        let pace = WorkerRate { rate: 6.0 };
        let Shape::Constant { rate, .. } = pace.flood().expect("a flood").shape else { panic!("constant") };
        assert_eq!(rate, 18.0);
    }

    #[test]
    fn a_worker_that_is_too_fast_is_told() {
        let Shape::Constant { rate, .. } = WorkerRate { rate: 30.0 }.flood().expect("a flood").shape else {
            panic!("constant")
        };
        assert_eq!(rate, MOST);
        assert!(WorkerRate { rate: 50.0 }.flood().expect_err("too fast").to_string().contains("stand-in"));
    }
}
