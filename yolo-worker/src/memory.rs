//! How much memory a worker spends on photos, in bytes and not in photos: a file of some kilobytes may be of fifty megapixels.
//!
//! Files, then pixels, and never the other way round: no two photos wait for each other. What the network takes by
//! itself is the same for every photo and stands beside it.

use detector::photo::Header;
use fleet::{Budget, Room};

/// For pixels, in bytes: one photo of any kind that [`detector::photo::Limits`] lets in, but for fifty megapixels of sixteen bits.
const LARGEST: u64 = 480 << 20;
/// For pixels, in bytes for each thread, where many of them work on usual photos: twelve megapixels, from a phone on its side.
const USUAL: u64 = 96 << 20;
/// For files, in bytes: the largest one with its result, and something beside it.
const FILES: u64 = 64 << 20;
/// For files, in bytes for each thread.
const FILES_OF_A_THREAD: u64 = 8 << 20;
/// What a pixel takes at most when the photo is decoded: it once as it is stored and once upright, or cut out.
const PIXEL: u64 = 6;

/// What there is of it.
#[derive(Debug)]
pub(crate) struct Memory {
    files: Budget,
    pixels: Budget,
}

impl Memory {
    /// The budget for this many detections at the same time.
    #[must_use]
    pub(crate) fn for_threads(threads: usize) -> Self {
        let threads = threads as u64;
        Self {
            files: Budget::new(FILES.max(FILES_OF_A_THREAD * threads)),
            pixels: Budget::new(LARGEST.max(USUAL * threads)),
        }
    }

    /// Waits for room for a photo of this many bytes and for what is made of it, which is about as large.
    pub(crate) async fn for_file(&self, bytes: u64) -> Room {
        self.files.room(2 * bytes).await
    }

    /// Wait for room for this photo as pixels. `None` if there is less than that at all.
    pub(crate) async fn for_pixels(&self, header: &Header) -> Option<Room> {
        let needed = needed(header);
        if needed > self.pixels.bytes() {
            return None;
        }
        Some(self.pixels.room(needed).await)
    }
}

/// What a photo takes from when it is decoded until its result is written, in bytes; rather too much.
fn needed(header: &Header) -> u64 {
    let pixels = u64::from(header.width) * u64::from(header.height);
    // And the result, as JPEG.
    header.memory.max(PIXEL * pixels) + pixels / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(width: u32, height: u32, bytes_a_pixel: u64) -> Header {
        Header { width, height, memory: bytes_a_pixel * u64::from(width) * u64::from(height) }
    }

    #[test]
    fn one_of_every_kind_fits_and_a_usual_one_on_each_thread() {
        // Progressive JPEGs take most of all that is usual: coefficients of all scans beside the pixels.
        for memory in [3, 4, 6, 9] {
            assert!(needed(&header(7071, 7071, memory)) <= LARGEST, "{memory}");
        }
        assert!(needed(&header(7071, 7071, 8 + 3)) > LARGEST);
        assert!(needed(&header(4032, 3024, 3)) <= USUAL);
    }

    #[tokio::test]
    async fn what_is_too_large_alone_is_refused_at_once() {
        let memory = Memory::for_threads(2);
        let all = memory.for_pixels(&header(7071, 7071, 9)).await;
        assert!(all.is_some());
        assert!(memory.for_pixels(&header(7071, 7071, 11)).await.is_none(), "it does not wait for the other");
        // Seventy threads have more of it, and a photo each.
        assert!(Memory::for_threads(70).for_pixels(&header(7071, 7071, 11)).await.is_some());
    }
}
