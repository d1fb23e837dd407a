//! How much memory polybot spends on what people send, in bytes and not in pieces: ten small files can be ten huge photos.
//!
//! Two shares that are never asked for the other way round: files as they are stored or sent, and photos as pixels. Who holds
//! a file may ask for pixels; who holds pixels asks for nothing. So nobody waits for somebody who waits for them.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// For files, in bytes: an album that is sent and one of the largest that Telegram gives a bot, or many usual ones.
const FILES: u64 = 72 << 20;
/// For pixels, in bytes. With [`FILES`] and what the program takes by itself it stays below 400 MB.
pub(crate) const PIXELS: u64 = 232 << 20;
/// Semaphores count to 2^32; memory is counted in these.
const UNIT: u64 = 1 << 10;

/// What there is of it. Clones share.
#[derive(Clone, Debug)]
pub struct Memory {
    files: Arc<Semaphore>,
    pixels: Arc<Semaphore>,
    albums: Arc<Mutex<()>>,
}

/// So much memory, until it is dropped.
#[derive(Debug)]
pub struct Room {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Memory {
    fn default() -> Self {
        let units = |bytes: u64| Arc::new(Semaphore::new((bytes / UNIT) as usize));
        Self { files: units(FILES), pixels: units(PIXELS), albums: Arc::default() }
    }
}

impl Memory {
    /// Wait for room for a file of so many bytes.
    pub async fn for_file(&self, bytes: u64) -> Room {
        room(&self.files, bytes, FILES).await
    }

    /// Wait to be the only one who holds several files: two at once could each wait for what the other holds.
    pub async fn for_an_album(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.albums).lock_owned().await
    }

    /// Wait for room for so many bytes of pixels. More than there is at all is a mistake of who asks: it gets all there is.
    pub async fn for_pixels(&self, bytes: u64) -> Room {
        room(&self.pixels, bytes, PIXELS).await
    }
}

async fn room(share: &Arc<Semaphore>, bytes: u64, all: u64) -> Room {
    let units = bytes.min(all).div_ceil(UNIT).min(all / UNIT) as u32;
    // It is never closed.
    Room { _permit: Arc::clone(share).acquire_many_owned(units).await.ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_ones_wait_for_each_other_and_small_ones_do_not() {
        let memory = Memory::default();
        let half = memory.for_pixels(PIXELS / 2 + UNIT).await;
        let large = memory.for_pixels(PIXELS / 2 + UNIT);
        let mut large = std::pin::pin!(large);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), large.as_mut()).await.is_err();
        assert!(waits);
        drop(memory.for_file(FILES).await);
        drop(half);
        drop(large.await);
        drop(memory.for_pixels(u64::MAX).await);
    }
}
