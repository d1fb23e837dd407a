//! Bytes of a photo to an upright RGB image, within limits that are checked before decoding.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, RgbImage};

/// What a photo may cost to decode.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Encoded size, in bytes.
    pub max_bytes: usize,
    /// Width times height.
    pub max_pixels: u64,
    /// What the decoder may allocate, in bytes.
    pub max_decoder_bytes: u64,
}

impl Default for Limits {
    /// 20 MB (what Telegram lets a bot download), 50 megapixels and 512 MiB.
    fn default() -> Self {
        Self { max_bytes: 20_000_000, max_pixels: 50_000_000, max_decoder_bytes: 512 << 20 }
    }
}

/// Why the bytes give no image.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// No known image format begins like this.
    #[error("this is not an image in a format I can read (JPEG, PNG, WebP, GIF or BMP)")]
    NotAnImage,
    /// More bytes than [`Limits::max_bytes`].
    #[error("the file has {bytes} bytes; at most {limit} are accepted")]
    TooManyBytes {
        /// The file's size.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// More pixels than [`Limits::max_pixels`].
    #[error("the image is {width} x {height} pixels; at most {limit} pixels are accepted")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in force.
        limit: u64,
    },
    /// The format is known, the content is damaged, cut off or of an unsupported kind.
    #[error("the image can't be read: {0}")]
    Unreadable(String),
}

/// Decode a photo: format by content, EXIF orientation applied, first frame of an animation, any colour type to RGB
/// (alpha dropped, 16 bit reduced to 8).
///
/// # Errors
/// [`PhotoError`], whose text is fit for the person who sent the photo.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, PhotoError> {
    if bytes.len() > limits.max_bytes {
        return Err(PhotoError::TooManyBytes { bytes: bytes.len(), limit: limits.max_bytes });
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| PhotoError::Unreadable(error.to_string()))?;
    if reader.format().is_none() {
        return Err(PhotoError::NotAnImage);
    }
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_decoder_bytes);
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(PhotoError::TooManyPixels { width, height, limit: limits.max_pixels });
    }
    if width == 0 || height == 0 {
        return Err(PhotoError::Unreadable(format!("it is {width} x {height} pixels")));
    }
    // The decoder looks after its own memory, not after what it decodes into.
    if decoder.total_bytes() > limits.max_decoder_bytes {
        return Err(PhotoError::Unreadable("it needs more memory than is allowed".into()));
    }
    // An orientation that can't be read is no reason to refuse the photo.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

fn unreadable(error: ImageError) -> PhotoError {
    match error {
        ImageError::Unsupported(error) if matches!(error.kind(), image::error::UnsupportedErrorKind::Format(_)) => {
            PhotoError::NotAnImage
        }
        error => PhotoError::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;

    fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("encode");
        bytes.into_inner()
    }

    /// A JPEG whose EXIF says "rotate 90 degrees clockwise to view" (orientation 6).
    fn rotated_jpeg(image: &RgbImage) -> Vec<u8> {
        let jpeg = encoded(image, ImageFormat::Jpeg);
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01".to_vec();
        exif.extend_from_slice(&[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]);
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend_from_slice(&[0xff, 0xe1]);
        bytes.extend_from_slice(&u16::try_from(exif.len() + 2).expect("short").to_be_bytes());
        bytes.extend_from_slice(&exif);
        bytes.extend_from_slice(&jpeg[2..]);
        bytes
    }

    #[test]
    fn exif_orientation_is_honoured() {
        let mut image = RgbImage::from_pixel(64, 32, Rgb([0, 0, 255]));
        for x in 0..16 {
            for y in 0..32 {
                image.put_pixel(x, y, Rgb([255, 0, 0]));
            }
        }
        let upright = decode(&rotated_jpeg(&image), &Limits::default()).expect("decode");
        assert_eq!(upright.dimensions(), (32, 64));
        // The left edge of the stored image is the top edge of the upright one.
        assert!(upright.get_pixel(16, 4)[0] > 200, "{:?}", upright.get_pixel(16, 4));
        assert!(upright.get_pixel(16, 60)[2] > 200, "{:?}", upright.get_pixel(16, 60));
    }

    #[test]
    fn what_is_no_image_is_told_apart_from_a_damaged_one() {
        let limits = Limits::default();
        assert!(matches!(decode(b"hello, I am a text", &limits), Err(PhotoError::NotAnImage)));
        assert!(matches!(decode(b"", &limits), Err(PhotoError::NotAnImage)));
        let mut cut = encoded(&RgbImage::new(64, 64), ImageFormat::Png);
        cut.truncate(40);
        assert!(matches!(decode(&cut, &limits), Err(PhotoError::Unreadable(_))));
    }

    #[test]
    fn limits_are_checked_before_decoding() {
        let png = encoded(&RgbImage::new(100, 100), ImageFormat::Png);
        let few_bytes = Limits { max_bytes: 10, ..Limits::default() };
        assert!(matches!(decode(&png, &few_bytes), Err(PhotoError::TooManyBytes { limit: 10, .. })));
        let few_pixels = Limits { max_pixels: 9_999, ..Limits::default() };
        assert!(matches!(decode(&png, &few_pixels), Err(PhotoError::TooManyPixels { width: 100, height: 100, .. })));
    }

    #[test]
    fn every_format_decodes_by_content() {
        let image = RgbImage::from_pixel(20, 10, Rgb([200, 30, 30]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
            let decoded = decode(&encoded(&image, format), &Limits::default()).expect("decode");
            assert_eq!(decoded.dimensions(), (20, 10), "{format:?}");
            assert!(decoded.get_pixel(10, 5)[0] > 180, "{format:?}");
        }
    }
}
