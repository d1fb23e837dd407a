//! Crisper.

use image::RgbImage;

use super::{CHANNELS, stride};

/// Each pixel moves away from its four neighbours: five times itself less each of them, cut to what a byte holds. At the
/// border the pixel itself stands for the neighbour that is missing.
#[must_use]
pub fn sharpen(image: &RgbImage) -> RgbImage {
    let stride = stride(image);
    let rows: Vec<&[u8]> = image.chunks_exact(stride).collect();
    let mut sharper = RgbImage::new(image.width(), image.height());
    // The row with its first and last pixel repeated.
    let mut padded = vec![0; stride + 2 * CHANNELS];
    for (y, (out, &row)) in sharper.chunks_exact_mut(stride).zip(&rows).enumerate() {
        padded[..CHANNELS].copy_from_slice(&row[..CHANNELS]);
        padded[CHANNELS..CHANNELS + stride].copy_from_slice(row);
        padded[CHANNELS + stride..].copy_from_slice(&row[stride - CHANNELS..]);
        let (above, below) = (rows[y.saturating_sub(1)], rows[(y + 1).min(rows.len() - 1)]);
        let neighbours = padded.iter().zip(&padded[2 * CHANNELS..]).zip(above.iter().zip(below));
        for ((out, &here), ((&left, &right), (&above, &below))) in out.iter_mut().zip(row).zip(neighbours) {
            let [here, left, right, above, below] = [here, left, right, above, below].map(i16::from);
            *out = (5 * here - left - right - above - below).clamp(0, 255) as u8;
        }
    }
    sharper
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, values};

    #[test]
    fn away_from_the_neighbours() {
        let image = gray(&[[10, 10, 10], [10, 20, 10], [10, 10, 10]]);
        assert_eq!(values(&sharpen(&image)), [[10, 0, 10], [0, 60, 0], [10, 0, 10]]);
        assert_eq!(values(&sharpen(&gray(&[[100, 200, 250]]))), [[0, 250, 255]]);
        assert_eq!(values(&sharpen(&gray(&[[100], [200]]))), [[0], [255]]);
    }
}
