//! How much memory polybot spends on what people send, in bytes and not in pieces: ten small files can be ten huge photos.
//!
//! Two shares that are never asked for the other way round: files as they are stored or sent, and photos as pixels. Who holds
//! a file may ask for pixels; who holds pixels asks for nothing. Only one at a time asks for files while holding some, and beside
//! that one nobody asks for more than is left: whoever comes first is served first, so a request that only its end could fulfil would
//! hold its own next one up. So nobody waits for somebody who waits for them.

use std::sync::Arc;

use fleet::{Budget, Room};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// For files, in bytes: an album that is sent and one of the largest that Telegram gives a bot, or many usual ones.
const FILES: u64 = 72 << 20;
/// The most that [who holds several](Memory::for_an_album) holds while asking for more, in bytes.
pub(crate) const ALBUM: u64 = 45 << 20;
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

    /// Waits for room for so many bytes of pictures, all at once.
    pub(crate) async fn for_pictures(&self, bytes: u64) -> Room {
        // While nothing is held: then nobody else holds much and asks for more.
        let _alone = if bytes > FILES - ALBUM { Some(self.for_an_album().await) } else { None };
        self.for_file(bytes).await
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

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Whether it waits.
    fn waits<T>(future: Pin<&mut impl Future<Output = T>>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }

    #[tokio::test]
    async fn an_album_that_is_made_gets_its_next_file_although_a_large_answer_waits() {
        let memory = Memory::default();
        let alone = memory.for_an_album().await;
        let pictures = memory.for_file(ALBUM).await;
        let mut answer = pin!(memory.for_pictures(40 * MIB));
        assert!(waits(answer.as_mut()));
        assert!(!waits(pin!(memory.for_file(20 * MIB))));
        assert!(!waits(pin!(memory.for_pictures(FILES - ALBUM))));
        drop((alone, pictures));
        answer.await;
    }
}
