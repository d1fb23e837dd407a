//! The files that people and the bot sent.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;

use bytes::Bytes;
use image::{ImageFormat, ImageReader};

use crate::message::{AttachmentKind, FileRef, PhotoSize};

/// The largest file that a bot may download.
pub(crate) const MAX_DOWNLOAD: usize = 20 * 1024 * 1024;
/// The largest photo that a bot may send.
pub(crate) const MAX_PHOTO: usize = 10 * 1024 * 1024;
/// The largest file of any kind that a bot may send.
pub(crate) const MAX_UPLOAD: usize = 50 * 1024 * 1024;

/// The longer sides of the smaller copies that Telegram makes of a photo.
const SMALLER_SIDES: [u32; 3] = [90, 320, 800];

#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    pub(crate) reference: FileRef,
    pub(crate) kind: AttachmentKind,
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
    /// A smaller copy of a photo: made when it is fetched, as a flood of photos would spend its time on copies that
    /// nobody looks at.
    pub(crate) scaled_to: Option<(u32, u32)>,
    pub(crate) name: Option<String>,
    pub(crate) mime: String,
    /// Every size of a photo, so that the bot can send it again by its id.
    pub(crate) sizes: Vec<PhotoSize>,
}

impl StoredFile {
    /// The content to serve. A copy that can't be made (not an image after all) is the original.
    pub(crate) fn render(&self) -> Bytes {
        let Some((width, height)) = self.scaled_to else { return self.bytes.clone() };
        let mut copy = Cursor::new(Vec::new());
        let made = image::load_from_memory(&self.bytes).and_then(|original| {
            original.thumbnail_exact(width, height).to_rgb8().write_to(&mut copy, ImageFormat::Jpeg)
        });
        made.map_or_else(|_| self.bytes.clone(), |()| copy.into_inner().into())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Files {
    by_id: HashMap<String, StoredFile>,
    id_by_path: HashMap<String, String>,
    /// Equal contents are kept once, as a flood sends the same photo again and again.
    contents: HashMap<u64, Vec<Bytes>>,
    count: u64,
}

impl Files {
    pub(crate) fn get(&self, id: &str) -> Option<&StoredFile> {
        self.by_id.get(id)
    }

    pub(crate) fn at_path(&self, path: &str) -> Option<&StoredFile> {
        self.by_id.get(self.id_by_path.get(path)?)
    }

    /// Keeps a photo with its smaller copies, smallest first. The largest stays byte for byte as it was sent (the real
    /// Telegram recompresses), so that what comes out of the fleet can be compared with what went in.
    pub(crate) fn add_photo(&mut self, bytes: Bytes, (width, height): (u32, u32)) -> Vec<PhotoSize> {
        let bytes = self.intern(bytes);
        let longer = width.max(height).max(1);
        let mut sizes = Vec::new();
        for side in SMALLER_SIDES.into_iter().filter(|side| *side < longer) {
            let scale = |length: u32| ((u64::from(length) * u64::from(side) / u64::from(longer)) as u32).max(1);
            let (width, height) = (scale(width), scale(height));
            let estimate = (width as usize * height as usize / 6).max(500);
            let file = self.keep(AttachmentKind::Photo, &bytes, Some((width, height)), estimate, None, "image/jpeg");
            sizes.push(PhotoSize { file, width, height });
        }
        let mime = mime_type(None, &bytes);
        let file = self.keep(AttachmentKind::Photo, &bytes, None, bytes.len(), None, mime);
        sizes.push(PhotoSize { file, width, height });
        for size in &sizes {
            if let Some(stored) = self.by_id.get_mut(&size.file.id) {
                stored.sizes.clone_from(&sizes);
            }
        }
        sizes
    }

    pub(crate) fn add(&mut self, kind: AttachmentKind, bytes: Bytes, name: Option<&str>) -> (FileRef, String) {
        let bytes = self.intern(bytes);
        let mime = mime_type(name, &bytes);
        (self.keep(kind, &bytes, None, bytes.len(), name, mime), mime.to_owned())
    }

    fn keep(
        &mut self,
        kind: AttachmentKind,
        bytes: &Bytes,
        scaled_to: Option<(u32, u32)>,
        size: usize,
        name: Option<&str>,
        mime: &str,
    ) -> FileRef {
        self.count += 1;
        let number = self.count;
        let letter = match kind {
            AttachmentKind::Photo => "AgAC",
            AttachmentKind::Document => "BQAC",
            AttachmentKind::Sticker => "CAAC",
            AttachmentKind::Voice => "AwAC",
            AttachmentKind::Video => "BAAC",
        };
        let id = format!("{letter}Sandbox{number:08}");
        let unique_id = format!("{letter}{:016x}", fingerprint(&(bytes, scaled_to)));
        let extension = extension(mime);
        let path = match kind {
            AttachmentKind::Photo => format!("photos/file_{number}.jpg"),
            AttachmentKind::Document => format!("documents/file_{number}{extension}"),
            AttachmentKind::Sticker => format!("stickers/file_{number}.webp"),
            AttachmentKind::Voice => format!("voice/file_{number}.oga"),
            AttachmentKind::Video => format!("videos/file_{number}.mp4"),
        };
        let reference = FileRef { id: id.clone(), unique_id, size };
        let stored = StoredFile {
            reference: reference.clone(),
            kind,
            path: path.clone(),
            bytes: bytes.clone(),
            scaled_to,
            name: name.map(str::to_owned),
            mime: mime.to_owned(),
            sizes: Vec::new(),
        };
        self.by_id.insert(id.clone(), stored);
        self.id_by_path.insert(path, id);
        reference
    }

    fn intern(&mut self, bytes: Bytes) -> Bytes {
        let alike = self.contents.entry(fingerprint(&bytes)).or_default();
        if let Some(known) = alike.iter().find(|known| **known == bytes) {
            return known.clone();
        }
        alike.push(bytes.clone());
        bytes
    }
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Width and height, read from the header alone.
pub(crate) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?.into_dimensions().ok()
}

/// The type a sender's app would claim: by name first (so that a test can send a file that only claims to be HEIC), else by
/// content.
fn mime_type(name: Option<&str>, bytes: &[u8]) -> &'static str {
    let extension = name.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg") => return "image/jpeg",
        Some("png") => return "image/png",
        Some("webp") => return "image/webp",
        Some("gif") => return "image/gif",
        Some("bmp") => return "image/bmp",
        Some("tif" | "tiff") => return "image/tiff",
        Some("heic") => return "image/heic",
        Some("heif") => return "image/heif",
        Some("avif") => return "image/avif",
        Some("svg") => return "image/svg+xml",
        Some("pdf") => return "application/pdf",
        Some("txt") => return "text/plain",
        Some("zip") => return "application/zip",
        Some("mp4") => return "video/mp4",
        _ => {}
    }
    image::guess_format(bytes).map_or("application/octet-stream", |format| format.to_mime_type())
}

fn extension(mime: &str) -> &'static str {
    match mime {
        "image/jpeg" => ".jpg",
        "image/png" => ".png",
        "image/webp" => ".webp",
        "image/gif" => ".gif",
        "image/bmp" => ".bmp",
        "image/tiff" => ".tiff",
        "image/heic" => ".heic",
        "image/heif" => ".heif",
        "image/avif" => ".avif",
        "image/svg+xml" => ".svg",
        "application/pdf" => ".pdf",
        "application/zip" => ".zip",
        "text/plain" => ".txt",
        "video/mp4" => ".mp4",
        _ => "",
    }
}
