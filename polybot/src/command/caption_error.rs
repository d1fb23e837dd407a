//! Why a caption is no command.

use thiserror::Error;

use super::nearest::nearest;
use super::{Entry, usage};
use crate::reply::short;

/// Why a caption is no command; a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CaptionError {
    /// No command is named, but one has a similar name.
    #[error("I do not know what to do with \"{caption}\". Did you mean \"{nearest}\"?")]
    Misspelt {
        /// What was written, cut where it is long.
        caption: String,
        /// The name that is most like it.
        nearest: &'static str,
    },
    /// No command is named.
    #[error("I do not know what to do with \"{caption}\". I know these captions: {}.", usage::names())]
    Unknown {
        /// What was written, cut where it is long.
        caption: String,
    },
    /// Two commands are named.
    #[error("I can do one thing at a time: \"{first}\" or \"{second}\", not both.")]
    OneAtATime {
        /// The one that was named first.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A number that is too small or too large.
    #[error("The {argument} of \"{command}\" goes from {from} to {to}; {given} is outside.")]
    OutOfRange {
        /// The command.
        command: &'static str,
        /// What the number is.
        argument: &'static str,
        /// The smallest that is taken.
        from: u32,
        /// The largest that is taken.
        to: u32,
        /// What was written.
        given: String,
    },
    /// A whole number is needed.
    #[error("The {argument} of \"{command}\" is a whole number from {from} to {to}, not \"{given}\".")]
    NotWhole {
        /// The command.
        command: &'static str,
        /// What the number is.
        argument: &'static str,
        /// The smallest that is taken.
        from: u32,
        /// The largest that is taken.
        to: u32,
        /// What was written.
        given: String,
    },
    /// A number is needed.
    #[error("The {argument} of \"{command}\" is a number from {from} to {to}, not \"{given}\".")]
    NotANumber {
        /// The command.
        command: &'static str,
        /// What the number is.
        argument: &'static str,
        /// The smallest that is taken.
        from: u32,
        /// The largest that is taken.
        to: u32,
        /// What was written.
        given: String,
    },
    /// None of the words or numbers that can be chosen from.
    #[error("\"{command}\" can be followed by {choices}, not by \"{given}\".")]
    NoChoice {
        /// The command.
        command: &'static str,
        /// All that can be chosen.
        choices: String,
        /// What was written.
        given: String,
    },
    /// The name of a thing that the models do not find, but something like it.
    #[error("I can't find \"{given}\" in a photo. Did you mean \"{command} {near}\"?")]
    NoSuchThing {
        /// The command.
        command: &'static str,
        /// A thing that they find.
        near: &'static str,
        /// What was written.
        given: String,
    },
    /// One argument twice, be it the same or not.
    #[error("\"{command}\" takes one {argument}, and you gave two: \"{first}\" and \"{second}\".")]
    Twice {
        /// The command.
        command: &'static str,
        /// What was given twice.
        argument: &'static str,
        /// What was written first.
        first: String,
        /// What was written then.
        second: String,
    },
    /// An argument to a command that has none.
    #[error("\"{command}\" is written by itself; I do not understand \"{given}\" beside it.")]
    TakesNothing {
        /// The command.
        command: &'static str,
        /// What was written.
        given: String,
    },
    /// Photos in a row with an order for a column, or the other way round.
    #[error("\"concat {direction}\" goes {orders}, not {given}.")]
    Contradiction {
        /// Horizontal or vertical.
        direction: &'static str,
        /// The orders that it can have.
        orders: &'static str,
        /// The order that was written.
        given: &'static str,
    },
}

impl CaptionError {
    /// For a caption that names no command.
    pub(super) fn unknown(caption: &str, words: &[String]) -> Self {
        let caption = short(caption.trim());
        match nearest(words) {
            Some(&Entry { name, .. }) => Self::Misspelt { caption, nearest: name },
            None => Self::Unknown { caption },
        }
    }
}
