//! How much memory polybot spends on what people send, in bytes and not in pieces: ten small files can be ten huge photos.
//!
//! Two shares that are never asked for the other way round: files as they are stored or sent, and photos as pixels. Who holds
//! a file may ask for pixels; who holds pixels asks for nothing. So nobody waits for somebody who waits for them.

use std::sync::Arc;

use fleet::{Budget, Room};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// For files, in bytes: an album that is sent and one of the largest that Telegram gives a bot, or many usual ones.
const FILES: u64 = 72 << 20;
/// For pixels, in bytes. With [`FILES`] and what the program takes by itself it stays below 400 MB.
pub(crate) const PIXELS: u64 = 232 << 20;

/// What there is of it. Clones share.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    files: Budget,
    pixels: Budget,
    albums: Arc<Mutex<()>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { files: Budget::new(FILES), pixels: Budget::new(PIXELS), albums: Arc::default() }
    }
}

impl Memory {
    /// Waits for room for a file of this many bytes.
    pub(crate) async fn for_file(&self, bytes: u64) -> Room {
        self.files.room(bytes).await
    }

    /// Waits to be the only holder of several files: two of them could each wait for what the other holds.
    pub(crate) async fn for_an_album(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.albums).lock_owned().await
    }

    /// Waits for room for this many bytes of pixels. A caller that asks for more than the whole budget gets the whole budget.
    pub(crate) async fn for_pixels(&self, bytes: u64) -> Room {
        self.pixels.room(bytes).await
    }
}
