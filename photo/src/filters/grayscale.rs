//! Light without colour.

use image::RgbImage;

use super::CHANNELS;

/// Each pixel becomes the gray of its luminance.
#[must_use]
pub fn grayscale(mut image: RgbImage) -> RgbImage {
    for pixel in image.chunks_exact_mut(CHANNELS) {
        pixel.fill(luminance(pixel));
    }
    image
}

/// How light a pixel is: the weights of ITU-R BT.709 in 256ths, which sum up to one, so that white stays white.
pub(super) fn luminance(pixel: &[u8]) -> u8 {
    let (red, green, blue) = (u32::from(pixel[0]), u32::from(pixel[1]), u32::from(pixel[2]));
    ((54 * red + 183 * green + 19 * blue + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luminances() {
        let image = RgbImage::from_raw(5, 1, [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255; 3], [77; 3]].concat());
        let expected = [[54; 3], [182; 3], [19; 3], [255; 3], [77; 3]].concat();
        assert_eq!(grayscale(image.expect("five pixels")).into_raw(), expected);
    }
}
