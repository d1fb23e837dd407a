//! Several photos side by side.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use thiserror::Error;

use super::{CHANNELS, stride};

/// The fewest photos that can be joined.
pub const MIN_PHOTOS: usize = 2;
/// The most photos that are joined, as many as Telegram puts in an album.
pub const MAX_PHOTOS: usize = 10;
/// The most pixels of the result: Telegram shows far less, and it lies in memory beside the largest photo.
pub const MAX_PIXELS: u64 = 15_000_000;
/// The longest side of the result: a JPEG has no room for more.
pub const MAX_SIDE: u32 = 65_535;

/// Where the first photo goes and where the others follow. One value says both, so that they can't contradict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concat {
    /// In a row, the first at the left.
    LeftToRight,
    /// In a row, the first at the right.
    RightToLeft,
    /// In a column, the first on top.
    TopToBottom,
    /// In a column, the first at the bottom.
    BottomToTop,
}

/// How photos are lined up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// In a row.
    Horizontal,
    /// In a column.
    Vertical,
}

impl Concat {
    /// In a row or in a column.
    #[must_use]
    pub fn axis(self) -> Axis {
        match self {
            Self::LeftToRight | Self::RightToLeft => Axis::Horizontal,
            Self::TopToBottom | Self::BottomToTop => Axis::Vertical,
        }
    }

    /// Whether the first photo comes last when read from the left or from the top.
    fn is_reversed(self) -> bool {
        matches!(self, Self::RightToLeft | Self::BottomToTop)
    }
}

/// Why photos can't be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConcatError {
    /// There is nothing to join with.
    #[error("concat joins at least {MIN_PHOTOS} photos")]
    TooFew,
    /// More than an album holds.
    #[error("concat joins at most {MAX_PHOTOS} photos, not {0}")]
    TooMany(usize),
    /// The one of this number, counted from 1, has no pixels.
    #[error("photo {0} is empty")]
    Empty(usize),
}

/// Photos that are being joined, one after another: only one of them needs to be in memory.
#[derive(Debug)]
pub struct Join {
    order: Concat,
    /// The size that each photo gets.
    sizes: Vec<(u32, u32)>,
    canvas: RgbImage,
}

impl Join {
    /// For photos of these sizes, scaled to the first one's height in a row, or to its width in a column. Where the result would
    /// have more than [`MAX_PIXELS`] or a side over [`MAX_SIDE`], all are scaled down so far that it does not.
    ///
    /// # Errors
    /// [`ConcatError`] if there are too few or too many, or one of them has no pixels.
    pub fn new(photos: &[(u32, u32)], order: Concat) -> Result<Self, ConcatError> {
        match photos.len() {
            ..MIN_PHOTOS => return Err(ConcatError::TooFew),
            MIN_PHOTOS..=MAX_PHOTOS => {}
            count => return Err(ConcatError::TooMany(count)),
        }
        if let Some(index) = photos.iter().position(|&(width, height)| width == 0 || height == 0) {
            return Err(ConcatError::Empty(index + 1));
        }
        let sizes = sizes(photos, order.axis());
        let (width, height) = match order.axis() {
            Axis::Horizontal => (sizes.iter().map(|size| size.0).sum(), sizes[0].1),
            Axis::Vertical => (sizes[0].0, sizes.iter().map(|size| size.1).sum()),
        };
        Ok(Self { order, sizes, canvas: RgbImage::new(width, height) })
    }

    /// The size that the photo of this number gets, counted from 0.
    #[must_use]
    pub fn size(&self, number: usize) -> (u32, u32) {
        self.sizes[number]
    }

    /// Put the photo of this number in its place, counted from 0.
    pub fn put(&mut self, number: usize, photo: &RgbImage) {
        let (width, height) = self.sizes[number];
        // In the order in which they lie, those before it.
        let before = if self.order.is_reversed() { number + 1..self.sizes.len() } else { 0..number };
        let before = self.sizes[before].iter();
        let (left, top) = match self.order.axis() {
            Axis::Horizontal => (before.map(|size| size.0).sum(), 0),
            Axis::Vertical => (0, before.map(|size| size.1).sum::<u32>()),
        };
        if photo.dimensions() == (width, height) {
            paste(&mut self.canvas, photo, left, top);
        } else {
            paste(&mut self.canvas, &scaled(photo, width, height), left, top);
        }
    }

    /// All photos side by side.
    #[must_use]
    pub fn joined(self) -> RgbImage {
        self.canvas
    }
}

/// Join photos that are all in memory, as [`Join`] does.
///
/// # Errors
/// [`ConcatError`] if there are too few or too many, or one of them has no pixels.
pub fn concat(photos: &[RgbImage], order: Concat) -> Result<RgbImage, ConcatError> {
    let sizes: Vec<_> = photos.iter().map(RgbImage::dimensions).collect();
    let mut join = Join::new(&sizes, order)?;
    for (number, photo) in photos.iter().enumerate() {
        join.put(number, photo);
    }
    Ok(join.joined())
}

/// The size that each photo gets.
fn sizes(photos: &[(u32, u32)], axis: Axis) -> Vec<(u32, u32)> {
    // As (across, along): `across` is what they will have in common, `along` what is summed up.
    let turned = |(width, height)| match axis {
        Axis::Horizontal => (height, width),
        Axis::Vertical => (width, height),
    };
    let common = turned(photos[0]).0;
    let at = |common: u32| -> Vec<(u32, u32)> {
        let along = |&photo: &(u32, u32)| {
            let (across, along) = turned(photo);
            // At most 2^32 squared, which fits; cut, since nothing longer than `MAX_SIDE` is kept anyway.
            let exact = (u64::from(along) * u64::from(common) + u64::from(across) / 2) / u64::from(across);
            exact.clamp(1, u64::from(u32::MAX)) as u32
        };
        photos.iter().map(|photo| (common, along(photo))).collect()
    };
    let fits = |common: u32| {
        let length: u64 = at(common).iter().map(|&(_, along)| u64::from(along)).sum();
        common <= MAX_SIDE && length <= u64::from(MAX_SIDE) && length * u64::from(common) <= MAX_PIXELS
    };
    // The largest common side that fits, by bisection: all grows with it. One pixel is the least there is.
    let (mut fitting, mut too_large) = (1, common.saturating_add(1));
    while too_large - fitting > 1 {
        let middle = fitting + (too_large - fitting) / 2;
        if fits(middle) {
            fitting = middle;
        } else {
            too_large = middle;
        }
    }
    // With one pixel across, a line may still be too long: then its photos lose their proportions, not the limit.
    let most = MAX_SIDE / MAX_PHOTOS as u32;
    let limit = |along: u32| if fits(fitting) { along } else { along.min(most) };
    at(fitting).into_iter().map(|(across, along)| turned((across, limit(along)))).collect()
}

/// The photo in another size than its own, each pixel from all that it covers.
fn scaled(photo: &RgbImage, width: u32, height: u32) -> RgbImage {
    let from = ImageRef::new(photo.width(), photo.height(), photo.as_raw(), PixelType::U8x3)
        .expect("an image's buffer has the image's size");
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(&from, &mut to, &options).expect("both have pixels, of the same type");
    RgbImage::from_raw(width, height, to.into_vec()).expect("the buffer was made for this size")
}

/// Copy a photo to this place of a canvas that has room for it there.
fn paste(canvas: &mut RgbImage, photo: &RgbImage, left: u32, top: u32) {
    let (out_stride, line_stride) = (stride(canvas), stride(photo));
    let left = left as usize * CHANNELS;
    let rows = canvas.chunks_exact_mut(out_stride).skip(top as usize);
    for (out, line) in rows.zip(photo.chunks_exact(line_stride)) {
        out[left..left + line_stride].copy_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, photos, values};

    #[test]
    fn by_side() {
        let photos = [gray(&[[1], [2]]), gray(&[[3, 4], [5, 6]])];
        assert_eq!(values(&concat(&photos, Concat::LeftToRight).expect("two")), [[1, 3, 4], [2, 5, 6]]);
        assert_eq!(values(&concat(&photos, Concat::RightToLeft).expect("two")), [[3, 4, 1], [5, 6, 2]]);
        let photos = [gray(&[[1, 2]]), gray(&[[3, 4], [5, 6]])];
        assert_eq!(values(&concat(&photos, Concat::TopToBottom).expect("two")), [[1, 2], [3, 4], [5, 6]]);
        assert_eq!(values(&concat(&photos, Concat::BottomToTop).expect("two")), [[3, 4], [5, 6], [1, 2]]);
    }

    #[test]
    fn scaled_to_the_first() {
        let photos = [RgbImage::new(30, 20), RgbImage::new(50, 40), RgbImage::new(7, 10)];
        assert_eq!(concat(&photos, Concat::LeftToRight).expect("three").dimensions(), (30 + 25 + 14, 20));
        assert_eq!(concat(&photos, Concat::BottomToTop).expect("three").dimensions(), (30, 20 + 24 + 43));
        // The values stay those of the photo.
        let even = [gray(&[[9; 4]; 4]), gray(&[[200; 8]; 8])];
        assert_eq!(values(&concat(&even, Concat::LeftToRight).expect("two")), [[9, 9, 9, 9, 200, 200, 200, 200]; 4]);
    }

    #[test]
    fn photos_joined_keep_the_first_one_whole() {
        let photos: Vec<RgbImage> = photos().collect();
        let joined = concat(&photos, Concat::LeftToRight).expect("four");
        let (width, height) = photos[0].dimensions();
        assert_eq!(joined.height(), height);
        assert!(image::imageops::crop_imm(&joined, 0, 0, width, height).to_image() == photos[0]);
    }

    #[test]
    fn large_results_are_scaled_down() {
        let photos = [(4000, 3000); MAX_PHOTOS];
        for order in [Concat::LeftToRight, Concat::TopToBottom] {
            let sizes = sizes(&photos, order.axis());
            let pixels: u64 = sizes.iter().map(|&(width, height)| u64::from(width) * u64::from(height)).sum();
            assert!((14_900_000..=MAX_PIXELS).contains(&pixels), "{pixels}");
            let (width, height) = sizes[0];
            assert!((f64::from(width) / f64::from(height) - 4.0 / 3.0).abs() < 0.001);
        }
    }

    #[test]
    fn long_results_are_scaled_down() {
        let photos = [RgbImage::new(10, 1000), RgbImage::new(10_000, 10)];
        let joined = concat(&photos, Concat::LeftToRight).expect("two");
        assert!(joined.width() <= MAX_SIDE && joined.width() > 60_000, "{:?}", joined.dimensions());
        // Even a line of one pixel would be too long.
        let photos = vec![RgbImage::new(20_000, 1); MAX_PHOTOS];
        let joined = concat(&photos, Concat::LeftToRight).expect("ten");
        assert!(joined.width() <= MAX_SIDE && joined.height() == 1);
    }

    #[test]
    fn two_to_ten_with_pixels() {
        let some = |count| vec![RgbImage::new(2, 2); count];
        assert_eq!(concat(&some(0), Concat::LeftToRight), Err(ConcatError::TooFew));
        assert_eq!(concat(&some(1), Concat::LeftToRight), Err(ConcatError::TooFew));
        assert!(concat(&some(2), Concat::LeftToRight).is_ok());
        assert!(concat(&some(10), Concat::LeftToRight).is_ok());
        assert_eq!(concat(&some(11), Concat::LeftToRight), Err(ConcatError::TooMany(11)));
        let empty = [RgbImage::new(2, 2), RgbImage::new(0, 2)];
        assert_eq!(concat(&empty, Concat::TopToBottom), Err(ConcatError::Empty(2)));
        assert_eq!(ConcatError::TooMany(11).to_string(), "concat joins at most 10 photos, not 11");
    }
}
