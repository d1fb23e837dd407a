//! Where objects are: in memory, or each in a file of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::object::{About, Object};

/// A name that no finished object has.
const UNFINISHED: &str = "new";

/// A bucket's place in memory, or its folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shelf {
    Memory,
    Folder(PathBuf),
}

/// Where one object's bytes are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    Memory(Bytes),
    File(PathBuf),
}

impl Shelf {
    /// Put an object away. One in a file is there, whole, whatever happens afterwards.
    pub(super) fn put(&self, object: &Object) -> io::Result<Place> {
        let Self::Folder(folder) = self else { return Ok(Place::Memory(object.body.clone())) };
        let fresh = folder.join(uuid::Uuid::now_v7().to_string()).with_extension(UNFINISHED);
        let path = folder.join(file_name(&object.about.key));
        let mut file = File::create(&fresh)?;
        file.write_all(&object.to_file()?)?;
        // The name must not reach the disk before the bytes.
        file.sync_all()?;
        std::fs::rename(fresh, &path)?;
        Ok(Place::File(path))
    }

    /// What the folder holds; what was not finished is removed.
    pub(super) fn all(&self) -> io::Result<BTreeMap<String, (About, Place)>> {
        let Self::Folder(folder) = self else { return Ok(BTreeMap::new()) };
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                std::fs::remove_file(path)?;
                continue;
            }
            let about = about(&path)?;
            all.insert(about.key.clone(), (about, Place::File(path)));
        }
        Ok(all)
    }
}

impl Place {
    /// The object; `about` is what is known of it where only its bytes are kept.
    pub(super) fn get(&self, about: About) -> io::Result<Object> {
        match self {
            Self::Memory(body) => Ok(Object { about, body: body.clone() }),
            Self::File(path) => Object::from_file(&std::fs::read(path)?.into()),
        }
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(path) => std::fs::remove_file(path),
        }
    }
}

/// The first line of an object's file.
fn about(path: &Path) -> io::Result<About> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

/// A key may be longer than a file's name, and hold what that may not.
fn file_name(key: &str) -> String {
    Md5::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}
