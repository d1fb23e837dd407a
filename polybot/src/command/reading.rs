//! Words beside a command's name to its arguments.

use super::argument::{Argument, Kind};
use super::caption_error::CaptionError;
use super::classes::Classes;
use super::entry::Entry;
use super::given::{Given, Meaning};
use super::words::{is_filler, is_name, longest, number};

/// Read the words beside the command's name.
///
/// # Errors
/// [`CaptionError`] if they are not its arguments.
pub(super) fn read(entry: &'static Entry, words: &[&str]) -> Result<Given, CaptionError> {
    let mut given = Given::none_of(entry.arguments);
    let mut left = words;
    while let [word, others @ ..] = left {
        if let Some(((place, meaning), after)) = longest(left, |joined| chosen(entry, joined)) {
            given.put(entry.name, place, meaning, &left[..left.len() - after.len()].join(" "))?;
            left = after;
            continue;
        }
        let left_with_it = left;
        left = others;
        if is_filler(word) {
            continue;
        }
        // Where things can be named, a word without a digit is meant for one of them.
        let names_things = entry.arguments.iter().any(|argument| matches!(argument.kind, Kind::Classes));
        let may_be_number = !names_things || word.contains(|c: char| c.is_numeric());
        let place = entry.arguments.iter().position(|argument| argument.kind.is_number() && may_be_number);
        if names_things
            && place.is_none()
            && let Some((near, after)) = longest(left_with_it, Classes::near)
        {
            let given = left_with_it[..left_with_it.len() - after.len()].join(" ");
            return Err(CaptionError::NoSuchThing { command: entry.name, near, given });
        }
        let place = place.ok_or_else(|| not_understood(entry, word))?;
        given.put(entry.name, place, Meaning::Number(ranged(entry, &entry.arguments[place], word)?), word)?;
    }
    Ok(given)
}

/// The argument that joined words are a choice of.
fn chosen(entry: &'static Entry, joined: &str) -> Option<(usize, Meaning)> {
    let same = |word: &str| is_name(joined, word) || number(joined).is_some_and(|given| number(word) == Some(given));
    entry.arguments.iter().enumerate().find_map(|(place, argument)| match argument.kind {
        Kind::Choice { options, .. } => {
            let option =
                options.iter().find(|option| same(option.word) || option.aliases.iter().any(|word| same(word)));
            option.map(|option| (place, Meaning::Choice(option.word)))
        }
        Kind::Flag { aliases } => {
            (same(argument.name) || aliases.iter().any(|word| same(word))).then_some((place, Meaning::Flag))
        }
        Kind::Classes => Classes::named(joined).map(|classes| (place, Meaning::Classes(classes))),
        Kind::Whole { .. } | Kind::Fraction { .. } => None,
    })
}

/// The number that a word is, if the argument can be that.
fn ranged(entry: &Entry, argument: &Argument, word: &str) -> Result<f64, CaptionError> {
    let (command, argument_name, given) = (entry.name, argument.name, word.to_owned());
    let (from, to, is_whole) = match argument.kind {
        Kind::Whole { from, to, .. } => (from, to, true),
        Kind::Fraction { from, to, .. } => (from, to, false),
        Kind::Choice { .. } | Kind::Flag { .. } | Kind::Classes => return Err(not_understood(entry, word)),
    };
    match number(word) {
        Some(number) if is_whole && (word.contains(',') || (number.is_finite() && number.fract() != 0.0)) => {
            Err(CaptionError::NotWhole { command, argument: argument_name, from, to, given })
        }
        // Four decimals are enough to tell grains apart, and keep the command short when it is written back. "-0"
        // becomes "0".
        Some(number) if (f64::from(from)..=f64::from(to)).contains(&number) => {
            Ok((number * 10_000.0).round() / 10_000.0 + 0.0)
        }
        Some(_) => Err(CaptionError::OutOfRange { command, argument: argument_name, from, to, given }),
        None if is_whole => Err(CaptionError::NotWhole { command, argument: argument_name, from, to, given }),
        None => Err(CaptionError::NotANumber { command, argument: argument_name, from, to, given }),
    }
}

/// For a word that is not an argument of the command.
fn not_understood(entry: &Entry, word: &str) -> CaptionError {
    let (command, given) = (entry.name, word.to_owned());
    if entry.arguments.is_empty() {
        CaptionError::TakesNothing { command, given }
    } else {
        CaptionError::NoChoice { command, arguments: entry.arguments, given }
    }
}
