//! Reading what happens in the sandbox, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::events::Event;
use crate::shared::Shared;

/// What was waited for did not happen in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("nothing of the kind happened within {waited:?}; the last of {seen} events: {last}")]
pub struct Timeout {
    /// How long it was waited for.
    pub waited: Duration,
    /// How many events there were to look at.
    pub seen: usize,
    /// The last of them, for people.
    pub last: String,
}

/// Reads events one after another, and waits for the next. It can't fall behind: nothing is skipped.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    length: watch::Receiver<usize>,
    next: usize,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, next: usize) -> Self {
        let length = shared.events_length.subscribe();
        Self { shared, length, next }
    }

    /// The next event; `None` once the sandbox has stopped and all was read.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            self.length.borrow_and_update();
            if let Some(event) = self.shared.world().event(self.next) {
                self.next += 1;
                return Some(event);
            }
            tokio::select! {
                changed = self.length.changed() => changed.ok()?,
                () = self.shared.stop.cancelled() => return None,
            }
        }
    }

    pub(crate) async fn find(
        &mut self,
        mut wanted: impl FnMut(&Event) -> bool,
        timeout: Duration,
    ) -> Result<Event, Timeout> {
        let search = async {
            while let Some(event) = self.next().await {
                if wanted(&event) {
                    return Some((*event).clone());
                }
            }
            None
        };
        if let Ok(Some(event)) = tokio::time::timeout(timeout, search).await {
            return Ok(event);
        }
        let world = self.shared.world();
        let seen = world.events_length();
        let last = seen.checked_sub(1).and_then(|last| world.event(last));
        let last = last.map_or_else(|| "none at all".into(), |event| format!("{:?}", event.kind));
        Err(Timeout { waited: timeout, seen, last })
    }
}
