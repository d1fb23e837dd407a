//! What an item has to be like for a write to happen, as a value.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::AttributeValue;

use super::rendered::{Rendered, Words};

/// An attribute's name.
pub(super) type Name = Cow<'static, str>;

/// What an item has to be like for a write to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// It has this attribute.
    Exists(Name),
    /// It does not have this attribute.
    Absent(Name),
    /// This attribute compares with this value.
    Compare(Name, Comparison, AttributeValue),
    /// All of these.
    All(Vec<Condition>),
    /// One of these at least.
    Any(Vec<Condition>),
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
}

impl Comparison {
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
        }
    }
}

impl Condition {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::All(mut all) => {
                all.push(other);
                Self::All(all)
            }
            one => Self::All(vec![one, other]),
        }
    }

    /// One of the two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Any(mut any) => {
                any.push(other);
                Self::Any(any)
            }
            one => Self::Any(vec![one, other]),
        }
    }

    /// As DynamoDB wants to hear it, without an update: for a put, a filter or a query.
    #[must_use]
    pub fn rendered(&self) -> Rendered {
        let mut words = Words::default();
        let condition = Some(self.render(&mut words));
        Rendered { update: String::new(), condition, names: words.names, values: words.values }
    }

    pub(super) fn render(&self, words: &mut Words) -> String {
        let joined = |conditions: &[Self], with: &str, words: &mut Words| {
            let parts = conditions.iter().map(|condition| match condition {
                Self::All(_) | Self::Any(_) => format!("({})", condition.render(words)),
                _ => condition.render(words),
            });
            parts.collect::<Vec<_>>().join(with)
        };
        match self {
            Self::Exists(name) => format!("attribute_exists({})", words.name(name)),
            Self::Absent(name) => format!("attribute_not_exists({})", words.name(name)),
            Self::Compare(name, comparison, value) => {
                format!("{} {} {}", words.name(name), comparison.sign(), words.value(value))
            }
            Self::All(conditions) => joined(conditions, " AND ", words),
            Self::Any(conditions) => joined(conditions, " OR ", words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::KEY;

    #[test]
    fn a_condition_stands_alone() {
        let rendered = KEY.absent().rendered();
        assert_eq!(
            (rendered.update.as_str(), rendered.condition.as_deref()),
            ("", Some("attribute_not_exists(#prediction_id)"))
        );
        assert!(rendered.values.is_empty());
    }
}
