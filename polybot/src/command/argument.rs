//! What can be said beside a command's name.

/// Something that can be said beside a command's name.
#[derive(Debug, PartialEq)]
pub struct Argument {
    /// What it is.
    pub name: &'static str,
    /// What it can be.
    pub kind: Kind,
}

/// What an argument can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number.
    Whole {
        /// The smallest.
        from: u32,
        /// The largest.
        to: u32,
        /// Where none is given.
        default: u32,
    },
    /// A number.
    Fraction {
        /// The smallest.
        from: u32,
        /// The largest.
        to: u32,
        /// Where none is given.
        default: f32,
    },
    /// One of several words.
    Choice {
        /// The words.
        options: &'static [Word],
        /// Where none is given.
        default: &'static str,
    },
    /// Names of things that the detector knows, as many as there are.
    Classes,
    /// Its name, or left out.
    Flag {
        /// Other words for it.
        aliases: &'static [&'static str],
    },
}

/// A word that can be chosen.
#[derive(Debug, PartialEq)]
pub struct Word {
    /// The word.
    pub word: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
}

impl Kind {
    /// Whether any number may be its value.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Whole { .. } | Self::Fraction { .. })
    }
}
