//! A running flood.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Door, FloodError, Photo, Plan, Progress, Report};

/// A running flood. Dropping it ends it; jobs that were sent are not taken back.
#[derive(Debug)]
pub struct Flood {
    progress: watch::Receiver<Progress>,
    stopper: Stopper,
    running: tokio::task::JoinHandle<Report>,
}

/// Stops a flood from anywhere.
#[derive(Clone, Debug, Default)]
pub struct Stopper {
    /// No more arrivals.
    arrivals: CancellationToken,
    /// No more waiting either.
    waiting: CancellationToken,
}

impl Stopper {
    /// No more jobs arrive; answers are waited for as the plan says. A second call ends that, too.
    pub fn stop(&self) {
        if self.arrivals.is_cancelled() {
            self.waiting.cancel();
        }
        self.arrivals.cancel();
    }
}

impl Flood {
    /// Make ready what the door needs (store the photos), then begin. Returns when the first job may go.
    ///
    /// # Errors
    /// [`FloodError`] if the plan makes no sense, there is no photo, or the door is closed.
    pub async fn start(plan: Plan, door: Door, photos: Vec<Photo>) -> Result<Self, FloodError> {
        let _ = (plan, door, photos);
        Err(FloodError::Plan("floods are being built".into()))
    }

    /// How it goes, several times a second; [`Phase::Ended`](crate::Phase::Ended) comes last.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// As [`Stopper::stop`].
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// For who has to stop it while another waits for its end.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Wait until all is answered, the drain time is over, or it is stopped twice.
    pub async fn finish(self) -> Report {
        match self.running.await {
            Ok(report) => report,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
