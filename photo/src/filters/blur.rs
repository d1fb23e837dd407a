//! The mean over a box.

use image::RgbImage;

use super::{CHANNELS, stride};

/// Each pixel becomes the mean of the `level` x `level` pixels around it, each channel by itself, rounded to the
/// nearest. At the border the outermost pixels count as often as the box reaches over them, so the size stays. Where
/// `level` is even the box reaches one pixel further right and down than left and up.
///
/// The time does not depend on `level`: sums slide along columns, and the sums of columns slide along rows.
#[must_use]
pub fn blur(image: &RgbImage, level: u32) -> RgbImage {
    let mut blurred = image.clone();
    if level <= 1 || image.is_empty() {
        return blurred;
    }
    let stride = stride(image);
    let rows: Vec<&[u8]> = image.chunks_exact(stride).collect();
    let last = rows.len() - 1;
    let (before, after) = reach(level);
    let area = u64::from(level) * u64::from(level);

    // The sums of the columns, with room on both sides for what the box reaches beyond the row.
    let (left, right) = (before * CHANNELS, after * CHANNELS);
    let mut sums = vec![0_u64; left + stride + right];
    for offset in 0..=before + after {
        add(&mut sums[left..left + stride], rows[offset.saturating_sub(before).min(last)]);
    }
    for (y, out) in blurred.chunks_exact_mut(stride).enumerate() {
        if y > 0 {
            subtract(&mut sums[left..left + stride], rows[(y - 1).saturating_sub(before)]);
            add(&mut sums[left..left + stride], rows[(y + after).min(last)]);
        }
        repeat_border(&mut sums, left, right);
        means(&sums, level as usize, area, out);
    }
    blurred
}

/// How far the box reaches before and after its pixel.
fn reach(level: u32) -> (usize, usize) {
    ((level as usize - 1) / 2, level as usize / 2)
}

fn add(sums: &mut [u64], row: &[u8]) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum += u64::from(value);
    }
}

fn subtract(sums: &mut [u64], row: &[u8]) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum -= u64::from(value);
    }
}

/// Fill the room on both sides with the first and the last pixel's sums.
fn repeat_border(sums: &mut [u64], left: usize, right: usize) {
    let end = sums.len() - right;
    for index in (0..left).rev() {
        sums[index] = sums[index + CHANNELS];
    }
    for index in end..sums.len() {
        sums[index] = sums[index - CHANNELS];
    }
}

/// Slide the box along the sums of the columns.
fn means(sums: &[u64], level: usize, area: u64, out: &mut [u8]) {
    let (mut entering, leaving) = (sums[(level - 1) * CHANNELS..].chunks_exact(CHANNELS), sums.chunks_exact(CHANNELS));
    let mut total = [0_u64; CHANNELS];
    for pixel in sums[..(level - 1) * CHANNELS].chunks_exact(CHANNELS) {
        for (total, &sum) in total.iter_mut().zip(pixel) {
            *total += sum;
        }
    }
    for (out, leaving) in out.chunks_exact_mut(CHANNELS).zip(leaving) {
        let Some(entering) = entering.next() else { return };
        for channel in 0..CHANNELS {
            total[channel] += entering[channel];
            out[channel] = ((total[channel] + area / 2) / area) as u8;
            total[channel] -= leaving[channel];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, values};

    #[test]
    fn odd_boxes_are_centred() {
        let image = gray(&[[0, 0, 0], [0, 90, 0], [0, 0, 0]]);
        assert_eq!(values(&blur(&image, 3)), [[10, 10, 10], [10, 10, 10], [10, 10, 10]]);
        let corner = gray(&[[90, 0, 0], [0, 0, 0], [0, 0, 0]]);
        assert_eq!(values(&blur(&corner, 3)), [[40, 20, 0], [20, 10, 0], [0, 0, 0]]);
    }

    #[test]
    fn even_boxes_reach_right_and_down() {
        let image = gray(&[[0, 4, 8], [100, 104, 108]]);
        assert_eq!(values(&blur(&image, 2)), [[52, 56, 58], [102, 106, 108]]);
    }

    #[test]
    fn means_are_rounded_to_the_nearest() {
        assert_eq!(values(&blur(&gray(&[[0, 1]]), 2)), [[1, 1]]);
        assert_eq!(values(&blur(&gray(&[[0, 1, 0]]), 3)), [[0, 0, 0]]);
    }

    #[test]
    fn a_box_larger_than_the_image() {
        assert_eq!(values(&blur(&gray(&[[7]]), 100)), [[7]]);
        assert_eq!(values(&blur(&gray(&[[0, 100]]), 100)), [[50, 51]]);
    }

    #[test]
    fn the_same_as_the_definition() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..60 {
            let (width, height, level) = (random.u32(1..9), random.u32(1..9), random.u32(1..12));
            let image =
                RgbImage::from_fn(width, height, |_, _| image::Rgb([random.u8(..), random.u8(..), random.u8(..)]));
            let (before, after) = ((level as i64 - 1) / 2, level as i64 / 2);
            let expected = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([0, 1, 2].map(|channel: usize| {
                    let mut sum = 0;
                    for dy in -before..=after {
                        for dx in -before..=after {
                            let at_x = (i64::from(x) + dx).clamp(0, i64::from(width) - 1) as u32;
                            let at_y = (i64::from(y) + dy).clamp(0, i64::from(height) - 1) as u32;
                            sum += u32::from(image.get_pixel(at_x, at_y)[channel]);
                        }
                    }
                    ((sum + level * level / 2) / (level * level)) as u8
                }))
            });
            assert_eq!(blur(&image, level), expected, "{width}x{height} level {level}");
        }
    }
}
