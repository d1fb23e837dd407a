//! White and black grains.

use image::RgbImage;

use super::CHANNELS;

/// Each pixel becomes a grain with the probability `level`, one half of them white and the other half black. The seed
/// decides which, so the same image and seed give the same grains.
#[must_use]
pub fn salt_and_pepper(mut image: RgbImage, level: f32, seed: u64) -> RgbImage {
    let mut random = fastrand::Rng::with_seed(seed);
    // One number a pixel, and no float: below `salt` is white, below `grains` black. A level that is NaN gives 0.
    let grains = (f64::from(level.clamp(0.0, 1.0)) * (u64::from(u32::MAX) + 1) as f64) as u64;
    let salt = grains / 2;
    for pixel in image.chunks_exact_mut(CHANNELS) {
        let drawn = u64::from(random.u32(..));
        if drawn < grains {
            pixel.fill(if drawn < salt { u8::MAX } else { 0 });
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::{gray, values};

    #[test]
    fn the_seed_decides() {
        let image = gray(&[[100; 6]; 3]);
        let mut random = fastrand::Rng::with_seed(7);
        let expected: Vec<Vec<u8>> = (0..3)
            .map(|_| {
                let grain = |drawn: f64| {
                    if drawn < 0.2 {
                        255
                    } else if drawn < 0.4 {
                        0
                    } else {
                        100
                    }
                };
                (0..6).map(|_| grain(f64::from(random.u32(..)) / 4_294_967_296.0)).collect()
            })
            .collect();
        assert!(expected.concat().contains(&255) && expected.concat().contains(&0) && expected.concat().contains(&100));
        assert_eq!(values(&salt_and_pepper(image.clone(), 0.4, 7)), expected);
        assert_ne!(values(&salt_and_pepper(image, 0.4, 8)), expected);
    }

    #[test]
    fn as_many_as_the_level_says() {
        let image = gray(&[[100; 400]; 400]);
        for level in [0.0, 0.05, 0.5, 1.0] {
            let noisy = values(&salt_and_pepper(image.clone(), level, 1)).concat();
            let share = |wanted: u8| noisy.iter().filter(|&&value| value == wanted).count() as f32 / noisy.len() as f32;
            for grain in [0, 255] {
                assert!((share(grain) - level / 2.0).abs() < 0.01, "level {level}: {} of {grain}", share(grain));
            }
            assert!((share(100) - (1.0 - level)).abs() < 0.01);
        }
        assert_eq!(salt_and_pepper(image.clone(), 0.0, 1), image);
        assert_eq!(salt_and_pepper(image.clone(), f32::NAN, 1), image);
    }
}
