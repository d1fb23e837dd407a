//! The arguments that a caption gives.

use super::argument::{Argument, Kind};
use super::caption_error::CaptionError;
use super::classes::Classes;

/// The arguments that a caption gives to its command, by their place in the table.
#[derive(Debug)]
pub(super) struct Given {
    arguments: &'static [Argument],
    values: Vec<Option<Value>>,
}

/// One argument, and how it was written.
#[derive(Clone, Debug)]
struct Value {
    meaning: Meaning,
    written: String,
}

/// What an argument is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    Number(f64),
    Choice(&'static str),
    Classes(Classes),
    Flag,
}

impl Given {
    /// None of these arguments.
    pub(super) fn none_of(arguments: &'static [Argument]) -> Self {
        Self { arguments, values: vec![None; arguments.len()] }
    }

    /// Give this command the argument at this place.
    ///
    /// # Errors
    /// [`CaptionError::Twice`].
    pub(super) fn put(
        &mut self,
        command: &'static str,
        place: usize,
        meaning: Meaning,
        written: &str,
    ) -> Result<(), CaptionError> {
        let written = written.to_owned();
        if let (Meaning::Classes(more), Some(Meaning::Classes(before))) = (meaning, self.meaning(place)) {
            self.values[place] = Some(Value { meaning: Meaning::Classes(before.and(more)), written });
            return Ok(());
        }
        match &self.values[place] {
            // To ask twice for the same thing is not a contradiction if there is only one thing to ask for.
            Some(first) if !matches!(meaning, Meaning::Flag) => Err(CaptionError::Twice {
                command,
                argument: self.arguments[place].name,
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
        match (self.meaning(place), self.arguments[place].kind) {
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
        self.chosen(place).unwrap_or(match self.arguments[place].kind {
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
