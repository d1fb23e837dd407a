//! An image to the bytes of a JPEG.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageError, RgbImage};

/// The longest side that a JPEG has room for, in pixels.
pub const MAX_JPEG_SIDE: u32 = 65_535;

/// The image as JPEG; made smaller, if it is longer than a JPEG may be. `quality` is 1 to 100.
///
/// # Errors
/// [`ImageError`] if the encoder refuses it, as an image without pixels.
pub fn encode_jpeg(image: RgbImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let image = within(image, u64::MAX, MAX_JPEG_SIDE);
    let mut jpeg = Cursor::new(Vec::new());
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, quality))?;
    Ok(jpeg.into_inner())
}

/// The image made smaller in its proportions, if it has more pixels or a longer side. Nothing but the result is made.
#[must_use]
pub fn within(image: RgbImage, max_pixels: u64, max_side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let all = f64::from(width) * f64::from(height);
    let by_pixels = (max_pixels as f64 / all).sqrt();
    let by_side = f64::from(max_side) / f64::from(width.max(height));
    let factor = by_pixels.min(by_side);
    if factor >= 1.0 {
        return image;
    }
    let side = |side: u32| ((f64::from(side) * factor) as u32).max(1);
    image::imageops::thumbnail(&image, side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_made_smaller_and_keeps_its_shape() {
        let within = |width, height| super::within(RgbImage::new(width, height), 16_000_000, 65_535).dimensions();
        assert_eq!(within(100, 50), (100, 50));
        let (width, height) = within(6000, 4000);
        assert!(u64::from(width) * u64::from(height) <= 16_000_000 && width > 4800);
        assert!((f64::from(width) / f64::from(height) - 1.5).abs() < 0.001);
        assert_eq!(within(131_070, 4), (65_535, 2));
        assert_eq!(within(70_000, 1), (65_535, 1));
    }

    #[test]
    fn what_is_longer_than_a_jpeg_may_be_is_encoded_smaller() {
        let jpeg = encode_jpeg(RgbImage::new(70_000, 2), 88).expect("encoded");
        assert_eq!(image::load_from_memory(&jpeg).expect("decoded").width(), MAX_JPEG_SIDE);
        encode_jpeg(RgbImage::new(0, 0), 88).expect_err("it has no pixels");
    }
}
