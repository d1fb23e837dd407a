//! Outlines in white on black.

use image::RgbImage;

use super::grayscale::luminance;
use super::{CHANNELS, stride};

/// A gradient from here on is an edge by itself, as the length of the Sobel gradient of the smoothed luminance.
const STRONG: i32 = 160;
/// A gradient from here on continues an edge.
const WEAK: i32 = 64;

/// Marks of pixels while edges are followed; `EDGE` is what is drawn in the end.
const NOTHING: u8 = 0;
const CANDIDATE: u8 = 1;
const EDGE: u8 = u8::MAX;

/// Canny's edges: smooth, take the gradient, keep its ridges, keep of those the strong ones and what is joined to them
/// (J. Canny, "A computational approach to edge detection", 1986).
///
/// Of our own because `imageproc::edges::canny` works in floats, with an arctangent and a hypotenuse a pixel, which takes
/// seconds on 12 megapixels, and follows edges neither to the right above nor straight up. All here is in integers: the
/// squared length is compared with squared thresholds, and the direction by its tangent.
#[must_use]
pub fn edges(image: &RgbImage) -> RgbImage {
    let mut drawn = RgbImage::new(image.width(), image.height());
    if image.is_empty() {
        return drawn;
    }
    let width = image.width() as usize;
    let mut marks = ridges(&smooth(image), width);
    follow(&mut marks, width);
    for (out, &mark) in drawn.chunks_exact_mut(CHANNELS).zip(&marks) {
        out.fill(if mark == EDGE { u8::MAX } else { 0 });
    }
    drawn
}

/// The luminance, smoothed by the binomial 1 4 6 4 1 along columns and rows, which is close to a Gaussian with a sigma of
/// one. The border repeats.
fn smooth(image: &RgbImage) -> Vec<u8> {
    let (width, stride) = (image.width() as usize, stride(image));
    let light: Vec<u8> = image.chunks_exact(CHANNELS).map(luminance).collect();
    let rows: Vec<&[u8]> = light.chunks_exact(stride / CHANNELS).collect();
    let last = rows.len() - 1;
    let mut smoothed = vec![0; light.len()];
    // A row smoothed along the columns, with its first and last value repeated.
    let mut padded = vec![0_u16; width + 4];
    for (y, out) in smoothed.chunks_exact_mut(width).enumerate() {
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|offset| rows[(y + offset).saturating_sub(2).min(last)]);
        for (x, sum) in padded[2..width + 2].iter_mut().enumerate() {
            let [a, b, c, d, e] = [a[x], b[x], c[x], d[x], e[x]].map(u16::from);
            *sum = a + 4 * b + 6 * c + 4 * d + e;
        }
        let (first, end) = (padded[2], padded[width + 1]);
        padded[..2].fill(first);
        padded[width + 2..].fill(end);
        for (out, around) in out.iter_mut().zip(padded.windows(5)) {
            // At most 255 * 256 + 128, which 16 bits hold.
            *out = ((around[0] + 4 * around[1] + 6 * around[2] + 4 * around[3] + around[4] + 128) >> 8) as u8;
        }
    }
    smoothed
}

/// The gradients of one row.
#[derive(Clone)]
struct Gradients {
    across: Vec<i16>,
    down: Vec<i16>,
    /// Squared lengths, with a zero on both sides.
    squares: Vec<i32>,
}

impl Gradients {
    fn new(width: usize) -> Self {
        Self { across: vec![0; width], down: vec![0; width], squares: vec![0; width + 2] }
    }

    /// Sobel's gradients of the row `here` between its neighbours; the border repeats.
    fn take(&mut self, above: &[u8], here: &[u8], below: &[u8], sums: &mut [i16], differences: &mut [i16]) {
        let width = here.len();
        for (x, (sum, difference)) in sums[1..=width].iter_mut().zip(&mut differences[1..=width]).enumerate() {
            let [above, here, below] = [above[x], here[x], below[x]].map(i16::from);
            *sum = above + 2 * here + below;
            *difference = below - above;
        }
        for padded in [&mut *sums, &mut *differences] {
            (padded[0], padded[width + 1]) = (padded[1], padded[width]);
        }
        let outs = self.across.iter_mut().zip(&mut self.down).zip(&mut self.squares[1..]);
        for (((across, down), square), (sum, difference)) in outs.zip(sums.windows(3).zip(differences.windows(3))) {
            *across = sum[2] - sum[0];
            *down = difference[0] + 2 * difference[1] + difference[2];
            *square = i32::from(*across) * i32::from(*across) + i32::from(*down) * i32::from(*down);
        }
    }
}

/// Where the gradient is longest along its own direction: `EDGE` where it is strong, `CANDIDATE` where it is weak.
fn ridges(light: &[u8], width: usize) -> Vec<u8> {
    let rows: Vec<&[u8]> = light.chunks_exact(width).collect();
    let last = rows.len() - 1;
    let mut marks = vec![NOTHING; light.len()];
    let (mut sums, mut differences) = (vec![0; width + 2], vec![0; width + 2]);
    // The rows above, here and below; outside the image there is no gradient.
    let [mut above, mut here, mut below] = [Gradients::new(width), Gradients::new(width), Gradients::new(width)];
    here.take(rows[0], rows[0], rows[1.min(last)], &mut sums, &mut differences);
    for (y, out) in marks.chunks_exact_mut(width).enumerate() {
        if y < last {
            below.take(rows[y], rows[y + 1], rows[(y + 2).min(last)], &mut sums, &mut differences);
        } else {
            below.squares.fill(0);
        }
        for (x, mark) in out.iter_mut().enumerate() {
            let square = here.squares[x + 1];
            if square < WEAK * WEAK {
                continue;
            }
            let (across, down) = (i32::from(here.across[x]), i32::from(here.down[x]));
            let (before, after) = match Octant::of(across, down) {
                Octant::Across => (here.squares[x], here.squares[x + 2]),
                Octant::Down => (above.squares[x + 1], below.squares[x + 1]),
                Octant::Falling => (above.squares[x], below.squares[x + 2]),
                Octant::Rising => (above.squares[x + 2], below.squares[x]),
            };
            // Strict on one side only, so that of two equal neighbours exactly one stays.
            if square > before && square >= after {
                *mark = if square >= STRONG * STRONG { EDGE } else { CANDIDATE };
            }
        }
        std::mem::swap(&mut above, &mut here);
        std::mem::swap(&mut here, &mut below);
    }
    marks
}

/// Which of its neighbours a gradient points to.
enum Octant {
    Across,
    Down,
    /// From the left above to the right below.
    Falling,
    /// From the left below to the right above.
    Rising,
}

impl Octant {
    fn of(across: i32, down: i32) -> Self {
        /// The tangent of 22.5 degrees in 1024ths; that of 67.5 degrees is its inverse.
        const TANGENT: i32 = 424;
        if down.abs() * 1024 <= across.abs() * TANGENT {
            Self::Across
        } else if across.abs() * 1024 <= down.abs() * TANGENT {
            Self::Down
        } else if (across < 0) == (down < 0) {
            Self::Falling
        } else {
            Self::Rising
        }
    }
}

/// Make edges of the candidates that touch one, directly or through others.
fn follow(marks: &mut [u8], width: usize) {
    let height = marks.len() / width;
    let mut found: Vec<usize> = (0..marks.len()).filter(|&index| marks[index] == EDGE).collect();
    while let Some(index) = found.pop() {
        let (x, y) = (index % width, index / width);
        for near_y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
            for near_x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                let near = near_y * width + near_x;
                if marks[near] == CANDIDATE {
                    marks[near] = EDGE;
                    found.push(near);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, photos, values};

    #[test]
    fn a_step_is_one_line() {
        let row: &[u8] = &[0, 0, 0, 0, 255, 255, 255, 255];
        let expected = [0, 0, 0, 255, 0, 0, 0, 0];
        assert_eq!(values(&edges(&gray(&[row; 5]))), [expected; 5]);
        let columns: Vec<&[u8]> = row.iter().map(std::slice::from_ref).collect();
        assert_eq!(values(&edges(&gray(&columns))).concat(), expected);
        // Its negative has the edge at the same place.
        assert_eq!(values(&edges(&crate::filters::invert(gray(&[row; 5])))), [expected; 5]);
    }

    #[test]
    fn a_diagonal_is_connected_and_thin() {
        let size = 32;
        let image = RgbImage::from_fn(size, size, |x, y| image::Rgb([if x > y { 255 } else { 0 }; 3]));
        for row in &values(&edges(&image))[3..size as usize - 3] {
            assert!((1..=2).contains(&row.iter().filter(|&&value| value == 255).count()), "{row:?}");
        }
    }

    #[test]
    fn candidates_are_followed_in_all_directions() {
        for index in [0, 1, 2, 3, 5, 6, 7, 8] {
            let mut marks = vec![NOTHING; 9];
            (marks[4], marks[index]) = (EDGE, CANDIDATE);
            follow(&mut marks, 3);
            assert_eq!(marks[index], EDGE, "{index}");
        }
        // Not around the end of a row.
        let mut marks = vec![NOTHING, NOTHING, EDGE, CANDIDATE, NOTHING, NOTHING];
        follow(&mut marks, 3);
        assert_eq!(marks[3], CANDIDATE);
    }

    #[test]
    fn nothing_in_what_is_even() {
        let slope = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x + y) as u8; 3]));
        assert!(edges(&slope).iter().all(|&value| value == 0));
    }

    #[test]
    fn photos_have_some() {
        for photo in photos() {
            let drawn = edges(&photo);
            assert!(drawn.iter().all(|value| [0, 255].contains(value)));
            let share = drawn.iter().filter(|&&value| value == 255).count() as f64 / drawn.len() as f64;
            assert!((0.01..0.25).contains(&share), "{share}");
        }
    }
}
