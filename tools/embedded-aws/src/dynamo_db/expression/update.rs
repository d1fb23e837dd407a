//! What an UpdateItem makes of an item.

use super::path::Step;
use super::{Parser, Path, Placeholders};
use crate::dynamo_db::attribute::{Attribute, Item, Number};
use crate::dynamo_db::invalid;
use crate::failure::Failure;

#[derive(Debug, Default)]
pub(in crate::dynamo_db) struct Update {
    set: Vec<(Path, Sum)>,
    remove: Vec<Path>,
    add: Vec<(Path, Attribute)>,
    delete: Vec<(Path, Attribute)>,
}

/// What SET sets to.
#[derive(Debug)]
enum Sum {
    One(Term),
    Plus(Term, Term),
    Minus(Term, Term),
}

#[derive(Debug)]
enum Term {
    Path(Path),
    Value(Attribute),
    IfNotExists(Path, Box<Term>),
    ListAppend(Box<Term>, Box<Term>),
}

fn wrong_type() -> Failure {
    invalid("An operand in the update expression has an incorrect data type")
}

fn no_such_path() -> Failure {
    invalid("The document path provided in the update expression is invalid for update")
}

impl Update {
    /// Reads an UpdateExpression.
    pub(in crate::dynamo_db) fn parse(text: &str, placeholders: &Placeholders) -> Result<Self, Failure> {
        let mut parser = Parser::new("UpdateExpression", text, placeholders)?;
        let mut update = Self::default();
        while parser.peek().is_some() {
            let is_new = if parser.takes_keyword("SET") {
                std::mem::replace(&mut update.set, parser.list(Parser::assignment)?).is_empty()
            } else if parser.takes_keyword("REMOVE") {
                std::mem::replace(&mut update.remove, parser.list(Parser::path)?).is_empty()
            } else if parser.takes_keyword("ADD") {
                let add = parser.list(|parser| parser.change("ADD", &["N", "SS", "NS", "BS"]))?;
                std::mem::replace(&mut update.add, add).is_empty()
            } else if parser.takes_keyword("DELETE") {
                let delete = parser.list(|parser| parser.change("DELETE", &["SS", "NS", "BS"]))?;
                std::mem::replace(&mut update.delete, delete).is_empty()
            } else {
                return Err(parser.syntax_error());
            };
            if !is_new {
                return Err(parser.refuse("Each section can only be used once in an update expression"));
            }
        }
        parser.check_apart(update.paths())?;
        Ok(update)
    }

    /// What it changes.
    pub(in crate::dynamo_db) fn paths(&self) -> impl Iterator<Item = &Path> {
        let changed = self.add.iter().chain(&self.delete).map(|(path, _)| path);
        self.set.iter().map(|(path, _)| path).chain(&self.remove).chain(changed)
    }

    /// The item after it.
    pub(in crate::dynamo_db) fn apply(&self, old: &Item) -> Result<Item, Failure> {
        let mut new = old.clone();
        for (path, sum) in &self.set {
            put(&mut new, &path.0, sum.value(old)?)?;
        }
        for (path, value) in &self.add {
            let sum = match path.get(old) {
                Some(before) => add(before, value)?,
                None => value.clone(),
            };
            put(&mut new, &path.0, sum)?;
        }
        for (path, value) in &self.delete {
            match path.get(old).map(|before| without(before, value)) {
                Some(Ok(Some(rest))) => put(&mut new, &path.0, rest)?,
                Some(Ok(None)) => take(&mut new, &path.0)?,
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        // The last of a list first, so that the others stay where their paths find them.
        let mut remove: Vec<_> = self.remove.iter().collect();
        remove.sort_unstable();
        for path in remove.into_iter().rev() {
            take(&mut new, &path.0)?;
        }
        Ok(new)
    }
}

impl Sum {
    fn value(&self, item: &Item) -> Result<Attribute, Failure> {
        let (left, right, calculate): (_, _, fn(&Number, &Number) -> _) = match self {
            Self::One(term) => return term.value(item),
            Self::Plus(left, right) => (left, right, Number::plus),
            Self::Minus(left, right) => (left, right, Number::minus),
        };
        match (left.value(item)?, right.value(item)?) {
            (Attribute::N(left), Attribute::N(right)) => {
                calculate(&left, &right).map(Attribute::N).map_err(|error| invalid(error.to_string()))
            }
            _ => Err(wrong_type()),
        }
    }
}

impl Term {
    fn value(&self, item: &Item) -> Result<Attribute, Failure> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.get(item).cloned().ok_or_else(|| {
                invalid("The provided expression refers to an attribute that does not exist in the item")
            }),
            Self::IfNotExists(path, other) => {
                path.get(item).map_or_else(|| other.value(item), |value| Ok(value.clone()))
            }
            Self::ListAppend(first, second) => match (first.value(item)?, second.value(item)?) {
                (Attribute::L(mut list), Attribute::L(more)) => {
                    list.extend(more);
                    Ok(Attribute::L(list))
                }
                _ => Err(wrong_type()),
            },
        }
    }
}

/// What ADD makes of a value.
fn add(before: &Attribute, value: &Attribute) -> Result<Attribute, Failure> {
    Ok(match (before, value) {
        (Attribute::N(before), Attribute::N(value)) => {
            Attribute::N(before.plus(value).map_err(|error| invalid(error.to_string()))?)
        }
        (Attribute::Ss(before), Attribute::Ss(more)) => Attribute::Ss(before | more),
        (Attribute::Ns(before), Attribute::Ns(more)) => Attribute::Ns(before | more),
        (Attribute::Bs(before), Attribute::Bs(more)) => Attribute::Bs(before | more),
        _ => return Err(wrong_type()),
    })
}

/// What DELETE leaves of a set; of an empty one, nothing.
fn without(before: &Attribute, value: &Attribute) -> Result<Option<Attribute>, Failure> {
    let rest = match (before, value) {
        (Attribute::Ss(before), Attribute::Ss(less)) => Attribute::Ss(before - less),
        (Attribute::Ns(before), Attribute::Ns(less)) => Attribute::Ns(before - less),
        (Attribute::Bs(before), Attribute::Bs(less)) => Attribute::Bs(before - less),
        _ => return Err(wrong_type()),
    };
    Ok(Some(rest).filter(|rest| rest.size() != Some(0)))
}

/// Puts a value where the steps lead; behind a list's end, at its end.
fn put(map: &mut Item, steps: &[Step], value: Attribute) -> Result<(), Failure> {
    match steps {
        [Step::Name(name)] => {
            map.insert(name.clone(), value);
            Ok(())
        }
        [Step::Name(name), rest @ ..] => put_into(map.get_mut(name), rest, value),
        _ => Err(no_such_path()),
    }
}

fn put_into(at: Option<&mut Attribute>, steps: &[Step], value: Attribute) -> Result<(), Failure> {
    match (at, steps) {
        (Some(Attribute::M(map)), _) => put(map, steps, value),
        (Some(Attribute::L(list)), [Step::Index(index)]) => {
            match list.get_mut(*index) {
                Some(place) => *place = value,
                None => list.push(value),
            }
            Ok(())
        }
        (Some(Attribute::L(list)), [Step::Index(index), rest @ ..]) => put_into(list.get_mut(*index), rest, value),
        _ => Err(no_such_path()),
    }
}

/// Takes away what the steps lead to, if it is there.
fn take(map: &mut Item, steps: &[Step]) -> Result<(), Failure> {
    match steps {
        [Step::Name(name)] => {
            map.remove(name);
            Ok(())
        }
        [Step::Name(name), rest @ ..] => take_from(map.get_mut(name), rest),
        _ => Err(no_such_path()),
    }
}

fn take_from(at: Option<&mut Attribute>, steps: &[Step]) -> Result<(), Failure> {
    match (at, steps) {
        (Some(Attribute::M(map)), _) => take(map, steps),
        (Some(Attribute::L(list)), [Step::Index(index)]) => {
            if *index < list.len() {
                list.remove(*index);
            }
            Ok(())
        }
        (Some(Attribute::L(list)), [Step::Index(index), rest @ ..]) => take_from(list.get_mut(*index), rest),
        _ => Err(no_such_path()),
    }
}

impl Parser<'_> {
    /// `path = sum`
    fn assignment(&mut self) -> Result<(Path, Sum), Failure> {
        let path = self.path()?;
        self.expect("=")?;
        let first = self.term()?;
        let sum = if self.takes("+") {
            Sum::Plus(first, self.term()?)
        } else if self.takes("-") {
            Sum::Minus(first, self.term()?)
        } else {
            Sum::One(first)
        };
        Ok((path, sum))
    }

    fn term(&mut self) -> Result<Term, Failure> {
        if let Some(value) = self.value()? {
            return Ok(Term::Value(value));
        }
        let Some(function) = self.takes_function() else { return Ok(Term::Path(self.path()?)) };
        let term = match function {
            "if_not_exists" => {
                let path = self.path()?;
                self.expect(",")?;
                Term::IfNotExists(path, Box::new(self.deeper(Self::term)?))
            }
            "list_append" => {
                let first = self.deeper(Self::term)?;
                self.expect(",")?;
                Term::ListAppend(Box::new(first), Box::new(self.deeper(Self::term)?))
            }
            unknown => return Err(self.refuse(format!("Invalid function name; function: {unknown}"))),
        };
        self.expect(")")?;
        Ok(term)
    }

    /// `path :value`, the value of one of these types.
    fn change(&mut self, section: &str, kinds: &[&str]) -> Result<(Path, Attribute), Failure> {
        let path = self.path()?;
        let value = self.value()?.ok_or_else(|| self.syntax_error())?;
        if !kinds.contains(&value.kind()) {
            let kind = value.kind();
            return Err(self.refuse(format!(
                "Incorrect operand type for operator or function; operator: {section}, operand type: {kind}"
            )));
        }
        Ok((path, value))
    }
}
