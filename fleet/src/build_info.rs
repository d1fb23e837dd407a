//! Which program runs.

use std::fmt;

/// What a program was built from. Its `main.rs` knows and hands it down: what is asked for in a library is compiled again at
/// each commit, with all that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The release, as in `Cargo.toml`.
    pub version: &'static str,
    /// The commit in full, or `unknown`.
    pub commit: &'static str,
}

/// As `--version` tells it after the program's name.
impl fmt::Display for BuildInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (commit {})", self.version, self.commit)
    }
}
