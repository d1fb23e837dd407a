//! Conditions and filters: whether an item is as expected.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Parser, Path, Placeholders, Token};
use crate::dynamo_db::attribute::{Attribute, Item};
use crate::dynamo_db::invalid;
use crate::failure::Failure;

const KINDS: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"];

#[derive(Debug)]
pub(in crate::dynamo_db) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Operand, Comparison, Operand),
    Between(Operand, [Operand; 2]),
    In(Operand, Vec<Operand>),
    Exists(Path),
    Kind(Path, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

#[derive(Debug)]
pub(in crate::dynamo_db) enum Operand {
    Path(Path),
    Value(Attribute),
    Size(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dynamo_db) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    const ALL: [(&'static str, Self); 6] = [
        ("=", Self::Equal),
        ("<>", Self::NotEqual),
        ("<", Self::Less),
        ("<=", Self::LessOrEqual),
        (">", Self::Greater),
        (">=", Self::GreaterOrEqual),
    ];

    /// Whether two values compare so. Values of different types are not equal and have no order.
    fn holds(self, left: Option<&Attribute>, right: Option<&Attribute>) -> bool {
        let (Some(left), Some(right)) = (left, right) else {
            return self == Self::NotEqual && left.is_some() != right.is_some();
        };
        let order = (left.is_scalar() && left.kind() == right.kind()).then(|| left.cmp(right));
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => order.is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order.is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, item: &'a Item) -> Option<Cow<'a, Attribute>> {
        match self {
            Self::Path(path) => path.get(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(path) => Some(Cow::Owned(Attribute::N(path.get(item)?.size()?.into()))),
        }
    }
}

/// Whether a text, some bytes, a set or a list has this in it.
fn contains(whole: &Attribute, part: &Attribute) -> bool {
    match (whole, part) {
        (Attribute::S(whole), Attribute::S(part)) => whole.contains(part),
        (Attribute::B(whole), Attribute::B(part)) => {
            part.is_empty() || whole.windows(part.len()).any(|window| window == part)
        }
        (Attribute::Ss(set), Attribute::S(part)) => set.contains(part),
        (Attribute::Ns(set), Attribute::N(part)) => set.contains(part),
        (Attribute::Bs(set), Attribute::B(part)) => set.contains(part),
        (Attribute::L(list), part) => list.contains(part),
        _ => false,
    }
}

/// Whether a text or some bytes begin with this.
pub(in crate::dynamo_db) fn begins_with(whole: &Attribute, part: &Attribute) -> bool {
    match (whole, part) {
        (Attribute::S(whole), Attribute::S(part)) => whole.starts_with(part),
        (Attribute::B(whole), Attribute::B(part)) => whole.starts_with(part),
        _ => false,
    }
}

impl Condition {
    /// Reads a ConditionExpression.
    pub(in crate::dynamo_db) fn parse(text: &str, placeholders: &Placeholders) -> Result<Self, Failure> {
        Self::read(&mut Parser::new("ConditionExpression", text, placeholders)?)
    }

    /// Reads a FilterExpression, which may not speak of these attributes: those of the key that is queried.
    pub(in crate::dynamo_db) fn filter(
        text: &str,
        placeholders: &Placeholders,
        keys: &[&str],
    ) -> Result<Self, Failure> {
        let mut parser = Parser::new("FilterExpression", text, placeholders)?;
        let filter = Self::read(&mut parser)?;
        if let Some(key) = keys.iter().find(|key| parser.attributes.contains(**key)) {
            return Err(invalid(format!(
                "Filter Expression can only contain non-primary key attributes: Primary key attribute: {key}"
            )));
        }
        Ok(filter)
    }

    pub(super) fn read(parser: &mut Parser<'_>) -> Result<Self, Failure> {
        let condition = parser.any()?;
        parser.end()?;
        Ok(condition)
    }

    /// Whether it holds for the item; without one, for an item without attributes.
    pub(in crate::dynamo_db) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(item)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(item)),
            Self::Not(condition) => !condition.holds(item),
            Self::Compare(left, comparison, right) => {
                comparison.holds(left.value(item).as_deref(), right.value(item).as_deref())
            }
            Self::Between(value, [least, most]) => {
                let value = value.value(item);
                Comparison::GreaterOrEqual.holds(value.as_deref(), least.value(item).as_deref())
                    && Comparison::LessOrEqual.holds(value.as_deref(), most.value(item).as_deref())
            }
            Self::In(value, list) => {
                let value = value.value(item);
                list.iter().any(|one| Comparison::Equal.holds(value.as_deref(), one.value(item).as_deref()))
            }
            Self::Exists(path) => path.get(item).is_some(),
            Self::Kind(path, kind) => path.get(item).is_some_and(|value| value.kind() == kind),
            Self::BeginsWith(whole, part) => both(whole, part, item, begins_with),
            Self::Contains(whole, part) => both(whole, part, item, contains),
        }
    }
}

fn both(left: &Operand, right: &Operand, item: &Item, holds: fn(&Attribute, &Attribute) -> bool) -> bool {
    matches!((left.value(item), right.value(item)), (Some(left), Some(right)) if holds(&left, &right))
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Condition, Failure> {
        let mut any = vec![self.all()?];
        while self.takes_keyword("OR") {
            any.push(self.all()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Condition::Any(any) })
    }

    fn all(&mut self) -> Result<Condition, Failure> {
        let mut all = vec![self.condition()?];
        while self.takes_keyword("AND") {
            all.push(self.condition()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
    }

    fn condition(&mut self) -> Result<Condition, Failure> {
        if self.takes_keyword("NOT") {
            return Ok(Condition::Not(Box::new(self.deeper(Self::condition)?)));
        }
        if self.takes("(") {
            let inner = self.deeper(Self::any)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let start = self.next;
        match self.takes_function() {
            // An operand, not a condition.
            Some("size") => self.next = start,
            Some(name) => {
                let condition = self.function(name)?;
                self.expect(")")?;
                return Ok(condition);
            }
            None => {}
        }
        let left = self.operand()?;
        if self.takes_keyword("BETWEEN") {
            let least = self.operand()?;
            if !self.takes_keyword("AND") {
                return Err(self.syntax_error());
            }
            let bounds = [least, self.operand()?];
            for operand in bounds.iter().chain([&left]) {
                self.check_kind(operand, "BETWEEN", &["S", "N", "B"])?;
            }
            if let [Operand::Value(least), Operand::Value(most)] = &bounds
                && (least.kind() != most.kind() || least > most)
            {
                return Err(self.refuse(
                    "The BETWEEN operator requires upper bound to be greater than or equal to lower bound, \
                     and both of the same type",
                ));
            }
            return Ok(Condition::Between(left, bounds));
        }
        if self.takes_keyword("IN") {
            self.expect("(")?;
            let list = self.list(Self::operand)?;
            self.expect(")")?;
            return Ok(Condition::In(left, list));
        }
        let Some((sign, comparison)) = Comparison::ALL.into_iter().find(|(sign, _)| self.takes(sign)) else {
            return Err(self.syntax_error());
        };
        let right = self.operand()?;
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            self.check_kind(&left, sign, &["S", "N", "B"])?;
            self.check_kind(&right, sign, &["S", "N", "B"])?;
        }
        Ok(Condition::Compare(left, comparison, right))
    }

    fn function(&mut self, name: &str) -> Result<Condition, Failure> {
        Ok(match name {
            "attribute_exists" => Condition::Exists(self.path()?),
            "attribute_not_exists" => Condition::Not(Box::new(Condition::Exists(self.path()?))),
            "attribute_type" => {
                let path = self.path()?;
                self.expect(",")?;
                match self.value()? {
                    Some(Attribute::S(kind)) if KINDS.contains(&kind.as_str()) => Condition::Kind(path, kind),
                    _ => return Err(self.refuse("Invalid attribute type name found; it is one of S, N, B, BOOL, …")),
                }
            }
            "begins_with" | "contains" => {
                let whole = self.operand()?;
                self.expect(",")?;
                let part = self.operand()?;
                if name == "contains" {
                    Condition::Contains(whole, part)
                } else {
                    self.check_kind(&part, name, &["S", "B"])?;
                    Condition::BeginsWith(whole, part)
                }
            }
            unknown => return Err(self.refuse(format!("Invalid function name; function: {unknown}"))),
        })
    }

    fn operand(&mut self) -> Result<Operand, Failure> {
        if let Some(value) = self.value()? {
            return Ok(Operand::Value(value));
        }
        match self.takes_function() {
            Some("size") => {
                let path = self.path()?;
                self.expect(")")?;
                Ok(Operand::Size(path))
            }
            Some(name) => {
                Err(self.refuse(format!("The function is not allowed to be used this way; function: {name}")))
            }
            None if matches!(self.peek(), Some(Token::Sign("("))) => Err(self.syntax_error()),
            None => Ok(Operand::Path(self.path()?)),
        }
    }

    /// Refuses a given value that the operator can never be about.
    fn check_kind(&self, operand: &Operand, operator: &str, kinds: &[&str]) -> Result<(), Failure> {
        match operand {
            Operand::Value(value) if !kinds.contains(&value.kind()) => Err(self.refuse(format!(
                "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {}",
                value.kind()
            ))),
            _ => Ok(()),
        }
    }
}
