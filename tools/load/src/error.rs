//! Why a load is invalid.

use std::path::{Path, PathBuf};

/// Why a load is invalid.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The rates make no sense.
    #[error("{0}")]
    Shape(String),
    /// A file of rates that can't be used.
    #[error("{}: {reason}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        reason: String,
    },
    /// A file that can't be read.
    #[error("can't read {}: {source}", path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl LoadError {
    pub(crate) fn reading(path: &Path, source: std::io::Error) -> Self {
        Self::Reading { path: path.to_owned(), source }
    }
}
