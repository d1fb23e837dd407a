//! The world behind one lock, and those who wait for it to change.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::options::SandboxOptions;
use crate::state::World;

/// What the server, the webhook and the people share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) token: String,
    world: Mutex<World>,
    /// As [`crate::SandboxOptions::local_files`].
    pub(crate) local_files: Option<PathBuf>,
    /// Counts changes, so that those who wait look again.
    pub(crate) changed: watch::Sender<u64>,
    /// How many events there are.
    pub(crate) events_length: watch::Sender<usize>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(options: &SandboxOptions, world: World) -> Self {
        Self {
            token: options.token.clone(),
            local_files: options.local_files.clone(),
            world: Mutex::new(world),
            changed: watch::Sender::new(0),
            events_length: watch::Sender::new(0),
            stop: CancellationToken::new(),
        }
    }

    /// Locks the world for reading. Changes go through [`Self::change`], so that those who wait are told.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A test's closure that panicked while it looked has changed nothing.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let (result, length) = {
            let mut world = self.world();
            let result = change(&mut world);
            (result, world.events_length())
        };
        self.events_length.send_if_modified(|known| {
            // Two changes may come here in the other order.
            let more = length > *known;
            *known = length.max(*known);
            more
        });
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        result
    }
}
