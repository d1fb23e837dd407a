//! What can be done to a photo here, without a worker: an image in, an image out.
//!
//! Pure, and made for photos of 12 megapixels on one core: whole rows as slices, so that the compiler vectorises, and no
//! work that grows with a filter's strength where it need not. Colour and size stay unless the filter is about them.
//! Any size is fine, also one pixel, one row or one column. They take long enough to be kept off the async runtime.

mod blur;
mod concat;
mod contour;
mod edges;
mod grayscale;
mod invert;
mod median;
mod rotate;
mod salt_and_pepper;
mod segment;
mod sharpen;

use image::RgbImage;

pub use blur::blur;
pub use concat::{Axis, Concat, ConcatError, Join, MAX_PHOTOS, MAX_PIXELS, MAX_SIDE, MIN_PHOTOS, concat};
pub use contour::contour;
pub use edges::edges;
pub use grayscale::grayscale;
pub use invert::invert;
pub use median::median;
pub use rotate::{Direction, Turn, rotate};
pub use salt_and_pepper::salt_and_pepper;
pub use segment::segment;
pub use sharpen::sharpen;

/// The same photo gets the same grains every time, so a step that runs twice sends nothing new.
const SEED: u64 = 0x5A17;

/// What to do to one photo, with how much of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter {
    /// The mean over a box of `level` x `level` pixels.
    Blur {
        /// Side of the box; 0 and 1 change nothing.
        level: u32,
    },
    /// How much each pixel differs from its left neighbour.
    Contour,
    /// Turn it.
    Rotate {
        /// Which way.
        direction: Direction,
        /// How far.
        turn: Turn,
    },
    /// White and black grains.
    SaltAndPepper {
        /// The share of pixels that become grains, 0 to 1.
        level: f32,
    },
    /// Light parts white, dark parts black.
    Segment,
    /// Without colours.
    Grayscale,
    /// Crisper.
    Sharpen,
    /// Outlines in white on black.
    Edges,
    /// The negative.
    Invert,
    /// The median of the pixels around.
    Median {
        /// Pixels on each side; 0 changes nothing.
        radius: u32,
    },
}

/// Do to the photo what the filter says.
#[must_use]
pub fn apply(filter: &Filter, image: RgbImage) -> RgbImage {
    match *filter {
        Filter::Blur { level } => blur(&image, level),
        Filter::Contour => contour(&image),
        Filter::Rotate { direction, turn } => rotate(&image, direction, turn),
        Filter::SaltAndPepper { level } => salt_and_pepper(image, level, SEED),
        Filter::Segment => segment(&image),
        Filter::Grayscale => grayscale(image),
        Filter::Sharpen => sharpen(&image),
        Filter::Edges => edges(&image),
        Filter::Invert => invert(image),
        Filter::Median { radius } => median(&image, radius),
    }
}

/// Bytes of a pixel: red, green, blue.
const CHANNELS: usize = 3;

/// Bytes of a row. Never 0, so that an image without pixels has no rows instead of being a case of its own.
fn stride(image: &RgbImage) -> usize {
    (image.width() as usize * CHANNELS).max(1)
}

#[cfg(test)]
mod tests;
