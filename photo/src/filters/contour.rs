//! How much each pixel differs from its left neighbour.

use image::RgbImage;

use super::{CHANNELS, stride};

/// Each pixel becomes the absolute difference to its left neighbour, each channel by itself. The first column has no
/// neighbour and becomes black, so the size stays.
#[must_use]
pub fn contour(image: &RgbImage) -> RgbImage {
    let stride = stride(image);
    let mut contours = RgbImage::new(image.width(), image.height());
    for (row, out) in image.chunks_exact(stride).zip(contours.chunks_exact_mut(stride)) {
        for ((out, &here), &left) in out[CHANNELS..].iter_mut().zip(&row[CHANNELS..]).zip(row) {
            *out = here.abs_diff(left);
        }
    }
    contours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, values};

    #[test]
    fn differences_along_the_row() {
        let image = gray(&[[10, 30, 25, 25], [255, 0, 255, 1]]);
        assert_eq!(values(&contour(&image)), [[0, 20, 5, 0], [0, 255, 255, 254]]);
    }

    #[test]
    fn channels_do_not_mix() {
        let image = RgbImage::from_raw(2, 1, vec![1, 2, 3, 11, 2, 0]).expect("two pixels");
        assert_eq!(contour(&image).into_raw(), [0, 0, 0, 10, 0, 3]);
    }
}
