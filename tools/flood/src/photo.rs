//! What is sent.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::FloodError;

/// A photo's bytes with its format.
#[derive(Clone, Debug)]
pub struct Photo {
    /// As in the file.
    pub bytes: Bytes,
    /// Of the file's name, without the dot: what comes after the key's last dot in S3.
    pub extension: &'static str,
    /// As S3 keeps it.
    pub content_type: &'static str,
}

impl Photo {
    /// Three small JPEGs that come with the program.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let photos: [&'static [u8]; 3] = [
            include_bytes!("../photos/astronaut.jpg"),
            include_bytes!("../photos/chelsea.jpg"),
            include_bytes!("../photos/coffee.jpg"),
        ];
        photos.into_iter().filter_map(|bytes| Self::new(Bytes::from_static(bytes))).collect()
    }

    /// These bytes, if they begin as a JPEG, PNG, GIF, WebP or BMP does. Whether they can be decoded is for the fleet
    /// to find out.
    #[must_use]
    pub fn new(bytes: Bytes) -> Option<Self> {
        let (extension, content_type) = match &bytes[..] {
            [0xFF, 0xD8, 0xFF, ..] => ("jpg", "image/jpeg"),
            [0x89, b'P', b'N', b'G', ..] => ("png", "image/png"),
            [b'G', b'I', b'F', b'8', ..] => ("gif", "image/gif"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ("webp", "image/webp"),
            [b'B', b'M', ..] => ("bmp", "image/bmp"),
            _ => return None,
        };
        Some(Self { bytes, extension, content_type })
    }

    /// The photos in these files, and in these folders (not below them). In folders it skips files that are not photos.
    ///
    /// # Errors
    /// If a path can't be read, a named file is not a photo, or there are no photos at all.
    pub fn read(paths: &[PathBuf]) -> Result<Vec<Self>, FloodError> {
        let mut photos = Vec::new();
        for path in paths {
            if path.is_dir() {
                photos.extend(read_folder(path)?);
            } else {
                let bytes = std::fs::read(path).map_err(|error| FloodError::reading(path, error))?;
                photos.push(Self::new(bytes.into()).ok_or_else(|| FloodError::NoPhoto { path: path.clone() })?);
            }
        }
        if photos.is_empty() { Err(FloodError::NoPhotos { paths: paths.to_vec() }) } else { Ok(photos) }
    }
}

fn read_folder(folder: &Path) -> Result<Vec<Photo>, FloodError> {
    let failed = |error| FloodError::reading(folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    // Folders list their files in any order.
    files.sort();
    let mut photos = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = std::fs::read(file).map_err(|error| FloodError::reading(file, error))?;
        photos.extend(Photo::new(bytes.into()));
    }
    Ok(photos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_samples() {
        let samples = Photo::samples();
        assert_eq!(samples.len(), 3);
        assert!(samples.iter().all(|photo| photo.extension == "jpg" && photo.bytes.len() > 1000));
    }

    #[test]
    fn a_folder_gives_its_photos_and_a_file_must_be_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("photos");
        assert_eq!(Photo::read(std::slice::from_ref(&folder)).expect("photos").len(), 3);
        let readme = folder.join("README.md");
        let error = Photo::read(std::slice::from_ref(&readme)).expect_err("a text").to_string();
        assert!(error.contains("README.md") && error.contains("JPEG"), "{error}");
        let error = Photo::read(&[folder.join("missing.jpg")]).expect_err("missing").to_string();
        assert!(error.contains("missing.jpg"), "{error}");
    }
}
