//! What holds for each filter, and what the filters' own tests share.

use std::path::Path;

use image::{Rgb, RgbImage};

use super::*;

/// An image of grays.
pub(super) fn gray<R: AsRef<[u8]>>(rows: &[R]) -> RgbImage {
    let (width, height) = (rows[0].as_ref().len() as u32, rows.len() as u32);
    RgbImage::from_fn(width, height, |x, y| Rgb([rows[y as usize].as_ref()[x as usize]; 3]))
}

/// The rows of an image of grays.
pub(super) fn values(image: &RgbImage) -> Vec<Vec<u8>> {
    let value = |pixel: &Rgb<u8>| {
        assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2], "{pixel:?} is not gray");
        pixel[0]
    };
    image.rows().map(|row| row.map(value).collect()).collect()
}

/// The photos that all tests of the project share.
pub(super) fn photos() -> impl Iterator<Item = RgbImage> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/photos");
    ["astronaut", "chelsea", "coffee", "motorcycle_left"]
        .into_iter()
        .map(move |name| image::open(folder.join(name).with_extension("png")).expect("the photo is there").into_rgb8())
}

fn all() -> Vec<Filter> {
    let mut all = vec![
        Filter::Blur { level: 1 },
        Filter::Blur { level: 16 },
        Filter::Blur { level: 100 },
        Filter::Contour,
        Filter::SaltAndPepper { level: 0.05 },
        Filter::Segment,
        Filter::Grayscale,
        Filter::Sharpen,
        Filter::Edges,
        Filter::Invert,
        Filter::Median { radius: 1 },
        Filter::Median { radius: 10 },
    ];
    for direction in [Direction::Clockwise, Direction::AntiClockwise] {
        all.extend([Turn::Quarter, Turn::Half, Turn::ThreeQuarters].map(|turn| Filter::Rotate { direction, turn }));
    }
    all
}

fn size_after(filter: Filter, (width, height): (u32, u32)) -> (u32, u32) {
    match filter {
        Filter::Rotate { turn: Turn::Quarter | Turn::ThreeQuarters, .. } => (height, width),
        _ => (width, height),
    }
}

#[test]
fn any_size_is_fine() {
    let mut random = fastrand::Rng::with_seed(3);
    for size in [(0, 0), (0, 5), (5, 0), (1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (2, 2), (3, 3), (17, 33), (16, 32)] {
        let image = RgbImage::from_fn(size.0, size.1, |_, _| Rgb([random.u8(..), random.u8(..), random.u8(..)]));
        for filter in all() {
            assert_eq!(apply(&filter, image.clone()).dimensions(), size_after(filter, size), "{filter:?} on {size:?}");
        }
    }
}

#[test]
fn photos_keep_their_size() {
    for photo in photos() {
        for filter in all() {
            let size = photo.dimensions();
            assert_eq!(apply(&filter, photo.clone()).dimensions(), size_after(filter, size), "{filter:?}");
        }
    }
}

#[test]
fn what_is_even_stays_even() {
    let image = RgbImage::from_pixel(50, 40, Rgb([12, 130, 250]));
    for filter in [
        Filter::Blur { level: 1 },
        Filter::Blur { level: 16 },
        Filter::Blur { level: 99 },
        Filter::Sharpen,
        Filter::Median { radius: 3 },
        Filter::Rotate { direction: Direction::Clockwise, turn: Turn::Half },
    ] {
        assert!(apply(&filter, image.clone()) == image, "{filter:?}");
    }
    for filter in [Filter::Contour, Filter::Edges] {
        assert!(apply(&filter, image.clone()).iter().all(|&value| value == 0), "{filter:?}");
    }
}

#[test]
fn weakest_is_none() {
    for photo in photos() {
        for filter in [Filter::Blur { level: 1 }, Filter::SaltAndPepper { level: 0.0 }, Filter::Median { radius: 0 }] {
            assert!(apply(&filter, photo.clone()) == photo, "{filter:?}");
        }
    }
}

#[test]
fn again_is_the_same() {
    for photo in photos().take(1) {
        for filter in all() {
            assert!(apply(&filter, photo.clone()) == apply(&filter, photo.clone()), "{filter:?}");
        }
    }
}

#[test]
fn median_takes_grains_away() {
    let difference =
        |a: &RgbImage, b: &RgbImage| -> u64 { a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum() };
    for photo in photos() {
        let grains = salt_and_pepper(photo.clone(), 0.1, 1);
        assert!(difference(&median(&grains, 2), &photo) < difference(&grains, &photo));
    }
}
