//! Why a flood can't start.

use std::path::{Path, PathBuf};

use fleet::AwsError;
use load::LoadError;

/// Why a flood can't start. What goes wrong later is in the report.
#[derive(Debug, thiserror::Error)]
pub enum FloodError {
    /// More than a flood sends.
    #[error("{0}")]
    Plan(String),
    /// The rates make no sense.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file or folder that can't be read.
    #[error("can't read {}: {source}", path.display())]
    Reading {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not a photo.
    #[error("{} is not a photo: expected a JPEG, PNG, GIF, WebP or BMP file", path.display())]
    NoPhoto {
        /// The file.
        path: PathBuf,
    },
    /// There are no photos to send.
    #[error("there is no photo to send in {paths:?}; name JPEG, PNG, GIF, WebP or BMP files, or a folder with some")]
    NoPhotos {
        /// Where was looked.
        paths: Vec<PathBuf>,
    },
    /// The fleet's AWS does not answer as it should.
    #[error("the flood can't begin: {0}")]
    Aws(#[from] AwsError),
    /// The bot or Telegram does not answer as it should.
    #[error("the flood can't begin: {0}")]
    Http(String),
}

impl FloodError {
    pub(crate) fn reading(path: &Path, source: std::io::Error) -> Self {
        Self::Reading { path: path.to_owned(), source }
    }
}
