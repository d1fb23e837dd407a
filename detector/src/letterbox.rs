//! From an image to the network's input, and from boxes in the input back to the image.
//!
//! The letterbox of Ultralytics' YOLO: scale to fit, keep the aspect ratio, centre, fill the rest with grey 114.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::BoundingBox;

/// The grey around the image, as YOLO models are trained with.
const PADDING: u8 = 114;

/// Where one image lies in the network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// Width of the original image, in pixels.
    image_width: u32,
    /// Height of the original image, in pixels.
    image_height: u32,
    /// Width of the scaled image inside the input.
    width: u32,
    /// Height of the scaled image inside the input.
    height: u32,
    /// Columns of grey left of it.
    left: u32,
    /// Rows of grey above it.
    top: u32,
    /// Input pixels per image pixel.
    scale: f32,
}

impl Letterbox {
    /// The letterbox of an image of `image_width` x `image_height` in an input of `input_width` x `input_height`.
    /// All four are at least 1.
    #[must_use]
    pub fn new(image_width: u32, image_height: u32, input_width: u32, input_height: u32) -> Self {
        let scale =
            (f64::from(input_width) / f64::from(image_width)).min(f64::from(input_height) / f64::from(image_height));
        let scaled = |side: u32, limit: u32| ((f64::from(side) * scale).round() as u32).clamp(1, limit);
        let width = scaled(image_width, input_width);
        let height = scaled(image_height, input_height);
        Self {
            image_width,
            image_height,
            width,
            height,
            // An odd rest goes to the right and the bottom, as in the reference.
            left: (input_width - width) / 2,
            top: (input_height - height) / 2,
            scale: scale as f32,
        }
    }

    /// Converts a box from input pixels to pixels of the original image, clipped to it.
    #[must_use]
    pub fn to_image(&self, bounding_box: &BoundingBox) -> BoundingBox {
        let x = |value: f32| (value - self.left as f32) / self.scale;
        let y = |value: f32| (value - self.top as f32) / self.scale;
        BoundingBox {
            left: x(bounding_box.left),
            top: y(bounding_box.top),
            right: x(bounding_box.right),
            bottom: y(bounding_box.bottom),
        }
        .clipped(self.image_width as f32, self.image_height as f32)
    }
}

/// Returns width and height of the smallest input that holds an image of `image_width` x `image_height` scaled to fit
/// `input_width` x `input_height`. Its sides are multiples of `granule`, as far as the input allows.
#[must_use]
pub fn fitted(image_width: u32, image_height: u32, input_width: u32, input_height: u32, granule: u32) -> (u32, u32) {
    let letterbox = Letterbox::new(image_width, image_height, input_width, input_height);
    let side = |scaled: u32, limit: u32| scaled.next_multiple_of(granule).min(limit);
    (side(letterbox.width, input_width), side(letterbox.height, input_height))
}

/// Fills `input` (channels first: `[3, input_height, input_width]`, values `0..=1`) with the letterboxed `image`. It samples
/// bilinearly, as OpenCV's `INTER_LINEAR` does, with which the reference detections were made.
///
/// # Panics
/// If `input` does not have `3 * input_width * input_height` values.
#[must_use]
pub fn fill(image: &RgbImage, input: &mut [f32], input_width: u32, input_height: u32) -> Letterbox {
    let plane = input_width as usize * input_height as usize;
    assert_eq!(input.len(), 3 * plane, "the input tensor's size");
    let letterbox = Letterbox::new(image.width(), image.height(), input_width, input_height);
    let scaled;
    let pixels: &[u8] = if (letterbox.width, letterbox.height) == image.dimensions() {
        image.as_raw()
    } else {
        scaled = resize(image, letterbox.width, letterbox.height);
        scaled.buffer()
    };
    input.fill(f32::from(PADDING) / 255.0);
    let row_bytes = 3 * letterbox.width as usize;
    for (y, row) in pixels.chunks_exact(row_bytes).enumerate() {
        let start = (y + letterbox.top as usize) * input_width as usize + letterbox.left as usize;
        for channel in 0..3 {
            let target = &mut input[channel * plane + start..][..letterbox.width as usize];
            for (value, pixel) in target.iter_mut().zip(row.chunks_exact(3)) {
                *value = f32::from(pixel[channel]) * (1.0 / 255.0);
            }
        }
    }
    letterbox
}

fn resize(image: &RgbImage, width: u32, height: u32) -> Image<'static> {
    let mut scaled = Image::new(width, height, PixelType::U8x3);
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3)
        .expect("an RgbImage has three bytes a pixel");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut scaled, &options).expect("source and target have the same pixel type");
    scaled
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn wide_image_is_centred_with_grey_above_and_below() {
        let image = RgbImage::from_pixel(200, 100, Rgb([255, 0, 51]));
        let mut input = vec![0.0; 3 * 64 * 64];
        let letterbox = fill(&image, &mut input, 64, 64);
        assert_eq!((letterbox.left, letterbox.top), (0, 16));
        assert_eq!((letterbox.width, letterbox.height), (64, 32));
        let grey = 114.0 / 255.0;
        let at = |channel: usize, x: usize, y: usize| input[channel * 4096 + y * 64 + x];
        for channel in 0..3 {
            assert_eq!(at(channel, 5, 15), grey);
            assert_eq!(at(channel, 5, 48), grey);
        }
        for y in [16, 47] {
            assert!((at(0, 5, y) - 1.0).abs() < 1e-6);
            assert_eq!(at(1, 5, y), 0.0);
            assert!((at(2, 5, y) - 0.2).abs() < 1e-6);
        }
    }

    #[test]
    fn an_odd_rest_goes_right_and_below() {
        let letterbox = Letterbox::new(451, 300, 640, 640);
        assert_eq!((letterbox.width, letterbox.height), (640, 426));
        assert_eq!((letterbox.left, letterbox.top), (0, 107));
        let letterbox = Letterbox::new(3, 640, 640, 640);
        assert_eq!((letterbox.width, letterbox.left), (3, 318));
    }

    #[test]
    fn absurd_shapes_keep_at_least_one_pixel() {
        let image = RgbImage::from_pixel(20_000, 1, Rgb([9, 9, 9]));
        let mut input = vec![0.0; 3 * 64 * 64];
        let letterbox = fill(&image, &mut input, 64, 64);
        assert_eq!((letterbox.width, letterbox.height), (64, 1));
    }

    #[test]
    fn boxes_come_back_to_where_they_were() {
        let letterbox = Letterbox::new(1280, 720, 640, 640);
        let there = BoundingBox { left: 50.0, top: 140.0 + 25.0, right: 150.0, bottom: 140.0 + 125.0 };
        let back = letterbox.to_image(&there);
        assert_eq!(back, BoundingBox { left: 100.0, top: 50.0, right: 300.0, bottom: 250.0 });
        let outside = BoundingBox { left: -20.0, top: 0.0, right: 700.0, bottom: 640.0 };
        let clipped = BoundingBox { left: 0.0, top: 0.0, right: 1280.0, bottom: 720.0 };
        assert_eq!(letterbox.to_image(&outside), clipped);
    }
}
