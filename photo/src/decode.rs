//! Bytes to an upright RGB image, within limits that are checked before decoding.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

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
    /// 20 MiB (what Telegram lets a bot download), 50 megapixels and 512 MiB.
    fn default() -> Self {
        Self { max_bytes: 20 << 20, max_pixels: 50_000_000, max_decoder_bytes: 512 << 20 }
    }
}

/// Why the bytes give no image.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// No known image format begins like this.
    #[error("this is not an image in a known format (JPEG, PNG, WebP, GIF or BMP)")]
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
    /// More than [`Limits::max_decoder_bytes`].
    #[error("the image needs more memory than there is for one")]
    TooMuchMemory,
    /// The format is known, the content is damaged, cut off or of an unsupported kind.
    #[error("the image can't be read: it is damaged, cut off, or of a rare kind")]
    Unreadable(String),
}

impl PhotoError {
    /// What the decoder says, for a log.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        if let Self::Unreadable(detail) = self { Some(detail) } else { None }
    }
}

/// What is known of a photo before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// What decoding takes at its peak, in bytes, without turning it upright; an estimate that is rather too high.
    pub memory: u64,
}

/// A photo as it is stored: perhaps lying on its side.
#[derive(Debug)]
pub struct Unturned {
    image: RgbImage,
    orientation: Orientation,
}

impl Unturned {
    /// Width and height as stored, in pixels.
    #[must_use]
    pub fn dimensions(&self) -> (u32, u32) {
        self.image.dimensions()
    }

    /// The photo made smaller in its proportions, if it has more pixels or a longer side; before it is turned, which takes as
    /// much memory again.
    #[must_use]
    pub fn within(self, max_pixels: u64, max_side: u32) -> Self {
        Self { image: crate::within(self.image, max_pixels, max_side), ..self }
    }

    /// The photo upright. A photo that lies on its side needs as much memory again.
    #[must_use]
    pub fn upright(self) -> RgbImage {
        if self.orientation == Orientation::NoTransforms {
            return self.image;
        }
        let mut image = DynamicImage::ImageRgb8(self.image);
        image.apply_orientation(self.orientation);
        image.into_rgb8()
    }
}

/// Decode a photo: format by content, EXIF orientation applied, first frame of an animation, any colour type to RGB
/// (what is transparent lies on white, 16 bit reduced to 8).
///
/// # Errors
/// [`PhotoError`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, PhotoError> {
    Ok(decode_unturned(bytes, limits)?.upright())
}

/// The same, but not turned upright yet.
///
/// # Errors
/// [`PhotoError`].
pub fn decode_unturned(bytes: &[u8], limits: &Limits) -> Result<Unturned, PhotoError> {
    let (decoder, orientation, _) = open(bytes, limits)?;
    let image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    Ok(Unturned { image: on_white(image), orientation })
}

/// Look at a photo without decoding it.
///
/// # Errors
/// [`PhotoError`].
pub fn header(bytes: &[u8], limits: &Limits) -> Result<Header, PhotoError> {
    let (decoder, orientation, format) = open(bytes, limits)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    // RGB stays where it was decoded, and so does what is transparent; all else is converted into a buffer of its own.
    let converted = match decoder.color_type() {
        ColorType::Rgb8 | ColorType::Rgba8 => 0,
        _ => 3 * pixels,
    };
    let own = match format {
        // Coefficients of two bytes, of all scans.
        ImageFormat::Jpeg if is_progressive(bytes) => 6 * pixels,
        // A frame or a canvas beside the result.
        ImageFormat::WebP | ImageFormat::Gif => 4 * pixels,
        _ => 0,
    };
    let lies = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let (width, height) = if lies { (height, width) } else { (width, height) };
    Ok(Header { width, height, memory: decoder.total_bytes() + converted + own })
}

/// A decoder that has read the header and keeps the limits.
fn open<'a>(
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<(impl ImageDecoder + 'a, Orientation, ImageFormat), PhotoError> {
    if bytes.len() > limits.max_bytes {
        return Err(PhotoError::TooManyBytes { bytes: bytes.len(), limit: limits.max_bytes });
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| PhotoError::Unreadable(error.to_string()))?;
    let Some(format) = reader.format() else { return Err(PhotoError::NotAnImage) };
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
        return Err(PhotoError::TooMuchMemory);
    }
    // A photo whose orientation can't be read is upright.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation, format))
}

/// Any image as RGB; what is transparent lies on white, as most drawings are made for it. In place where that can be: the photo
/// is the largest thing in memory.
fn on_white(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageRgba8(image) => {
            let (width, height) = image.dimensions();
            let mut bytes = image.into_raw();
            for pixel in 0..bytes.len() / 4 {
                let alpha = bytes[4 * pixel + 3];
                for channel in 0..3 {
                    bytes[3 * pixel + channel] = over_white(bytes[4 * pixel + channel], alpha);
                }
            }
            bytes.truncate(bytes.len() / 4 * 3);
            RgbImage::from_raw(width, height, bytes).expect("three bytes a pixel are left")
        }
        DynamicImage::ImageLumaA8(image) => {
            let grey = |pixel: &image::LumaA<u8>| [over_white(pixel[0], pixel[1]); 3];
            let bytes = image.pixels().flat_map(grey).collect();
            RgbImage::from_raw(image.width(), image.height(), bytes).expect("three bytes a pixel")
        }
        image if image.color().has_alpha() => {
            let (width, height) = (image.width(), image.height());
            let mut flat = RgbImage::new(width, height);
            // Row by row: eight bits of everything at once would be as much memory again.
            for (y, row) in flat.rows_mut().enumerate() {
                for (x, out) in row.enumerate() {
                    let [red, green, blue, alpha] = image.get_pixel(x as u32, y as u32).0;
                    out.0 = [over_white(red, alpha), over_white(green, alpha), over_white(blue, alpha)];
                }
            }
            flat
        }
        image => image.into_rgb8(),
    }
}

fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Whether a JPEG comes in scans of growing detail, whose coefficients are kept until the last: its frame header says so.
fn is_progressive(jpeg: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        match marker {
            // Fill bytes.
            0xff => at += 1,
            0xc2 | 0xc6 | 0xca | 0xce => return true,
            // Another frame, or the first scan.
            0xc0 | 0xc1 | 0xc3 | 0xda => return false,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

fn unreadable(error: ImageError) -> PhotoError {
    match error {
        ImageError::Unsupported(error) if matches!(error.kind(), image::error::UnsupportedErrorKind::Format(_)) => {
            PhotoError::NotAnImage
        }
        ImageError::Limits(_) => PhotoError::TooMuchMemory,
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
    fn the_header_tells_what_decoding_takes() {
        let rgb = header(&encoded(&RgbImage::new(100, 50), ImageFormat::Png), &Limits::default()).expect("header");
        assert_eq!(rgb, Header { width: 100, height: 50, memory: 15_000 });
        let rotated = header(&rotated_jpeg(&RgbImage::new(64, 32)), &Limits::default()).expect("header");
        assert_eq!((rotated.width, rotated.height), (32, 64));
        // A frame header of a progressive JPEG, behind another segment.
        assert!(is_progressive(b"\xff\xd8\xff\xe0\0\x04ab\xff\xc2\0\x0b"));
        assert!(!is_progressive(b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b"));
        assert!(!is_progressive(b"\xff\xd8\xff\xe0"));
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
