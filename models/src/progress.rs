//! How far it is.

/// Told each step in words, for example to show it.
pub type Progress<'a> = &'a dyn Fn(&str);
