//! The flood that the page can start: jobs straight to the queue, so that nobody's chat is flooded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flood::{Door, Flood, Phase, Photo, Plan, Progress, Shape, Stopper};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Page;
use super::problem::Problem;

/// What one machine may be asked for.
const MOST_PER_SECOND: f64 = 200.0;
const LONGEST_SECONDS: f64 = 600.0;

/// What the page asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Wish {
    /// How many a second; at its highest, where that changes.
    rate: f64,
    /// For how long.
    seconds: f64,
    #[serde(default)]
    shape: WishedShape,
}

/// How the rate goes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WishedShape {
    #[default]
    Constant,
    Ramp,
    Spike,
}

impl Wish {
    fn plan(self) -> Result<Plan, Problem> {
        // Written so that NaN is refused, too.
        let rate_fits = self.rate > 0.0 && self.rate <= MOST_PER_SECOND;
        if !rate_fits {
            return Err(Problem::bad(format!(
                "A flood has more than 0 and at most {MOST_PER_SECOND} photos a second."
            )));
        }
        let seconds_fit = self.seconds >= 1.0 && self.seconds <= LONGEST_SECONDS;
        if !seconds_fit {
            return Err(Problem::bad(format!("A flood lasts 1 to {LONGEST_SECONDS} seconds.")));
        }
        let duration = Duration::from_secs_f64(self.seconds);
        let mut plan = Plan::new(match self.shape {
            WishedShape::Constant => Shape::Constant { rate: self.rate, duration },
            WishedShape::Ramp => Shape::Ramp { from: 0.0, to: self.rate, duration },
            WishedShape::Spike => Shape::Spike { base: self.rate / 5.0, peak: self.rate, duration },
        });
        // A laptop may need long for what came in quickly.
        plan.drain = Duration::from_secs(600);
        Ok(plan)
    }
}

/// A flood, as the browser is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FloodState {
    pub(super) phase: Phase,
    pub(super) planned: u64,
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) outstanding: u64,
    pub(super) arrival_rate: f64,
    /// Answered a second.
    pub(super) rate: f64,
    pub(super) p50_ms: Option<u64>,
    pub(super) p95_ms: Option<u64>,
}

impl From<&Progress> for FloodState {
    fn from(progress: &Progress) -> Self {
        let ms = |latency: Option<Duration>| latency.map(|latency| latency.as_millis() as u64);
        Self {
            phase: progress.phase,
            planned: progress.planned,
            sent: progress.sent,
            answered: progress.answered,
            failed: progress.failed,
            outstanding: progress.outstanding,
            arrival_rate: progress.arrival_rate,
            rate: progress.rate,
            p50_ms: ms(progress.p50),
            p95_ms: ms(progress.p95),
        }
    }
}

#[derive(Debug)]
enum Current {
    None,
    /// Its photos are being stored.
    Starting,
    Running {
        progress: watch::Receiver<Progress>,
        stopper: Stopper,
    },
}

/// One flood at a time.
#[derive(Clone, Debug)]
pub(super) struct Flooding {
    fleet: flood::FleetStores,
    current: Arc<Mutex<Current>>,
}

impl Flooding {
    pub(super) fn new(page: &Page) -> Self {
        let made = &page.resources;
        let fleet =
            flood::FleetStores::new(&page.config, &made.bucket, &made.queue_url, &made.table).group(&made.group);
        Self { fleet, current: Arc::new(Mutex::new(Current::None)) }
    }

    /// Begin, unless one runs.
    pub(super) async fn start(&self, wish: Wish) -> Result<(), Problem> {
        let plan = wish.plan()?;
        {
            let mut current = self.lock();
            if !current.is_over() {
                return Err(Problem::conflict("A flood is running; stop it first."));
            }
            *current = Current::Starting;
        }
        // On its own: a browser that goes away while photos are stored must not leave it half begun.
        let begun = tokio::spawn(self.clone().begin(plan)).await;
        begun.unwrap_or_else(|_| Err(Problem::conflict("The flood could not begin.")))
    }

    async fn begin(self, plan: Plan) -> Result<(), Problem> {
        match Flood::start(plan, Door::queue(self.fleet.clone()), Photo::samples()).await {
            Ok(flood) => {
                *self.lock() = Current::Running { progress: flood.progress(), stopper: flood.stopper() };
                // It lives until it is over; nobody waits for its report.
                tokio::spawn(flood.finish());
                Ok(())
            }
            Err(error) => {
                *self.lock() = Current::None;
                Err(Problem::conflict(format!("{error}.")))
            }
        }
    }

    /// The first call ends the arrivals, the second the waiting.
    pub(super) fn stop(&self) -> Result<(), Problem> {
        match &*self.lock() {
            Current::Running { stopper, progress } if progress.borrow().phase != Phase::Ended => {
                stopper.stop();
                Ok(())
            }
            _ => Err(Problem::conflict("No flood is running.")),
        }
    }

    /// The flood that runs, or the last one.
    pub(super) fn state(&self) -> Option<FloodState> {
        match &*self.lock() {
            Current::Running { progress, .. } => Some(FloodState::from(&*progress.borrow())),
            Current::None | Current::Starting => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // It is only ever replaced as a whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn is_over(&self) -> bool {
        match self {
            Self::None => true,
            Self::Starting => false,
            Self::Running { progress, .. } => progress.borrow().phase == Phase::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_flood_is_refused() {
        let wish = |rate, seconds| Wish { rate, seconds, shape: WishedShape::Constant }.plan().is_ok();
        assert!(wish(20.0, 30.0) && wish(0.5, 1.0) && wish(200.0, 600.0));
        for (rate, seconds) in [(0.0, 30.0), (-1.0, 30.0), (201.0, 30.0), (f64::NAN, 30.0), (20.0, 0.5), (20.0, 601.0)]
        {
            assert!(!wish(rate, seconds), "{rate} {seconds}");
        }
        assert!(!wish(20.0, f64::NAN) && !wish(f64::INFINITY, 1.0));
    }
}
