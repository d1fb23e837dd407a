//! Detections made unrecognisable in the photo, or the photo cut down to them.

use image::{GenericImageView as _, Rgb, RgbImage};

use crate::Detection;

/// The most blocks on the shorter side of a box, if the caller does not give their size.
const BLOCKS: u32 = 6;
/// No block is smaller, in pixels.
const SMALLEST_BLOCK: u32 = 8;
/// The margin around the detections when the photo is cut down to them, as a share of the area's size.
const MARGIN: f32 = 0.04;

/// A box in whole pixels, within the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// Blurs the detections: each box becomes blocks of `block` pixels, each of its mean colour. The pixels within a block can't be
/// recovered.
pub fn blur(image: &mut RgbImage, detections: &[Detection], block: Option<u32>) {
    for detection in detections {
        let Some(area) = area(image, [detection], 0.0) else { continue };
        let by_size = (area.width.min(area.height) / BLOCKS).max(SMALLEST_BLOCK);
        let block = block.map_or(by_size, |block| block.max(2));
        for top in (area.top..area.top + area.height).step_by(block as usize) {
            for left in (area.left..area.left + area.width).step_by(block as usize) {
                let width = block.min(area.left + area.width - left);
                let height = block.min(area.top + area.height - top);
                let mean = mean(image, Area { left, top, width, height });
                for y in top..top + height {
                    for x in left..left + width {
                        image.put_pixel(x, y, mean);
                    }
                }
            }
        }
    }
}

/// Cuts the photo down to the smallest part that holds all detections, with a margin. Returns the whole photo if there are no
/// detections.
#[must_use]
pub fn crop(image: RgbImage, detections: &[Detection]) -> RgbImage {
    match area(&image, detections, MARGIN) {
        Some(Area { left, top, width, height }) => image.view(left, top, width, height).to_image(),
        None => image,
    }
}

/// The smallest area that holds all the boxes; `None` if it has no pixels.
fn area<'a>(image: &RgbImage, detections: impl IntoIterator<Item = &'a Detection>, margin: f32) -> Option<Area> {
    let boxes = detections.into_iter().map(|detection| detection.bounding_box);
    let all = boxes.reduce(|mut all, one| {
        all.left = all.left.min(one.left);
        all.top = all.top.min(one.top);
        all.right = all.right.max(one.right);
        all.bottom = all.bottom.max(one.bottom);
        all
    })?;
    let (across, down) = (all.width() * margin, all.height() * margin);
    let edge = |value: f32, most: u32| (value.max(0.0) as u32).min(most);
    let (left, top) =
        (edge((all.left - across).floor(), image.width()), edge((all.top - down).floor(), image.height()));
    let right = edge((all.right + across).ceil(), image.width());
    let bottom = edge((all.bottom + down).ceil(), image.height());
    (right > left && bottom > top).then(|| Area { left, top, width: right - left, height: bottom - top })
}

fn mean(image: &RgbImage, area: Area) -> Rgb<u8> {
    let mut sums = [0_u64; 3];
    for y in area.top..area.top + area.height {
        for x in area.left..area.left + area.width {
            let pixel = image.get_pixel(x, y);
            for (sum, value) in sums.iter_mut().zip(pixel.0) {
                *sum += u64::from(value);
            }
        }
    }
    let count = u64::from(area.width) * u64::from(area.height);
    Rgb(sums.map(|sum| ((sum + count / 2) / count) as u8))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::BoundingBox;

    fn found(left: f32, top: f32, right: f32, bottom: f32) -> Detection {
        let bounding_box = BoundingBox { left, top, right, bottom };
        Detection { class_id: 0, class: Arc::from("person"), confidence: 0.9, bounding_box }
    }

    fn chequered() -> RgbImage {
        RgbImage::from_fn(100, 80, |x, y| if (x + y) % 2 == 0 { Rgb([0, 0, 0]) } else { Rgb([255, 255, 255]) })
    }

    #[test]
    fn what_is_in_the_box_is_gone_and_nothing_else() {
        let mut image = chequered();
        // Partly outside.
        blur(&mut image, &[found(60.0, 50.0, 140.0, 70.0)], None);
        let original = chequered();
        for (x, y, pixel) in image.enumerate_pixels() {
            if x >= 60 && (50..70).contains(&y) {
                assert!((120..=135).contains(&pixel[0]), "{x} {y} {pixel:?}");
            } else {
                assert_eq!(pixel, original.get_pixel(x, y), "{x} {y}");
            }
        }
        // A box without an area, or outside, changes nothing.
        let mut image = chequered();
        blur(&mut image, &[found(10.0, 10.0, 10.0, 40.0), found(200.0, 0.0, 300.0, 50.0)], Some(5));
        assert!(image == original);
    }

    #[test]
    fn the_photo_is_cut_down_to_all_that_was_found() {
        let boxes = [found(10.0, 20.0, 30.0, 40.0), found(50.0, 30.0, 60.0, 70.0)];
        assert_eq!(crop(chequered(), &boxes).dimensions(), (54, 54));
        assert_eq!(crop(chequered(), &[]).dimensions(), (100, 80));
        assert_eq!(crop(chequered(), &[found(-50.0, -50.0, 500.0, 500.0)]).dimensions(), (100, 80));
    }
}
