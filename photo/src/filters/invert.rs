//! The negative.

use image::RgbImage;

/// Each channel becomes what it lacks to full light. `image::imageops::invert` goes pixel by pixel and takes 9 times as long
/// (`cargo bench -p detector --bench filters`).
#[must_use]
pub fn invert(mut image: RgbImage) -> RgbImage {
    for value in image.iter_mut() {
        *value = u8::MAX - *value;
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::photos;

    #[test]
    fn a_pixel() {
        let image = RgbImage::from_raw(1, 1, vec![0, 255, 100]).expect("one pixel");
        assert_eq!(invert(image).into_raw(), [255, 0, 155]);
    }

    #[test]
    fn twice_is_none() {
        for photo in photos() {
            assert!(invert(invert(photo.clone())) == photo);
        }
    }
}
