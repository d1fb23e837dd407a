//! Why the lab can't answer.

use std::path::{Path, PathBuf};

use load::LoadError;

/// Why the lab can't answer.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A load makes no sense.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error("can't write {}: {source}", path.display())]
    Writing {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl LabError {
    pub(crate) fn setting(sentence: impl Into<String>) -> Self {
        Self::Setting(sentence.into())
    }

    pub(crate) fn reading(path: &Path, source: std::io::Error) -> Self {
        Self::Reading { path: path.to_owned(), source }
    }
}
