//! An object, and how it is written in a file.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What is known of an object beside its bytes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct About {
    pub(super) key: String,
    /// Its checksum, in the quotes that it is shown in.
    pub(super) etag: String,
    pub(super) size: u64,
    /// Seconds since the epoch.
    pub(super) modified_at: i64,
    /// Those of the request's headers that come back with the object.
    pub(super) headers: BTreeMap<String, String>,
}

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub(super) about: About,
    pub(super) body: Bytes,
}

impl Object {
    pub(super) fn new(key: String, headers: BTreeMap<String, String>, body: Bytes) -> Self {
        let checksum: String = Md5::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        let about = About {
            key,
            etag: format!("\"{checksum}\""),
            size: body.len() as u64,
            modified_at: OffsetDateTime::now_utc().unix_timestamp(),
            headers,
        };
        Self { about, body }
    }

    /// One line that tells about it, then its bytes.
    pub(super) fn to_file(&self) -> io::Result<Vec<u8>> {
        let mut file = serde_json::to_vec(&self.about)?;
        file.push(b'\n');
        file.extend_from_slice(&self.body);
        Ok(file)
    }

    pub(super) fn from_file(file: &Bytes) -> io::Result<Self> {
        let Some(end) = file.iter().position(|byte| *byte == b'\n') else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no line that tells about the object"));
        };
        Ok(Self { about: serde_json::from_slice(&file[..end])?, body: file.slice(end + 1..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_all_of_it() {
        let headers = BTreeMap::from([("content-type".to_owned(), "image/jpeg".to_owned())]);
        let object = Object::new("images/ü\n.jpg".to_owned(), headers, Bytes::from_static(b"two\nlines"));
        let file = Bytes::from(object.to_file().expect("a file"));
        assert_eq!(Object::from_file(&file).expect("an object"), object);
        assert!(Object::from_file(&Bytes::from_static(b"nothing")).is_err());
    }
}
