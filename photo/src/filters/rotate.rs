//! Turns by quarters.

use image::RgbImage;

use super::{CHANNELS, stride};

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the hands of a clock.
    Clockwise,
    /// Against them.
    AntiClockwise,
}

/// How far to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// 90 degrees.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    ThreeQuarters,
}

impl Turn {
    /// In degrees.
    #[must_use]
    pub fn degrees(self) -> u32 {
        match self {
            Self::Quarter => 90,
            Self::Half => 180,
            Self::ThreeQuarters => 270,
        }
    }
}

/// Turn the image. A quarter and three quarters swap width and height.
#[must_use]
pub fn rotate(image: &RgbImage, direction: Direction, turn: Turn) -> RgbImage {
    match (direction, turn) {
        (_, Turn::Half) => upside_down(image),
        (Direction::Clockwise, Turn::Quarter) | (Direction::AntiClockwise, Turn::ThreeQuarters) => quarter(image, true),
        (Direction::AntiClockwise, Turn::Quarter) | (Direction::Clockwise, Turn::ThreeQuarters) => {
            quarter(image, false)
        }
    }
}

fn upside_down(image: &RgbImage) -> RgbImage {
    let mut turned = RgbImage::new(image.width(), image.height());
    for (out, pixel) in turned.chunks_exact_mut(CHANNELS).rev().zip(image.chunks_exact(CHANNELS)) {
        out.copy_from_slice(pixel);
    }
    turned
}

/// Columns that become rows together. Their pixels in one row fill about a cache line, so each line is read once.
const TILE: usize = 16;

/// The columns become rows: read upwards and taken from the left when turning clockwise, else the other way round.
fn quarter(image: &RgbImage, clockwise: bool) -> RgbImage {
    let mut turned = RgbImage::new(image.height(), image.width());
    if image.is_empty() {
        return turned;
    }
    let (stride, out_stride) = (stride(image), stride(&turned));
    let (rows, columns) = (image.height() as usize, image.width() as usize);
    for (tile_index, tile) in turned.chunks_mut(TILE * out_stride).enumerate() {
        let first = tile_index * TILE;
        let count = TILE.min(columns - first);
        for (y, row) in image.chunks_exact(stride).enumerate() {
            let at = CHANNELS * if clockwise { rows - 1 - y } else { y };
            // The rows of the result `first..first + count`, as columns of the image from left to right.
            let left = if clockwise { first } else { columns - first - count };
            let pixels = row[left * CHANNELS..(left + count) * CHANNELS].chunks_exact(CHANNELS);
            for (index, pixel) in pixels.enumerate() {
                let out_row = if clockwise { index } else { count - 1 - index };
                tile[out_row * out_stride + at..][..CHANNELS].copy_from_slice(pixel);
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::Direction::{AntiClockwise, Clockwise};
    use super::Turn::{Half, Quarter, ThreeQuarters};
    use super::*;
    use crate::filters::tests::{gray, photos, values};

    #[test]
    fn a_small_matrix() {
        let image = gray(&[[1, 2, 3], [4, 5, 6]]);
        assert_eq!(values(&rotate(&image, Clockwise, Quarter)), [[4, 1], [5, 2], [6, 3]]);
        assert_eq!(values(&rotate(&image, AntiClockwise, Quarter)), [[3, 6], [2, 5], [1, 4]]);
        for direction in [Clockwise, AntiClockwise] {
            assert_eq!(values(&rotate(&image, direction, Half)), [[6, 5, 4], [3, 2, 1]]);
        }
        assert_eq!(rotate(&image, Clockwise, ThreeQuarters), rotate(&image, AntiClockwise, Quarter));
        assert_eq!(rotate(&image, AntiClockwise, ThreeQuarters), rotate(&image, Clockwise, Quarter));
    }

    #[test]
    fn four_quarters_are_none() {
        for photo in photos() {
            for direction in [Clockwise, AntiClockwise] {
                let mut turned = photo.clone();
                for _ in 0..4 {
                    turned = rotate(&turned, direction, Quarter);
                }
                assert!(turned == photo);
            }
            assert!(rotate(&rotate(&photo, Clockwise, Quarter), Clockwise, Quarter) == rotate(&photo, Clockwise, Half));
            assert!(rotate(&photo, Clockwise, Quarter) == image::imageops::rotate90(&photo));
        }
    }
}
