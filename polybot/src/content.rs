//! What a file is, by its content.

/// What it is in words, if it is not an image that can be read.
#[must_use]
pub(crate) fn not_an_image(bytes: &[u8]) -> Option<&'static str> {
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    match image::guess_format(bytes) {
        Ok(Jpeg | Png | WebP | Gif | Bmp) => return None,
        Ok(Tiff) => return Some("a TIFF image"),
        _ => {}
    }
    // ISO base media: a length, "ftyp", and the brand.
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match bytes.get(8..12).unwrap_or_default() {
            b"avif" | b"avis" => "an AVIF image",
            brand if brand.starts_with(b"hei") || brand.starts_with(b"hev") || brand.starts_with(b"mif") => {
                "a HEIC image"
            }
            _ => "a video",
        });
    }
    let start = &bytes[..bytes.len().min(1024)];
    if start.windows(4).any(|word| word.eq_ignore_ascii_case(b"<svg")) {
        return Some("an SVG drawing");
    }
    Some("a file that is no image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        assert_eq!(not_an_image(b"\xff\xd8\xff\xe0\0\x10JFIF"), None);
        assert_eq!(not_an_image(b"\0\0\0\x18ftypheic\0\0"), Some("a HEIC image"));
        assert_eq!(not_an_image(b"\0\0\0\x18ftypavif\0\0"), Some("an AVIF image"));
        assert_eq!(not_an_image(b"\0\0\0\x18ftypisom\0\0"), Some("a video"));
        assert_eq!(not_an_image(b"<?xml version=\"1.0\"?>\n<svg/>"), Some("an SVG drawing"));
        assert_eq!(not_an_image(b"II*\0"), Some("a TIFF image"));
        assert_eq!(not_an_image(b"%PDF-1.7"), Some("a file that is no image"));
        assert_eq!(not_an_image(b""), Some("a file that is no image"));
    }
}
