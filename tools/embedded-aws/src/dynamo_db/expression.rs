//! DynamoDB's expressions: conditions and filters, key conditions, updates and projections.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::attribute::{Attribute, Item};
use super::invalid;
use crate::failure::Failure;

mod condition;
mod key_condition;
mod path;
mod token;
mod update;

pub(super) use condition::Condition;
pub(super) use key_condition::KeyCondition;
pub(super) use path::{Path, project, projection};
use token::{Token, tokens};
pub(super) use update::Update;

/// Bytes of the longest expression.
const LONGEST: usize = 4096;
/// How deep parentheses and functions may lie in one another.
const DEEPEST: usize = 100;
/// Reserved words that the grammar itself would take for something else.
const KEYWORDS: [&str; 9] = ["AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE"];

/// What `#names` and `:values` stand for in all expressions of one request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Placeholders {
    #[serde(default)]
    expression_attribute_names: BTreeMap<String, String>,
    #[serde(default)]
    expression_attribute_values: Item,
    #[serde(skip)]
    used: RefCell<BTreeSet<String>>,
}

impl Placeholders {
    /// Refuses those that no expression used: most likely, one of the two was misspelt.
    pub(super) fn check_all_used(&self) -> Result<(), Failure> {
        let used = self.used.borrow();
        let names = ("ExpressionAttributeNames", self.expression_attribute_names.keys().collect::<Vec<_>>());
        let values = ("ExpressionAttributeValues", self.expression_attribute_values.keys().collect());
        for (parameter, all) in [names, values] {
            let unused: Vec<_> = all.into_iter().filter(|one| !used.contains(*one)).map(String::as_str).collect();
            if !unused.is_empty() {
                let unused = unused.join(", ");
                return Err(invalid(format!(
                    "Value provided in {parameter} unused in expressions: keys: {{{unused}}}"
                )));
            }
        }
        Ok(())
    }
}

/// Reads one expression.
struct Parser<'a> {
    /// The parameter that it came in.
    parameter: &'static str,
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    placeholders: &'a Placeholders,
    /// The attributes of the item that it speaks of.
    attributes: BTreeSet<String>,
}

impl<'a> Parser<'a> {
    fn new(parameter: &'static str, text: &'a str, placeholders: &'a Placeholders) -> Result<Self, Failure> {
        let mut parser =
            Self { parameter, tokens: vec![], next: 0, depth: 0, placeholders, attributes: BTreeSet::new() };
        if text.len() > LONGEST {
            return Err(parser.refuse("Expression size has exceeded the maximum allowed size"));
        }
        parser.tokens = tokens(text).map_err(|near| {
            let token = near.chars().next().unwrap_or_default();
            parser.refuse(format!("Syntax error; token: \"{token}\", near: \"{near}\""))
        })?;
        if parser.tokens.is_empty() {
            return Err(parser.refuse("The expression can not be empty;"));
        }
        Ok(parser)
    }

    fn refuse(&self, why: impl AsRef<str>) -> Failure {
        invalid(format!("Invalid {}: {}", self.parameter, why.as_ref()))
    }

    /// The next token makes no sense here.
    fn syntax_error(&self) -> Failure {
        let token = self.peek().map_or("<EOF>", Token::text);
        let near = self.tokens[self.next.saturating_sub(1)..].iter().take(3).map(|token| token.text());
        let near = near.collect::<Vec<_>>().join(" ");
        self.refuse(format!("Syntax error; token: \"{token}\", near: \"{near}\""))
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn takes(&mut self, sign: &str) -> bool {
        let takes = self.peek() == Some(Token::Sign(sign));
        self.next += usize::from(takes);
        takes
    }

    fn expect(&mut self, sign: &str) -> Result<(), Failure> {
        if self.takes(sign) { Ok(()) } else { Err(self.syntax_error()) }
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let takes = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(takes);
        takes
    }

    /// The name of a function whose call is next; it and the parenthesis are taken.
    fn takes_function(&mut self) -> Option<&'a str> {
        let (Some(Token::Word(name)), Some(Token::Sign("("))) = (self.peek(), self.tokens.get(self.next + 1)) else {
            return None;
        };
        if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name)) {
            return None;
        }
        self.next += 2;
        Some(name)
    }

    /// One or more, with commas between them.
    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
        let mut all = vec![one(self)?];
        while self.takes(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// What lies in parentheses or is negated.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.depth == DEEPEST {
            return Err(self.refuse(format!("The expression is nested deeper than {DEEPEST} levels")));
        }
        self.depth += 1;
        let inner = inner(self);
        self.depth -= 1;
        inner
    }

    /// The value that a `:value` stands for, if one is next.
    fn value(&mut self) -> Result<Option<Attribute>, Failure> {
        let Some(Token::Value(placeholder)) = self.peek() else { return Ok(None) };
        self.next += 1;
        let value = self.placeholders.expression_attribute_values.get(placeholder).ok_or_else(|| {
            let what = "An expression attribute value used in expression is not defined; attribute value:";
            self.refuse(format!("{what} {placeholder}"))
        })?;
        self.placeholders.used.borrow_mut().insert(placeholder.to_owned());
        Ok(Some(value.clone()))
    }

    fn name(&mut self) -> Result<String, Failure> {
        let name = match self.peek() {
            Some(Token::Word(word)) if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)) => {
                return Err(self.refuse(format!("Attribute name is a reserved keyword; reserved keyword: {word}")));
            }
            Some(Token::Word(word)) => word.to_owned(),
            Some(Token::Name(placeholder)) => {
                let name = self.placeholders.expression_attribute_names.get(placeholder).ok_or_else(|| {
                    let what = "An expression attribute name used in the document path is not defined; attribute name:";
                    self.refuse(format!("{what} {placeholder}"))
                })?;
                self.placeholders.used.borrow_mut().insert(placeholder.to_owned());
                name.clone()
            }
            _ => return Err(self.syntax_error()),
        };
        self.next += 1;
        Ok(name)
    }

    fn end(&self) -> Result<(), Failure> {
        if self.next == self.tokens.len() { Ok(()) } else { Err(self.syntax_error()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An item in which `text` is ":text", `n` is 5, and so on.
    fn item() -> Item {
        serde_json::from_value(json!({
            "text": { "S": "dogs and cats" },
            "n": { "N": "5" },
            "flag": { "BOOL": true },
            "tags": { "SS": ["big", "red"] },
            "list": { "L": [{ "N": "1" }, { "S": "two" }, { "M": { "deep": { "L": [{ "S": "bottom" }] } } }] },
            "map": { "M": { "a.b": { "N": "1" }, "and": { "N": "2" } } },
        }))
        .expect("an item")
    }

    fn placeholders(names: Value, values: Value) -> Placeholders {
        serde_json::from_value(json!({ "ExpressionAttributeNames": names, "ExpressionAttributeValues": values }))
            .expect("placeholders")
    }

    fn usual() -> Placeholders {
        placeholders(
            json!({ "#dotted": "a.b", "#and": "and", "#n": "n" }),
            json!({
                ":one": { "N": "1" }, ":five": { "N": "5.0" }, ":nine": { "N": "9" }, ":dogs": { "S": "dogs" },
                ":cats": { "S": "cats" }, ":red": { "S": "red" }, ":yes": { "BOOL": true }, ":kind": { "S": "SS" },
                ":list": { "L": [{ "S": "new" }] }, ":tags": { "SS": ["red", "new"] }, ":all": { "SS": ["big", "red"] },
            }),
        )
    }

    fn holds(text: &str) -> bool {
        Condition::parse(text, &usual()).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&item())
    }

    #[test]
    fn conditions_hold_as_in_dynamodb() {
        for text in [
            "n = :five",
            "#n = :five AND :five = n",
            "n <> :one",
            "missing <> :one",
            "n < :nine and n <= :five And n > :one AND n >= :five",
            "n BETWEEN :one AND :five AND flag = :yes",
            "n IN (:one, :nine, :five)",
            "attribute_exists(list[2].deep[0]) AND attribute_not_exists(list[3])",
            "attribute_type(tags, :kind)",
            "begins_with(text, :dogs)",
            "contains(text, :cats) AND contains(tags, :red) AND contains(list, :one)",
            "size(tags) < :five AND :one < size(list) AND size(text) > :nine",
            "map.#dotted = :one AND map.#and > :one",
            "n = :one OR n = :five AND flag = :yes",
            "NOT n = :one AND NOT (flag = :yes AND n = :one)",
            "(n = :five)OR(n=:one)",
            "tags = :all",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "missing = :one",
            "missing < :one",
            "text < :one",
            "text <> text",
            "NOT (n = :five)",
            "(n = :five OR n = :one) AND n = :one",
            "n BETWEEN :five AND :nine AND n = :one",
            "contains(text, :one)",
            "contains(missing, :one)",
            "begins_with(text, :cats)",
            "size(n) = :one",
            "list[0].deep = :one",
            "missing IN (:one)",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for (text, why) in [
            ("", "can not be empty"),
            ("n = ", "<EOF>"),
            ("n = :five :one", "\":one\""),
            ("(n = :five", "<EOF>"),
            ("n ! :five", "\"!\""),
            ("n = #", "\"#\""),
            ("n = :unknown", "attribute value: :unknown"),
            ("#unknown = :one", "attribute name: #unknown"),
            ("and = :one", "reserved keyword: and"),
            ("n", "<EOF>"),
            ("size(n)", "<EOF>"),
            ("like(n, :one)", "function: like"),
            ("n = begins_with(text, :dogs)", "function: begins_with"),
            ("flag < :yes", "operand type: BOOL"),
            ("begins_with(text, :one)", "operand type: N"),
            ("n BETWEEN :nine AND :one", "upper bound"),
            ("attribute_type(n, :dogs)", "attribute type name"),
            ("list[99999999999999999999] = :one", "List index"),
            (&format!("{}n = :one{}", "(".repeat(101), ")".repeat(101)), "deeper"),
            (&format!("n = :one{}", " OR n = :one".repeat(400)), "maximum allowed size"),
        ] {
            let error = Condition::parse(text, &usual()).expect_err(text);
            assert_eq!(error.code, "ValidationException");
            assert!(error.message.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn placeholders_that_are_not_used_are_refused() {
        let given = placeholders(json!({ "#a": "a", "#b": "b" }), json!({ ":v": { "N": "1" }, ":w": { "N": "1" } }));
        Condition::parse("#a = :v", &given).expect("a condition");
        let error = given.check_all_used().expect_err("unused").message;
        assert_eq!(error, "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}");
        projection("#b", &given).expect("paths");
        let error = given.check_all_used().expect_err("unused").message;
        assert_eq!(error, "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}");
    }

    fn updated(text: &str) -> Value {
        let update = Update::parse(text, &usual()).unwrap_or_else(|error| panic!("{text}: {error}"));
        json!(update.apply(&item()).unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[test]
    fn updates_change_what_they_say() {
        let new = updated(
            "SET n = n + :one, fresh = if_not_exists(missing, :five), #and = if_not_exists(n, :one), \
             list = list_append(list, :list), map.#dotted = :nine - n REMOVE text, map.#and ADD tags :tags",
        );
        assert_eq!(new["n"], json!({ "N": "6" }));
        assert_eq!(new["fresh"], json!({ "N": "5" }));
        assert_eq!(new["and"], json!({ "N": "5" }), "every operand is of the old item");
        assert_eq!(new["list"]["L"][3], json!({ "S": "new" }));
        assert_eq!(new["map"], json!({ "M": { "a.b": { "N": "4" } } }));
        assert_eq!(new["text"], Value::Null);
        assert_eq!(new["tags"], json!({ "SS": ["big", "new", "red"] }));

        let new = updated("DELETE tags :tags ADD n :nine, counter :one SET list[1] = :one, list[77] = :yes");
        assert_eq!(new["tags"], json!({ "SS": ["big"] }));
        assert_eq!((&new["n"], &new["counter"]), (&json!({ "N": "14" }), &json!({ "N": "1" })));
        assert_eq!(new["list"]["L"][1], json!({ "N": "1" }));
        assert_eq!(new["list"]["L"][3], json!({ "BOOL": true }));

        assert_eq!(updated("DELETE tags :all")["tags"], Value::Null, "no set is empty");
        let new = updated("REMOVE list[0], list[1], list[9], missing");
        assert_eq!(new["list"], json!({ "L": [{ "M": { "deep": { "L": [{ "S": "bottom" }] } } }] }));
    }

    #[test]
    fn what_is_no_update_is_refused() {
        for (text, why) in [
            ("SET n = :one SET text = :one", "only be used once"),
            ("n = :one", "Syntax error"),
            ("SET n :one", "Syntax error"),
            ("SET n = :one,", "<EOF>"),
            ("SET n = size(text)", "function: size"),
            ("ADD n :dogs", "operand type: S"),
            ("DELETE tags :one", "operand type: N"),
            ("SET n = :one REMOVE n", "overlap"),
            ("SET list = :list, map.x = :one, list[2].deep = :one", "overlap"),
            ("REMOVE list[0], list.x", "conflict"),
        ] {
            let error = Update::parse(text, &usual()).expect_err(text).message;
            assert!(error.starts_with("Invalid UpdateExpression: ") && error.contains(why), "{text}: {error}");
        }
        for (text, why) in [
            ("SET x = missing", "does not exist in the item"),
            ("SET x = n + text", "incorrect data type"),
            ("SET x = list_append(list, n)", "incorrect data type"),
            ("ADD text :one", "incorrect data type"),
            ("SET missing.x = :one", "invalid for update"),
            ("SET n[0] = :one", "invalid for update"),
            ("REMOVE missing.x", "invalid for update"),
        ] {
            let update = Update::parse(text, &usual()).expect(text);
            let error = update.apply(&item()).expect_err(text).message;
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn projections_keep_what_lies_at_their_paths() {
        let given = usual();
        let paths = projection("n, list[2].deep[0], list[0], map.#dotted, missing, text.x", &given).expect("paths");
        assert_eq!(
            json!(project(&item(), &paths)),
            json!({
                "n": { "N": "5" },
                "list": { "L": [{ "N": "1" }, { "M": { "deep": { "L": [{ "S": "bottom" }] } } }] },
                "map": { "M": { "a.b": { "N": "1" } } },
            })
        );
        let error = projection("map, n, map.x", &given).expect_err("overlap").message;
        assert!(error.contains("path one: [map], path two: [map, x]"), "{error}");
    }
}
