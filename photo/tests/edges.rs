//! Photos at the edge: what is odd is read, what is too much is refused before it costs anything.

use std::io::Cursor;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use photo::{Limits, PhotoError, decode};

const CMYK_JPEG: &[u8] = include_bytes!("photos/cmyk.jpg");
const ANIMATED_GIF: &[u8] = include_bytes!("photos/animated.gif");

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).expect("encode");
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> Result<RgbImage, PhotoError> {
    decode(bytes, &Limits::default())
}

#[test]
fn sixteen_bits_become_eight() {
    let deep: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_pixel(8, 4, Rgb([65_535_u16, 32_768, 0]));
    assert_eq!(read(&png(deep)).expect("read").get_pixel(3, 2), &Rgb([255, 128, 0]));
    let grey: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_pixel(8, 4, Luma([65_535_u16]));
    assert_eq!(read(&png(grey)).expect("read").get_pixel(0, 0), &Rgb([255, 255, 255]));
}

#[test]
fn what_is_transparent_lies_on_white() {
    let read_one = |image: DynamicImage| *read(&png(image)).expect("read").get_pixel(0, 0);
    let pixel = |pixel: [u8; 4]| ImageBuffer::<Rgba<u8>, _>::from_pixel(8, 4, Rgba(pixel)).into();
    // Black on nothing, as silhouettes are drawn.
    assert_eq!(read_one(pixel([0, 0, 0, 0])), Rgb([255, 255, 255]));
    assert_eq!(read_one(pixel([0, 0, 0, 255])), Rgb([0, 0, 0]));
    assert_eq!(read_one(pixel([200, 100, 0, 128])), Rgb([227, 177, 127]));
    let grey: ImageBuffer<LumaA<u8>, _> = ImageBuffer::from_pixel(8, 4, LumaA([0, 0]));
    assert_eq!(read_one(grey.into()), Rgb([255, 255, 255]));
    let deep: ImageBuffer<Rgba<u16>, _> = ImageBuffer::from_pixel(8, 4, Rgba([0, 0, 0, 0]));
    assert_eq!(read_one(deep.into()), Rgb([255, 255, 255]));
}

#[test]
fn sentences_say_nothing_of_the_decoder() {
    let mut cut = png(RgbImage::new(40, 30));
    cut.truncate(60);
    let refused = read(&cut).expect_err("cut");
    assert_eq!(refused.to_string(), "the image can't be read: it is damaged, cut off, or of a rare kind");
    assert!(refused.detail().is_some(), "for the log");
}

#[test]
fn cmyk_is_read_in_its_colours() {
    let image = read(CMYK_JPEG).expect("read");
    assert_eq!(image.dimensions(), (16, 12));
    let &Rgb([red, green, blue]) = image.get_pixel(14, 1);
    assert!(red > 150 && green < 90 && blue < 110, "{red} {green} {blue}");
}

#[test]
fn of_an_animation_the_first_frame_counts() {
    let image = read(ANIMATED_GIF).expect("read");
    assert_eq!(image.dimensions(), (16, 12));
    assert_eq!(image.get_pixel(3, 3), &Rgb([0, 255, 0]));
}

#[test]
fn the_smallest_and_the_longest_are_read() {
    for (width, height) in [(1, 1), (20_000, 1), (1, 20_000)] {
        let image = read(&png(RgbImage::new(width, height))).expect("read");
        assert_eq!(image.dimensions(), (width, height));
    }
}

#[test]
fn every_cut_of_a_file_is_read_or_refused() {
    let image = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("encode");
        let bytes = bytes.into_inner();
        for length in 0..bytes.len() {
            if let Ok(cut) = read(&bytes[..length]) {
                assert_eq!(cut.dimensions(), (40, 30), "{format:?} cut at {length}");
            }
        }
    }
}

/// The header of a BMP of this size, without its pixels.
fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [0x7fff_ffff_u32, 0, 54, 40] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes
}

#[test]
fn absurd_sizes_are_refused_by_the_header() {
    let refused = read(&bmp_header(60_000, 60_000)).expect_err("too large");
    assert!(matches!(refused, PhotoError::TooManyPixels { width: 60_000, height: 60_000, .. }), "{refused}");
    for (width, height) in [(0, 10), (10, 0), (i32::MAX, i32::MAX), (i32::MIN, 1)] {
        read(&bmp_header(width, height)).expect_err("refused");
    }
}

#[test]
fn a_decompression_bomb_is_refused() {
    // 400 million black pixels in a file that is small enough.
    let side = 20_000;
    let bomb = png(image::GrayImage::new(side, side));
    assert!(bomb.len() < Limits::default().max_bytes, "{}", bomb.len());
    assert!(matches!(read(&bomb), Err(PhotoError::TooManyPixels { .. })));
    // Few enough pixels, but more memory than allowed.
    let limits = Limits { max_decoder_bytes: 1 << 20, ..Limits::default() };
    let heavy = png(RgbImage::new(2_000, 2_000));
    let refused = decode(&heavy, &limits).map(|_| "read").expect_err("too much memory");
    assert!(matches!(refused, PhotoError::TooMuchMemory), "{refused}");
}
