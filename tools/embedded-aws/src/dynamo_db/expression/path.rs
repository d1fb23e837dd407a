//! Where in an item something is: `labels[0].class`.

use std::collections::BTreeMap;
use std::fmt;

use super::{Parser, Placeholders, Token};
use crate::dynamo_db::attribute::{Attribute, Item};
use crate::failure::Failure;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// Steps from the item inwards; the first is a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dynamo_db) struct Path(pub(super) Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = |step: &Step| match step {
            Step::Name(name) => name.clone(),
            Step::Index(index) => format!("[{index}]"),
        };
        write!(f, "[{}]", self.0.iter().map(step).collect::<Vec<_>>().join(", "))
    }
}

impl Path {
    /// The attribute of the item.
    pub(in crate::dynamo_db) fn attribute(&self) -> &str {
        match self.0.first() {
            Some(Step::Name(name)) => name,
            _ => "",
        }
    }

    /// The attribute, if it is one as a whole.
    pub(super) fn whole_attribute(&self) -> Option<&str> {
        (self.0.len() == 1).then(|| self.attribute())
    }

    pub(in crate::dynamo_db) fn get<'a>(&self, item: &'a Item) -> Option<&'a Attribute> {
        let (_, inner) = self.0.split_first()?;
        inner.iter().try_fold(item.get(self.attribute())?, |value, step| match (value, step) {
            (Attribute::M(map), Step::Name(name)) => map.get(name),
            (Attribute::L(list), Step::Index(index)) => list.get(*index),
            _ => None,
        })
    }
}

impl Parser<'_> {
    pub(super) fn path(&mut self) -> Result<Path, Failure> {
        let attribute = self.name()?;
        self.attributes.insert(attribute.clone());
        let mut steps = vec![Step::Name(attribute)];
        loop {
            if self.takes(".") {
                steps.push(Step::Name(self.name()?));
            } else if self.takes("[") {
                let Some(Token::Index(digits)) = self.peek() else { return Err(self.syntax_error()) };
                let index = digits.parse::<usize>();
                steps
                    .push(Step::Index(index.map_err(|_| self.refuse("List index is not within the allowable range"))?));
                self.next += 1;
                self.expect("]")?;
            } else {
                return Ok(Path(steps));
            }
        }
    }

    /// Refuses paths of which one leads through the other, or both through the same place by a name and by an index.
    pub(super) fn check_apart<'p>(&self, paths: impl Iterator<Item = &'p Path>) -> Result<(), Failure> {
        let mut paths: Vec<_> = paths.collect();
        paths.sort_unstable();
        let mut before: Option<&Path> = None;
        for path in paths {
            // In this order, what leads through a path comes right after it.
            if let Some(other) = before {
                let differing = other.0.iter().zip(&path.0).find(|(one, other)| one != other);
                let what = match differing {
                    None => "overlap",
                    Some((Step::Name(_), Step::Index(_))) => "conflict",
                    Some(_) => "",
                };
                if !what.is_empty() {
                    return Err(self.refuse(format!(
                        "Two document paths {what} with each other; must remove or rewrite one of these paths; \
                         path one: {other}, path two: {path}"
                    )));
                }
            }
            before = Some(path);
        }
        Ok(())
    }
}

/// Reads a ProjectionExpression.
pub(in crate::dynamo_db) fn projection(text: &str, placeholders: &Placeholders) -> Result<Vec<Path>, Failure> {
    let mut parser = Parser::new("ProjectionExpression", text, placeholders)?;
    let paths = parser.list(Parser::path)?;
    parser.end()?;
    parser.check_apart(paths.iter())?;
    Ok(paths)
}

/// What of the item lies at these paths.
pub(in crate::dynamo_db) fn project<'p>(item: &Item, paths: impl IntoIterator<Item = &'p Path>) -> Item {
    pick_named(item, &paths.into_iter().map(|path| path.0.as_slice()).collect::<Vec<_>>())
}

fn pick_named(map: &Item, paths: &[&[Step]]) -> Item {
    let mut inner: BTreeMap<&String, Vec<&[Step]>> = BTreeMap::new();
    for path in paths {
        if let [Step::Name(name), rest @ ..] = path {
            inner.entry(name).or_default().push(rest);
        }
    }
    inner.into_iter().filter_map(|(name, paths)| Some((name.clone(), pick(map.get(name)?, &paths)?))).collect()
}

fn pick(value: &Attribute, paths: &[&[Step]]) -> Option<Attribute> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    match value {
        Attribute::M(map) => Some(pick_named(map, paths)).filter(|map| !map.is_empty()).map(Attribute::M),
        Attribute::L(list) => {
            let mut inner: BTreeMap<usize, Vec<&[Step]>> = BTreeMap::new();
            for path in paths {
                if let [Step::Index(index), rest @ ..] = path {
                    inner.entry(*index).or_default().push(rest);
                }
            }
            let picked: Vec<_> =
                inner.into_iter().filter_map(|(index, paths)| pick(list.get(index)?, &paths)).collect();
            Some(picked).filter(|list| !list.is_empty()).map(Attribute::L)
        }
        _ => None,
    }
}
