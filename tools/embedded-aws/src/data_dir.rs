//! A folder in which S3's objects, DynamoDB's tables and SQS's messages outlive the program.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another program has it.
    #[error("the data folder {0} is in use by another program: stop that one, or choose another folder")]
    InUse(PathBuf),
    /// It can't be read or written, or its content is not ours.
    #[error("can't {tried} in the data folder {folder}")]
    Io {
        /// What was tried.
        tried: &'static str,
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The folder; while this value lives, no other program can use it.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl DataDir {
    /// Takes the folder, and makes it if it does not exist.
    pub(crate) fn take(path: &Path) -> Result<Self, DataDirError> {
        let failed = |tried| {
            let folder = path.to_owned();
            move |source| DataDirError::Io { tried, folder, source }
        };
        private_folder().create(path).map_err(failed("make a place"))?;
        let lock = File::create(path.join("lock")).map_err(failed("write"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed("take the lock")(error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a call that failed in this folder.
    pub(crate) fn error(&self, tried: &'static str, source: io::Error) -> DataDirError {
        DataDirError::Io { tried, folder: self.path.clone(), source }
    }
}

/// Makes folders, those above them included, that only their owner can look into: people's photos are in there.
fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Writes a file so that, whenever the program ends, either the whole old one or the whole new one is there.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    // The name must not reach the disk before the bytes.
    file.sync_all()?;
    std::fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_program() {
        let folder = std::env::temp_dir().join(format!("embedded-aws-{}", uuid::Uuid::now_v7()));
        let first = DataDir::take(&folder).expect("free");
        assert!(matches!(DataDir::take(&folder), Err(DataDirError::InUse(_))));
        drop(first);
        DataDir::take(&folder).expect("free again");
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = std::env::temp_dir().join(format!("embedded-aws-{}", uuid::Uuid::now_v7()));
        let taken = DataDir::take(&folder).expect("free");
        let mode = std::fs::metadata(&folder).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(taken);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
