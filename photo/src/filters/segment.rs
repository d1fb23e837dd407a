//! Light parts white, dark parts black.

use image::RgbImage;

use super::CHANNELS;
use super::grayscale::luminance;

/// Pixels lighter than the threshold become white, the others black. The threshold is Otsu's: of all that could be, it
/// sets the two parts furthest apart. An image of one luminance has no light part: it becomes black.
#[must_use]
pub fn segment(image: &RgbImage) -> RgbImage {
    let mut segments = image.clone();
    let threshold = otsu(&histogram(image));
    for pixel in segments.chunks_exact_mut(CHANNELS) {
        pixel.fill(if luminance(pixel) > threshold { u8::MAX } else { 0 });
    }
    segments
}

/// How many pixels have each luminance.
fn histogram(image: &RgbImage) -> [u64; 256] {
    let mut counts = [0; 256];
    for pixel in image.chunks_exact(CHANNELS) {
        counts[usize::from(luminance(pixel))] += 1;
    }
    counts
}

/// The luminance up to which a pixel is dark (N. Otsu, "A threshold selection method from gray-level histograms", 1979).
/// `imageproc::contrast::otsu_level` says the same but sums in 32 bits, which overflows on light photos of over 16.8
/// megapixels.
fn otsu(counts: &[u64; 256]) -> u8 {
    let pixels: u64 = counts.iter().sum();
    let sum: u64 = (0..).zip(counts).map(|(luminance, count)| luminance * count).sum();
    let (mut dark, mut dark_sum) = (0, 0);
    let (mut threshold, mut furthest) = (u8::MAX, 0.0);
    for (luminance, &count) in (0..=u8::MAX).zip(counts) {
        dark += count;
        dark_sum += u64::from(luminance) * count;
        let light = pixels - dark;
        if dark == 0 || light == 0 {
            continue;
        }
        let between = dark_sum as f64 / dark as f64 - (sum - dark_sum) as f64 / light as f64;
        let variance = dark as f64 * light as f64 * between * between;
        if variance > furthest {
            (threshold, furthest) = (luminance, variance);
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, photos, values};

    #[test]
    fn two_parts() {
        let image = gray(&[[10, 12, 200], [11, 199, 201]]);
        assert_eq!(values(&segment(&image)), [[0, 0, 255], [0, 255, 255]]);
        // Nearly black beside black is still two parts.
        assert_eq!(values(&segment(&gray(&[[0, 1]]))), [[0, 255]]);
        assert_eq!(values(&segment(&gray(&[[200, 200]]))), [[0, 0]]);
    }

    #[test]
    fn colours_count_by_their_luminance() {
        let image = RgbImage::from_raw(2, 1, vec![0, 0, 255, 0, 255, 0]).expect("two pixels");
        assert_eq!(segment(&image).into_raw(), [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn photos_have_both_parts() {
        for photo in photos() {
            let segments = segment(&photo).into_raw();
            let light = segments.iter().filter(|&&value| value == 255).count();
            assert_eq!(light + segments.iter().filter(|&&value| value == 0).count(), segments.len());
            assert!((0.1..0.9).contains(&(light as f64 / segments.len() as f64)));
        }
    }
}
