//! A command: its names, its arguments and what it means.

use super::Command;
use super::argument::Argument;
use super::caption_error::CaptionError;
use super::given::Given;
use super::words::is_name;

/// A command.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What can be said beside its name, in any order.
    pub arguments: &'static [Argument],
    /// What it does, in one line.
    pub description: &'static str,
    /// A caption, and what it means.
    pub example: (&'static str, Command),
    /// What it means with these arguments.
    pub(super) command: fn(&Given) -> Result<Command, CaptionError>,
}

impl Entry {
    /// Its name, then the others.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether words joined without anything between them are one of its names.
    pub(super) fn is_called(&self, joined: &str) -> bool {
        self.names().any(|name| is_name(joined, name))
    }
}
