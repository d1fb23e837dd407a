//! The models that the project knows by name, and how each gets onto this machine.
//!
//! [`locate`] takes the `MODEL` setting (a name in `models.toml` or a path) and returns a file that exists.

mod cargo;
mod download;
mod fetch;
mod manifest;
mod progress;

use std::path::{Path, PathBuf};

use cargo::Cargo;
pub use fetch::FetchError;
pub use manifest::{Entry, Manifest, Source};
pub use progress::Progress;

/// The model used where none is named.
pub const DEFAULT: &str = "yolo12n";

/// The ONNX file for `model`: a name in `models.toml`, fetched and verified if need be, or the path of a file. Blocks;
/// `progress` is told each step in words.
///
/// # Errors
/// [`FetchError`], which says what was tried and what the reader can do.
pub fn locate(model: &str, progress: Progress<'_>) -> Result<PathBuf, FetchError> {
    locate_in(&cache_dir(), model, progress)
}

/// [`locate`], with the cache in this folder.
///
/// # Errors
/// As [`locate`].
pub fn locate_in(cache: &Path, model: &str, progress: Progress<'_>) -> Result<PathBuf, FetchError> {
    let manifest = Manifest::built_in();
    if let Some(entry) = manifest.get(model) {
        return fetch::into_cache(cache, model, entry, &Cargo::from_environment(), progress);
    }
    let path = PathBuf::from(model);
    if path.is_file() {
        return Ok(path);
    }
    Err(FetchError::Unknown { model: model.into(), known: manifest.names().collect::<Vec<_>>().join(", ") })
}

/// Where fetched models are kept: `MODEL_CACHE`, else `models/cache` of the checkout this was built from if that is
/// still there, else `polybot/models` in the user's cache folder.
#[must_use]
pub fn cache_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("MODEL_CACHE").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    if checkout.join("models.toml").is_file() {
        return checkout.join("cache");
    }
    let user_cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    user_cache.unwrap_or_else(std::env::temp_dir).join("polybot/models")
}
