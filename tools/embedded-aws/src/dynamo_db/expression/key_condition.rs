//! Which part of a table or an index a query is about.

use std::collections::Bound;

use super::condition::{Comparison, Condition, Operand, begins_with};
use super::{Parser, Placeholders};
use crate::dynamo_db::attribute::Attribute;
use crate::dynamo_db::invalid;
use crate::dynamo_db::schema::{Key, Keys};
use crate::failure::Failure;

/// One partition, and which of its sort keys.
#[derive(Debug)]
pub(in crate::dynamo_db) struct KeyCondition {
    pub(in crate::dynamo_db) partition: Attribute,
    pub(in crate::dynamo_db) sort: SortCondition,
}

#[derive(Debug)]
pub(in crate::dynamo_db) struct SortCondition {
    pub(in crate::dynamo_db) from: Bound<Attribute>,
    pub(in crate::dynamo_db) to: Bound<Attribute>,
    /// What it has to begin with.
    pub(in crate::dynamo_db) prefix: Option<Attribute>,
}

impl SortCondition {
    fn new(from: Bound<Attribute>, to: Bound<Attribute>) -> Self {
        Self { from, to, prefix: None }
    }

    /// Whether a key within the bounds begins as it has to.
    pub(in crate::dynamo_db) fn has_prefix(&self, sort: Option<&Attribute>) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| sort.is_some_and(|sort| begins_with(sort, prefix)))
    }
}

impl KeyCondition {
    /// Reads a KeyConditionExpression for a table or index with these keys.
    pub(in crate::dynamo_db) fn parse(text: &str, placeholders: &Placeholders, keys: &Keys) -> Result<Self, Failure> {
        let mut parser = Parser::new("KeyConditionExpression", text, placeholders)?;
        let conditions = match Condition::read(&mut parser)? {
            Condition::All(all) => all,
            one => vec![one],
        };
        let (mut partition, mut sort) = (None, None);
        for condition in conditions {
            let (path, condition) = match condition {
                Condition::Compare(Operand::Path(path), comparison, Operand::Value(value)) => {
                    (path, compared(comparison, value)?)
                }
                Condition::Between(Operand::Path(path), [Operand::Value(least), Operand::Value(most)]) => {
                    (path, SortCondition::new(Bound::Included(least), Bound::Included(most)))
                }
                Condition::BeginsWith(Operand::Path(path), Operand::Value(prefix)) => {
                    let from = Bound::Included(prefix.clone());
                    (path, SortCondition { from, to: Bound::Unbounded, prefix: Some(prefix) })
                }
                _ => return Err(unsupported()),
            };
            let Some(name) = path.whole_attribute() else { return Err(unsupported()) };
            let (key, place) = match &keys.sort {
                _ if name == keys.partition.name => (&keys.partition, &mut partition),
                Some(key) if name == key.name => (key, &mut sort),
                _ => return Err(unsupported()),
            };
            if place.is_some() {
                return Err(parser.refuse("KeyConditionExpressions must only contain one condition per key"));
            }
            *place = Some(check(condition, key)?);
        }
        match partition {
            Some(SortCondition { from: Bound::Included(partition), to: Bound::Included(same), prefix: None })
                if partition == same =>
            {
                let sort = sort.unwrap_or(SortCondition::new(Bound::Unbounded, Bound::Unbounded));
                Ok(Self { partition, sort })
            }
            Some(_) => Err(unsupported()),
            None => {
                let name = &keys.partition.name;
                Err(invalid(format!("Query condition missed key schema element: {name}")))
            }
        }
    }
}

fn unsupported() -> Failure {
    invalid(
        "Query key condition not supported: it is an equality for the partition key, \
         and may have one comparison with a value for the sort key",
    )
}

fn compared(comparison: Comparison, value: Attribute) -> Result<SortCondition, Failure> {
    let (from, to) = match comparison {
        Comparison::Equal => (Bound::Included(value.clone()), Bound::Included(value)),
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(value)),
        Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(value)),
        Comparison::Greater => (Bound::Excluded(value), Bound::Unbounded),
        Comparison::GreaterOrEqual => (Bound::Included(value), Bound::Unbounded),
        Comparison::NotEqual => return Err(unsupported()),
    };
    Ok(SortCondition::new(from, to))
}

/// The condition, if its values can be values of the key.
fn check(condition: SortCondition, key: &Key) -> Result<SortCondition, Failure> {
    for bound in [&condition.from, &condition.to] {
        if let Bound::Included(value) | Bound::Excluded(value) = bound
            && value.kind() != key.kind
        {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Condition parameter type does not match schema type: \
                 {} is {}, not {}",
                key.name,
                key.kind,
                value.kind()
            )));
        }
    }
    Ok(condition)
}
