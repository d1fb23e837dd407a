//! Any bytes: decoded and letterboxed, or refused; never a crash, never more memory than the limits say.
#![no_main]

use detector::letterbox;
use libfuzzer_sys::fuzz_target;
use photo::Limits;

const SIDE: u32 = 160;

fuzz_target!(|bytes: &[u8]| {
    // Smaller than in production, so that the fuzzer is fast and meets them.
    let limits = Limits { max_bytes: 1 << 20, max_pixels: 4_000_000, max_decoder_bytes: 64 << 20 };
    let Ok(image) = photo::decode(bytes, &limits) else { return };
    assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.max_pixels);
    let mut input = vec![f32::NAN; 3 * (SIDE * SIDE) as usize];
    let _ = letterbox::fill(&image, &mut input, SIDE, SIDE);
    assert!(input.iter().all(|value| (0.0..=1.0).contains(value)));
});
