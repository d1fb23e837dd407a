//! Looks again and again for what nobody acted on: finished predictions that nobody called back for, albums whose instance
//! died, jobs whose message is lost.

use std::time::Duration;

use fleet::Clock;
use tokio_util::sync::CancellationToken;

use crate::albums::Albums;
use crate::answers::{Answers, LostJobs};
use crate::inbox::Inbox;

/// The loop.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(crate) inbox: Inbox,
    /// Finished predictions.
    pub(crate) answers: Answers,
    /// Albums.
    pub(crate) albums: Albums,
    /// Queued predictions.
    pub(crate) lost_jobs: LostJobs,
    pub(crate) clock: Clock,
    /// How often it looks; what is younger than this is left to the instance that is handling it.
    pub(crate) interval: Duration,
}

impl Sweep {
    /// Look until `shutdown`; what is being done then is finished.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut next = self.clock.instant();
        loop {
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                () = shutdown.cancelled() => return,
            }
            next = self.clock.instant() + self.interval;
            // Side by side: answers that wait for their chats hold no updates.
            tokio::join!(
                self.inbox.sweep(),
                self.albums.sweep(),
                self.answers.sweep(&shutdown),
                self.lost_jobs.sweep(&shutdown),
            );
        }
    }
}
