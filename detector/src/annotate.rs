//! Boxes and names drawn on the image, as large as the image's size calls for.

use ab_glyph::FontRef;
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_filled_rect_mut, draw_text_mut, text_size};
use imageproc::rect::Rect;

use crate::Detection;

/// DejaVu Sans Bold; its licence lies beside it.
const FONT: &[u8] = include_bytes!("../assets/DejaVuSans-Bold.ttf");

/// Colours that are told apart at a glance; classes beyond them share. Kelly's colours of maximum contrast
/// without black, white and grey (K. Kelly, "Twenty-two colors of maximum contrast", 1965).
const PALETTE: [Rgb<u8>; 19] = [
    Rgb([230, 25, 75]),
    Rgb([0, 130, 200]),
    Rgb([245, 130, 48]),
    Rgb([60, 180, 75]),
    Rgb([145, 30, 180]),
    Rgb([0, 150, 136]),
    Rgb([240, 50, 230]),
    Rgb([255, 195, 0]),
    Rgb([128, 0, 0]),
    Rgb([0, 0, 160]),
    Rgb([170, 110, 40]),
    Rgb([0, 190, 230]),
    Rgb([128, 128, 0]),
    Rgb([250, 140, 150]),
    Rgb([90, 60, 200]),
    Rgb([170, 220, 50]),
    Rgb([220, 160, 255]),
    Rgb([20, 90, 50]),
    Rgb([255, 90, 20]),
];

/// The colour of a class: the same on every photo.
fn colour(class_id: usize) -> Rgb<u8> {
    PALETTE[class_id % PALETTE.len()]
}

/// Black or white, whichever reads better on `background` (by its relative luminance, ITU-R BT.709).
fn text_colour(background: Rgb<u8>) -> Rgb<u8> {
    let [red, green, blue] = background.0.map(f32::from);
    if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 140.0 { Rgb([0, 0, 0]) } else { Rgb([255, 255, 255]) }
}

/// Draws a box, the class's name and the confidence in percent for each detection; the least confident first, so that the
/// best are on top. Any image size and any box is fine; what lies outside the image is not drawn.
///
/// # Panics
/// Never: the embedded font is valid.
pub fn annotate(image: &mut RgbImage, detections: &[Detection]) {
    let font = FontRef::try_from_slice(FONT).expect("the embedded font is valid");
    let mean_side = (image.width() + image.height()) as f32 / 2.0;
    let line = ((mean_side * 0.004).round() as i32).max(2);
    let text_height = (mean_side * 0.026).clamp(11.0, 160.0);
    for detection in detections.iter().rev() {
        draw_frame(image, detection, line);
    }
    for detection in detections.iter().rev() {
        draw_name(image, detection, line, text_height, &font);
    }
}

fn draw_frame(image: &mut RgbImage, detection: &Detection, line: i32) {
    let colour = colour(detection.class_id);
    let (left, top, right, bottom) = edges(image, detection);
    let (width, height) = (right - left, bottom - top);
    let sides = [
        (left, top, width, line.min(height)),
        (left, bottom - line.min(height), width, line.min(height)),
        (left, top, line.min(width), height),
        (right - line.min(width), top, line.min(width), height),
    ];
    for (x, y, width, height) in sides {
        fill(image, x, y, width, height, colour);
    }
}

fn draw_name(image: &mut RgbImage, detection: &Detection, line: i32, text_height: f32, font: &FontRef<'_>) {
    let colour = colour(detection.class_id);
    let text = format!("{} {:.0} %", detection.class, detection.confidence * 100.0);
    let (text_width, _) = text_size(text_height, font, &text);
    let padding = (text_height * 0.25) as i32;
    let width = text_width as i32 + 2 * padding;
    let height = text_height as i32 + padding;
    let (left, top, _, _) = edges(image, detection);
    // Above the box, or inside it if there is no room above; moved left where the image ends.
    let x = left.min(image.width() as i32 - width).max(0);
    let y = if top >= height - line { top - height + line } else { top };
    fill(image, x, y, width, height, colour);
    draw_text_mut(image, text_colour(colour), x + padding, y + padding / 2, text_height, font, &text);
}

/// The box in whole pixels, inside the image, at least one pixel in size.
fn edges(image: &RgbImage, detection: &Detection) -> (i32, i32, i32, i32) {
    let (width, height) = (image.width() as i32, image.height() as i32);
    let bounding_box = &detection.bounding_box;
    let left = (bounding_box.left.round() as i32).clamp(0, width - 1);
    let top = (bounding_box.top.round() as i32).clamp(0, height - 1);
    let right = (bounding_box.right.round() as i32).clamp(left + 1, width);
    let bottom = (bounding_box.bottom.round() as i32).clamp(top + 1, height);
    (left, top, right, bottom)
}

fn fill(image: &mut RgbImage, x: i32, y: i32, width: i32, height: i32, colour: Rgb<u8>) {
    if width > 0 && height > 0 {
        draw_filled_rect_mut(image, Rect::at(x, y).of_size(width as u32, height as u32), colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoundingBox;

    fn detection(left: f32, top: f32, right: f32, bottom: f32) -> Detection {
        let bounding_box = BoundingBox { left, top, right, bottom };
        Detection { class_id: 0, class: "person".into(), confidence: 0.87, bounding_box }
    }

    #[test]
    fn the_frame_lies_on_the_box_and_the_inside_stays() {
        let mut image = RgbImage::from_pixel(400, 400, Rgb([10, 10, 10]));
        annotate(&mut image, &[detection(100.0, 100.0, 300.0, 300.0)]);
        for (x, y) in [(100, 200), (299, 200), (200, 299), (290, 100)] {
            assert_eq!(*image.get_pixel(x, y), colour(0), "at {x}, {y}");
        }
        assert_eq!(*image.get_pixel(200, 200), Rgb([10, 10, 10]));
        assert_eq!(*image.get_pixel(310, 200), Rgb([10, 10, 10]));
        // The name's background lies above the box, with letters in it.
        let above: Vec<_> = (100..160).map(|x| *image.get_pixel(x, 94)).collect();
        assert!(above.contains(&colour(0)) && above.iter().any(|pixel| *pixel != colour(0)));
    }

    #[test]
    fn boxes_outside_degenerate_or_on_tiny_images_do_no_harm() {
        for (width, height) in [(1, 1), (2, 300), (300, 2), (40, 40)] {
            let mut image = RgbImage::new(width, height);
            annotate(
                &mut image,
                &[
                    detection(-50.0, -50.0, 1000.0, 1000.0),
                    detection(5.0, 5.0, 5.0, 5.0),
                    detection(900.0, 900.0, 950.0, 950.0),
                    detection(f32::NAN, 0.0, 10.0, 10.0),
                ],
            );
            assert_eq!(image.dimensions(), (width, height));
        }
    }

    #[test]
    fn text_reads_on_every_colour() {
        assert_eq!(text_colour(Rgb([255, 195, 0])), Rgb([0, 0, 0]));
        assert_eq!(text_colour(Rgb([0, 0, 160])), Rgb([255, 255, 255]));
    }
}
