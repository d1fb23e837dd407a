//! Why a caption is not a command.

use super::argument::Argument;

/// Why a caption is not a command. [`reply`](crate::reply) makes the sentence of it.
#[derive(Clone, Debug, PartialEq)]
pub enum CaptionError {
    /// No command is named, but one has a similar name.
    Misspelt {
        /// What was written.
        caption: String,
        /// The name that is most like it.
        nearest: &'static str,
    },
    /// No command is named.
    Unknown {
        /// What was written.
        caption: String,
    },
    /// Two commands are named.
    OneAtATime {
        /// The one that was named first.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A number that is too small or too large.
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
    NoChoice {
        /// The command.
        command: &'static str,
        /// All that it takes.
        arguments: &'static [Argument],
        /// What was written.
        given: String,
    },
    /// The name of a thing that the models do not find, but something like it.
    NoSuchThing {
        /// The command.
        command: &'static str,
        /// A thing that they find.
        near: &'static str,
        /// What was written.
        given: String,
    },
    /// One argument twice, the same or another.
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
    TakesNothing {
        /// The command.
        command: &'static str,
        /// What was written.
        given: String,
    },
    /// Photos in a row with an order for a column, or the other way round.
    Contradiction {
        /// Horizontal or vertical.
        direction: &'static str,
        /// The orders that it can have.
        orders: &'static str,
        /// The order that was written.
        given: &'static str,
    },
}
