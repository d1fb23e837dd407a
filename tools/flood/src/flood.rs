//! A running flood.

use std::sync::Arc;
use std::time::Duration;

use load::Arrivals;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::books::Books;
use crate::door::{Group, OpenDoor};
use crate::observer::Observer;
use crate::{Door, FloodError, Phase, Photo, Plan, Progress, Report, Shape};

/// How often [`Flood::progress`] tells.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Jobs due within this go in together, where the door takes several: at 100 jobs a second and more that makes far fewer
/// calls. It is part of their latency.
const TOGETHER: Duration = Duration::from_millis(10);
/// The most groups of jobs that are on their way in at once. With that many the door is as good as closed; then arrivals
/// lag, and their latency counts all the same.
const MOST_ON_THE_WAY: usize = 512;

/// A running flood. Dropping it ends it; jobs that were sent are not taken back.
#[derive(Debug)]
pub struct Flood {
    progress: watch::Receiver<Progress>,
    stopper: Stopper,
    running: JoinHandle<Report>,
    _end: DropGuard,
}

/// Stops a flood from anywhere.
#[derive(Clone, Debug)]
pub struct Stopper {
    /// No more arrivals.
    arrivals: CancellationToken,
    /// The end of all.
    end: CancellationToken,
}

impl Stopper {
    /// Stops the arrivals; the flood still waits for answers as the plan says. A second call stops that, too.
    pub fn stop(&self) {
        if self.arrivals.is_cancelled() {
            self.end.cancel();
        }
        self.arrivals.cancel();
    }
}

impl Flood {
    /// Make ready what the door needs (store the photos), then begin. Returns when the first job may go.
    ///
    /// # Errors
    /// [`FloodError`] if the plan is invalid, there are no photos, or the door is closed.
    pub async fn start(plan: Plan, door: Door, photos: Vec<Photo>) -> Result<Self, FloodError> {
        let arrivals = plan.arrivals()?;
        if photos.is_empty() {
            return Err(FloodError::NoPhotos { paths: Vec::new() });
        }
        let planned = arrivals.planned();
        let door = Arc::new(door.open(photos).await?);
        let end = CancellationToken::new();
        let stopper = Stopper { arrivals: end.child_token(), end: end.clone() };
        let books = Arc::new(Books::open(planned));
        let (tell, progress) = watch::channel(books.progress(Phase::Arriving));
        let course = Course { plan, planned, door, books, stopper: stopper.clone(), tell };
        let running = tokio::spawn(course.run(arrivals));
        Ok(Self { progress, stopper, running, _end: end.drop_guard() })
    }

    /// How it goes, several times a second; [`Phase::Ended`] comes last.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// As [`Stopper::stop`].
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Stops the flood from another task than the one that waits for its end.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Wait until all is answered, the drain time is over, or it is stopped twice.
    ///
    /// # Panics
    /// If the runtime that it was started on is gone.
    pub async fn finish(self) -> Report {
        match self.running.await {
            Ok(report) => report,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("the flood's runtime is gone: {error}"),
            },
        }
    }
}

/// The course of one flood.
struct Course {
    plan: Plan,
    planned: u64,
    door: Arc<OpenDoor>,
    books: Arc<Books>,
    stopper: Stopper,
    tell: watch::Sender<Progress>,
}

impl Course {
    async fn run(self, arrivals: Arrivals) -> Report {
        let started_at = OffsetDateTime::now_utc();
        let observer = Observer::default();
        let arriving = tokio::spawn(arrive(
            arrivals,
            Arc::clone(&self.door),
            Arc::clone(&self.books),
            self.stopper.clone(),
            matches!(self.plan.shape, Shape::Count { .. }),
        ));
        let observe = async {
            match self.door.fleet() {
                Some(fleet) => observer.watch(fleet, &self.books).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.supervise(arriving) => {}
            () = self.door.watch(&self.books) => {}
            () = observe => {}
        }
        // What is still on its way in ends here; its jobs are outstanding.
        self.stopper.end.cancel();
        let progress = self.books.progress(Phase::Ended);
        let report = Report::of(&self.plan, self.planned, started_at, &self.door, &self.books, observer.sightings());
        self.tell.send_replace(progress);
        report
    }

    /// Tell how it goes, until it is over.
    async fn supervise(&self, mut arriving: JoinHandle<()>) {
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut arriving, if deadline.is_none() => deadline = Some(self.books.now() + self.plan.drain),
                () = self.stopper.end.cancelled() => return,
            }
            let phase = if deadline.is_some() { Phase::Draining } else { Phase::Arriving };
            let progress = self.books.progress(phase);
            let over = deadline.is_some_and(|deadline| progress.outstanding == 0 || progress.elapsed >= deadline);
            self.tell.send_replace(progress);
            if over {
                return;
            }
        }
    }
}

/// Send each job when it is due, whatever became of those before it. `at_once`: as fast as they go in.
async fn arrive(arrivals: Arrivals, door: Arc<OpenDoor>, books: Arc<Books>, stopper: Stopper, at_once: bool) {
    let side_by_side = if at_once { door.side_by_side() } else { MOST_ON_THE_WAY };
    let slots = Arc::new(Semaphore::new(side_by_side));
    let mut arrivals = arrivals.peekable();
    while let Some(first) = arrivals.next() {
        let mut due = vec![first];
        while due.len() < door.most_together()
            && let Some(next) = arrivals.next_if(|next| *next <= first + TOGETHER)
        {
            due.push(next);
        }
        let last = due[due.len() - 1];
        let slot = async {
            tokio::time::sleep_until(books.at(last)).await;
            Arc::clone(&slots).acquire_owned().await
        };
        let slot = tokio::select! {
            biased;
            () = stopper.arrivals.cancelled() => return,
            slot = slot => slot,
        };
        // The semaphore is never closed.
        let Ok(slot) = slot else { return };
        if at_once {
            due.fill(books.now());
        }
        door.send(&books, Group { due, slot, end: stopper.end.clone() });
    }
}
