//! The typed values that items are made of, as DynamoDB writes, orders and measures them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bigdecimal::{BigDecimal, Zero as _};
use serde::{Deserialize, Serialize};

/// An item: its attributes by name.
pub(super) type Item = BTreeMap<String, Attribute>;

/// A value. Values of the same type have DynamoDB's order; text has that of its UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub(super) enum Attribute {
    S(String),
    N(Number),
    B(Vec<u8>),
    Bool(bool),
    Null,
    Ss(BTreeSet<String>),
    Ns(BTreeSet<Number>),
    Bs(BTreeSet<Vec<u8>>),
    L(Vec<Attribute>),
    /// Last, so that an empty one comes after all that can be a key.
    M(Item),
}

/// A value as JSON has it: `{"S": "text"}`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Wire {
    S(String),
    N(String),
    B(String),
    Bool(bool),
    Null(bool),
    Ss(Vec<String>),
    Ns(Vec<String>),
    Bs(Vec<String>),
    L(Vec<Attribute>),
    M(Item),
}

/// What no attribute can be; the words are DynamoDB's.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidAttribute {
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    NoNumber(String),
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
    #[error("Attempting to store more than 38 significant digits in a Number")]
    TooPrecise,
    #[error("One or more parameter values were invalid: a binary value is not Base64: {0}")]
    NoBase64(base64::DecodeError),
    #[error("One or more parameter values were invalid: Null attribute value types must have the value of true")]
    NullIsFalse,
    #[error("One or more parameter values were invalid: a set may not be empty")]
    EmptySet,
    #[error("One or more parameter values were invalid: Input collection contains duplicates.")]
    Duplicates,
}

/// An exact decimal number of at most 38 digits, without trailing zeros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(BigDecimal);

impl Number {
    fn new(value: BigDecimal) -> Result<Self, InvalidAttribute> {
        if value.is_zero() {
            return Ok(Self(BigDecimal::zero()));
        }
        let value = value.normalized();
        let digits = value.digits() as i64;
        // The place of its first digit: 0 for 1 to 9.
        match digits - value.fractional_digit_count() - 1 {
            126.. => Err(InvalidAttribute::Overflow),
            ..-130 => Err(InvalidAttribute::Underflow),
            _ if digits > 38 => Err(InvalidAttribute::TooPrecise),
            _ => Ok(Self(value)),
        }
    }

    pub(super) fn plus(&self, other: &Self) -> Result<Self, InvalidAttribute> {
        Self::new(&self.0 + &other.0)
    }

    pub(super) fn minus(&self, other: &Self) -> Result<Self, InvalidAttribute> {
        Self::new(&self.0 - &other.0)
    }
}

impl From<usize> for Number {
    fn from(count: usize) -> Self {
        Self(BigDecimal::from(count as u64).normalized())
    }
}

impl FromStr for Number {
    type Err = InvalidAttribute;

    fn from_str(text: &str) -> Result<Self, InvalidAttribute> {
        // What `BigDecimal` takes beside digits, sign, point and exponent.
        let value = if text.contains('_') { None } else { text.parse().ok() };
        Self::new(value.ok_or_else(|| InvalidAttribute::NoNumber(text.to_owned()))?)
    }
}

/// All its digits, without an exponent, as DynamoDB returns it.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_plain_string())
    }
}

fn set<T: Ord, U>(
    values: Vec<U>,
    read: impl Fn(U) -> Result<T, InvalidAttribute>,
) -> Result<BTreeSet<T>, InvalidAttribute> {
    let count = values.len();
    let set = values.into_iter().map(read).collect::<Result<BTreeSet<_>, _>>()?;
    match set.len() {
        0 => Err(InvalidAttribute::EmptySet),
        distinct if distinct < count => Err(InvalidAttribute::Duplicates),
        _ => Ok(set),
    }
}

impl TryFrom<Wire> for Attribute {
    type Error = InvalidAttribute;

    fn try_from(wire: Wire) -> Result<Self, InvalidAttribute> {
        let bytes = |text: String| BASE64.decode(text).map_err(InvalidAttribute::NoBase64);
        Ok(match wire {
            Wire::S(text) => Self::S(text),
            Wire::N(number) => Self::N(number.parse()?),
            Wire::B(text) => Self::B(bytes(text)?),
            Wire::Bool(value) => Self::Bool(value),
            Wire::Null(true) => Self::Null,
            Wire::Null(false) => return Err(InvalidAttribute::NullIsFalse),
            Wire::Ss(texts) => Self::Ss(set(texts, Ok)?),
            Wire::Ns(numbers) => Self::Ns(set(numbers, |number| number.parse())?),
            Wire::Bs(texts) => Self::Bs(set(texts, bytes)?),
            Wire::L(values) => Self::L(values),
            Wire::M(values) => Self::M(values),
        })
    }
}

impl From<Attribute> for Wire {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::S(text) => Self::S(text),
            Attribute::N(number) => Self::N(number.to_string()),
            Attribute::B(bytes) => Self::B(BASE64.encode(bytes)),
            Attribute::Bool(value) => Self::Bool(value),
            Attribute::Null => Self::Null(true),
            Attribute::Ss(texts) => Self::Ss(texts.into_iter().collect()),
            Attribute::Ns(numbers) => Self::Ns(numbers.iter().map(Number::to_string).collect()),
            Attribute::Bs(bytes) => Self::Bs(bytes.iter().map(|bytes| BASE64.encode(bytes)).collect()),
            Attribute::L(values) => Self::L(values),
            Attribute::M(values) => Self::M(values),
        }
    }
}

impl Attribute {
    /// The name of its type, as `attribute_type` and key schemas say it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
            Self::L(_) => "L",
            Self::M(_) => "M",
        }
    }

    /// Whether it is of a type that keys can have, and that `<` orders.
    pub(super) fn is_scalar(&self) -> bool {
        matches!(self, Self::S(_) | Self::N(_) | Self::B(_))
    }

    /// Whether it is a text or bytes without any.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::S(text) if text.is_empty()) || matches!(self, Self::B(bytes) if bytes.is_empty())
    }

    /// What `size(path)` is; numbers, truth values and null have none.
    pub(super) fn size(&self) -> Option<usize> {
        Some(match self {
            Self::S(text) => text.chars().count(),
            Self::B(bytes) => bytes.len(),
            Self::Ss(set) => set.len(),
            Self::Ns(set) => set.len(),
            Self::Bs(set) => set.len(),
            Self::L(list) => list.len(),
            Self::M(map) => map.len(),
            Self::N(_) | Self::Bool(_) | Self::Null => return None,
        })
    }

    /// How many bytes it counts towards the limits of items and pages.
    pub(super) fn bytes(&self) -> usize {
        // Two digits a byte, and one for the place of the point.
        let number = |number: &Number| (number.0.digits() as usize).div_ceil(2) + 1;
        match self {
            Self::S(text) => text.len(),
            Self::N(value) => number(value),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::Ss(set) => set.iter().map(String::len).sum(),
            Self::Ns(set) => set.iter().map(number).sum(),
            Self::Bs(set) => set.iter().map(Vec::len).sum(),
            Self::L(list) => 3 + list.iter().map(|value| 1 + value.bytes()).sum::<usize>(),
            Self::M(map) => 3 + map.len() + bytes(map),
        }
    }

    /// How many lists and maps lie in one another.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::L(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::M(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// How many bytes an item counts towards the limits of items and pages.
pub(super) fn bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Attribute, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn number(text: &str) -> Number {
        text.parse().expect("a number")
    }

    #[test]
    fn values_are_written_as_they_were_read() {
        for json in [
            r#"{"S":""}"#,
            r#"{"N":"-12.5"}"#,
            r#"{"B":"AAEC/w=="}"#,
            r#"{"BOOL":false}"#,
            r#"{"NULL":true}"#,
            r#"{"SS":["a","b"]}"#,
            r#"{"NS":["-1","2","10"]}"#,
            r#"{"BS":["AA==","/w=="]}"#,
            r#"{"L":[{"M":{"a":{"L":[]},"b":{"M":{}}}}]}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(json).expect("valid")).expect("JSON"), json);
        }
    }

    #[test]
    fn numbers_are_normal_and_plain() {
        for (text, plain) in [
            ("+007.50", "7.5"),
            ("-0", "0"),
            ("0e500", "0"),
            ("1e3", "1000"),
            ("12E-4", "0.0012"),
            (".5", "0.5"),
            ("1e125", &format!("1{}", "0".repeat(125))),
            ("1e-130", &format!("0.{}1", "0".repeat(129))),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ] {
            assert_eq!(number(text).to_string(), plain);
        }
    }

    #[test]
    fn what_dynamodb_refuses_is_refused() {
        for (json, why) in [
            (r#"{"N":""}"#, "numeric"),
            (r#"{"N":"1_0"}"#, "numeric"),
            (r#"{"N":"NaN"}"#, "numeric"),
            (r#"{"N":"1e126"}"#, "overflow"),
            (r#"{"N":"1e-131"}"#, "underflow"),
            (r#"{"N":"1e999999999999"}"#, "overflow"),
            (r#"{"N":"123456789012345678901234567890123456789"}"#, "38 significant digits"),
            (r#"{"NULL":false}"#, "true"),
            (r#"{"SS":[]}"#, "empty"),
            (r#"{"NS":["1","1.0"]}"#, "duplicates"),
            (r#"{"B":"?"}"#, "Base64"),
            (r#"{"X":"?"}"#, "unknown variant"),
            (r#"{}"#, "expected"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(why), "{json}: {error}");
        }
        assert!(number("1").plus(&number("1e-38")).is_err(), "39 digits");
    }

    proptest! {
        #[test]
        fn numbers_compare_and_calculate_as_decimals(
            a in any::<i64>(), b in any::<i64>(), places in -50_i64..50, others in -50_i64..50,
        ) {
            let (a, b) = (BigDecimal::new(a.into(), places), BigDecimal::new(b.into(), others));
            let (x, y) = (number(&a.to_string()), number(&b.to_string()));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(number(&x.to_string()), x.clone());
            if let Ok(sum) = x.plus(&y) {
                prop_assert_eq!(&sum.0, &(&a + &b));
                prop_assert_eq!(sum.minus(&y).ok(), Some(x));
            }
        }
    }
}
