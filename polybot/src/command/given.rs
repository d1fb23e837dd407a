//! The arguments that a caption gives.

use super::caption_error::CaptionError;
use super::classes::Classes;
use super::table::{Argument, Entry, Kind};
use super::usage;
use super::words::{is_filler, is_name, longest, number};
use crate::reply::short;

/// The arguments that a caption gives to its command, by their place in the table.
#[derive(Debug)]
pub(super) struct Given {
    entry: &'static Entry,
    values: Vec<Option<Value>>,
}

/// One argument, and how it was written.
#[derive(Clone, Debug)]
struct Value {
    meaning: Meaning,
    written: String,
}

#[derive(Clone, Copy, Debug)]
enum Meaning {
    Number(f64),
    Choice(&'static str),
    Classes(Classes),
    Flag,
}

impl Given {
    /// Read the words beside the command's name.
    pub(super) fn read(entry: &'static Entry, words: &[&str]) -> Result<Self, CaptionError> {
        let mut given = Self { entry, values: vec![None; entry.arguments.len()] };
        let mut left = words;
        while let [word, others @ ..] = left {
            if let Some(((place, meaning), after)) = longest(left, |joined| chosen(entry, joined)) {
                given.put(place, meaning, &left[..left.len() - after.len()].join(" "))?;
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
                let given = short(&left_with_it[..left_with_it.len() - after.len()].join(" "));
                return Err(CaptionError::NoSuchThing { command: entry.name, near, given });
            }
            let place = place.ok_or_else(|| not_understood(entry, word))?;
            given.put(place, Meaning::Number(ranged(entry, &entry.arguments[place], word)?), word)?;
        }
        Ok(given)
    }

    fn put(&mut self, place: usize, meaning: Meaning, written: &str) -> Result<(), CaptionError> {
        let written = short(written);
        if let (Meaning::Classes(more), Some(Meaning::Classes(before))) = (meaning, self.meaning(place)) {
            self.values[place] = Some(Value { meaning: Meaning::Classes(before.and(more)), written });
            return Ok(());
        }
        match &self.values[place] {
            // To ask twice for the same thing is no contradiction where there is only one thing to ask for.
            Some(first) if !matches!(meaning, Meaning::Flag) => Err(CaptionError::Twice {
                command: self.entry.name,
                argument: self.entry.arguments[place].name,
                first: first.written.clone(),
                second: written,
            }),
            _ => {
                self.values[place] = Some(Value { meaning, written });
                Ok(())
            }
        }
    }

    fn meaning(&self, place: usize) -> Option<Meaning> {
        self.values.get(place)?.as_ref().map(|value| value.meaning)
    }

    /// A whole number, or its default.
    pub(super) fn whole(&self, place: usize) -> u32 {
        self.fraction(place) as u32
    }

    /// A number, or its default.
    pub(super) fn fraction(&self, place: usize) -> f32 {
        match (self.meaning(place), self.entry.arguments[place].kind) {
            (Some(Meaning::Number(number)), _) => number as f32,
            (_, Kind::Whole { default, .. }) => default as f32,
            (_, Kind::Fraction { default, .. }) => default,
            (_, Kind::Choice { .. } | Kind::Flag { .. } | Kind::Classes) => 0.0,
        }
    }

    /// A whole number, if one was given.
    pub(super) fn whole_if_given(&self, place: usize) -> Option<u32> {
        match self.meaning(place) {
            Some(Meaning::Number(number)) => Some(number as u32),
            _ => None,
        }
    }

    /// What was named.
    pub(super) fn classes(&self, place: usize) -> Classes {
        match self.meaning(place) {
            Some(Meaning::Classes(classes)) => classes,
            _ => Classes::NONE,
        }
    }

    /// What was chosen, or the default.
    pub(super) fn choice(&self, place: usize) -> &'static str {
        self.chosen(place).unwrap_or(match self.entry.arguments[place].kind {
            Kind::Choice { default, .. } => default,
            _ => "",
        })
    }

    /// What was chosen, if anything was.
    pub(super) fn chosen(&self, place: usize) -> Option<&'static str> {
        match self.meaning(place) {
            Some(Meaning::Choice(word)) => Some(word),
            _ => None,
        }
    }

    /// Whether it was asked for.
    pub(super) fn flag(&self, place: usize) -> bool {
        matches!(self.meaning(place), Some(Meaning::Flag))
    }
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
    let (command, argument_name, given) = (entry.name, argument.name, short(word));
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

/// For a word that is no argument of the command.
fn not_understood(entry: &Entry, word: &str) -> CaptionError {
    let (command, given) = (entry.name, short(word));
    if entry.arguments.is_empty() {
        CaptionError::TakesNothing { command, given }
    } else {
        CaptionError::NoChoice { command, choices: usage::choices(entry), given }
    }
}
