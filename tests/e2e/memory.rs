//! What people send costs a worker a bounded amount of memory, with the real model.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat, Rgb, RgbImage, Rgba};
use local::Options;

use crate::support::{answer, options, stack};

/// As one on a machine with four cores: four photos could be in the works at once.
const THREADS: u64 = 4;
/// What photos may take, of pixels and of files (`yolo-worker/src/memory.rs`), and what the program and the network take by
/// themselves. Four photos of fifty megapixels on their sides would be 1.2 GB.
const MOST: u64 = ((480 + 64) << 20) + (360 << 20);

/// Fifty megapixels in a file of some kilobytes.
fn huge_png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(7071, 7071, Rgb([40, 90, 160])).write_to(&mut bytes, ImageFormat::Png).expect("encode");
    bytes.into_inner()
}

/// The same as a JPEG that lies on its side: upright it is a second photo.
fn huge_jpeg_on_its_side() -> Vec<u8> {
    let mut jpeg = Vec::new();
    let pixels = vec![90; 7071 * 7071];
    JpegEncoder::new(&mut jpeg).encode(&pixels, 7071, 7071, ExtendedColorType::L8).expect("encode");
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01".to_vec();
    exif.extend_from_slice(&[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).expect("short").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// Sixteen bits a channel, so that all the memory is not enough; all that is read of it is its header, which says so.
fn too_huge_png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let small = image::ImageBuffer::from_pixel(8, 8, Rgba([0_u16; 4]));
    image::DynamicImage::ImageRgba16(small).write_to(&mut bytes, ImageFormat::Png).expect("encode");
    let mut png = bytes.into_inner();
    // The header's chunk: 4 bytes of length, its name, width, height, 5 more bytes, and their checksum.
    png[16..20].copy_from_slice(&6900_u32.to_be_bytes());
    png[20..24].copy_from_slice(&6900_u32.to_be_bytes());
    let checksum = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&checksum);
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let of_bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), of_bit))
}

/// The most memory that a process ever had, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stays_within_its_budget_whatever_comes() {
    let stack = stack(Options { settings: vec![("THREADS".into(), THREADS.to_string())], ..options() }).await;
    let worker = stack.workers[0].0.id().expect("it runs");
    let before = peak_memory(worker);
    let (png, jpeg) = (huge_png(), huge_jpeg_on_its_side());
    assert!(png.len() < 1 << 20 && jpeg.len() < 4 << 20, "{} {}", png.len(), jpeg.len());
    let mut sent = Vec::new();
    for number in 0..3 {
        for (name, file, is_read) in
            [("huge.png", png.clone(), true), ("side.jpg", jpeg.clone(), true), ("deep.png", too_huge_png(), false)]
        {
            let user = stack.telegram.user(&format!("{name} {number}"));
            let message_id = user.post_document(file, name, Some("predict"));
            sent.push((user, message_id, is_read));
        }
    }
    for (user, message_id, is_read) in &sent {
        let answer = answer(&stack, user, *message_id).await;
        if *is_read {
            assert!(answer.photo().or_else(|| answer.document()).is_some(), "{}", answer.words());
        } else {
            let refused =
                polybot::reply::failed("the image needs more memory than I have for one; please send a smaller one");
            assert_eq!(answer.words(), refused);
        }
    }
    let peak = peak_memory(worker);
    eprintln!("peak {} MB with {THREADS} threads, {} MB before", peak >> 20, before >> 20);
    assert!(peak < MOST, "{} MB", peak >> 20);
    stack.stop().await;
}
