//! Python's literals, as exporters write them into a file's metadata: `{0: 'person', 1: "driver's seat"}`, `[640, 640]`.

/// A value as Python's `repr` writes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// A string, its escapes resolved.
    Text(String),
    /// A list or a tuple.
    List(Vec<Self>),
    /// A dictionary, in the order that it is written in.
    Dict(Vec<(Self, Self)>),
}

/// How deep lists within lists are read: no exporter writes more than three.
const DEEPEST: usize = 8;

impl Literal {
    /// Parses `text`; `None` if it is not a literal.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { chars: text.chars().peekable() };
        let value = parser.value(0)?;
        parser.skip_space();
        parser.chars.next().is_none().then_some(value)
    }

    /// This number, if it is a whole one of at least 0.
    pub(crate) fn index(&self) -> Option<usize> {
        match *self {
            // JSON knows no numbers as keys.
            Self::Text(ref text) => text.parse().ok(),
            Self::Number(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e9 => Some(number as usize),
            _ => None,
        }
    }

    /// The value of a key that is a string.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        entries.iter().find(|(other, _)| matches!(other, Self::Text(text) if text == key)).map(|(_, value)| value)
    }
}

struct Parser<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {}
    }

    /// Whether the next character is this one; if so, takes it.
    fn takes(&mut self, expected: char) -> bool {
        self.skip_space();
        self.chars.next_if_eq(&expected).is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Literal> {
        if depth > DEEPEST {
            return None;
        }
        self.skip_space();
        match *self.chars.peek()? {
            quote @ ('\'' | '"') => {
                self.chars.next();
                self.text(quote).map(Literal::Text)
            }
            '[' => self.list(']', depth).map(Literal::List),
            '(' => self.list(')', depth).map(Literal::List),
            '{' => self.dict(depth).map(Literal::Dict),
            _ => self.word(),
        }
    }

    fn list(&mut self, end: char, depth: usize) -> Option<Vec<Literal>> {
        self.chars.next();
        let mut values = Vec::new();
        while !self.takes(end) {
            values.push(self.value(depth + 1)?);
            if !self.takes(',') {
                return self.takes(end).then_some(values);
            }
        }
        Some(values)
    }

    fn dict(&mut self, depth: usize) -> Option<Vec<(Literal, Literal)>> {
        self.chars.next();
        let mut entries = Vec::new();
        while !self.takes('}') {
            let key = self.value(depth + 1)?;
            if !self.takes(':') {
                return None;
            }
            entries.push((key, self.value(depth + 1)?));
            if !self.takes(',') {
                return self.takes('}').then_some(entries);
            }
        }
        Some(entries)
    }

    /// A number or a name.
    fn word(&mut self) -> Option<Literal> {
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(|&c| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')) {
            word.push(c);
        }
        match word.as_str() {
            "None" | "null" => Some(Literal::None),
            "True" | "true" => Some(Literal::Bool(true)),
            "False" | "false" => Some(Literal::Bool(false)),
            number => number.parse().ok().map(Literal::Number),
        }
    }

    /// A string up to its closing quote.
    fn text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.chars.next()? {
                '\\' => self.escape(&mut text)?,
                c if c == quote => return Some(text),
                c => text.push(c),
            }
        }
    }

    /// What follows a backslash ("String and Bytes literals" of Python's reference). Python escapes what does not print: tabs,
    /// no-break spaces, the joiners of compound emoji.
    fn escape(&mut self, text: &mut String) -> Option<()> {
        let c = self.chars.next()?;
        let code = match c {
            '\n' => return Some(()),
            'x' => self.code(2, 16)?,
            'u' => {
                let code = self.code(4, 16)?;
                // Half of a pair: JSON's way to write what is beyond the first 65536 characters.
                if (0xd800..0xdc00).contains(&code)
                    && self.chars.next_if_eq(&'\\').is_some()
                    && self.chars.next() == Some('u')
                {
                    let low = self.code(4, 16)?;
                    0x10000 + ((code - 0xd800) << 10) + (low.checked_sub(0xdc00)? & 0x3ff)
                } else {
                    code
                }
            }
            'U' => self.code(8, 16)?,
            '0'..='7' => {
                let mut code = c.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    self.chars.next();
                    code = code * 8 + digit;
                }
                code
            }
            'a' => 7,
            'b' => 8,
            't' => 9,
            'n' => 10,
            'v' => 11,
            'f' => 12,
            'r' => 13,
            '\\' | '\'' | '"' | '/' => c.into(),
            other => {
                // No escape, so the backslash is one.
                text.push('\\');
                other.into()
            }
        };
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        Some(())
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<u32> {
        (0..digits).try_fold(0_u32, |code, _| code.checked_mul(radix)?.checked_add(self.chars.next()?.to_digit(radix)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Literal {
        Literal::Text(text.into())
    }

    #[test]
    fn what_exporters_write_is_read() {
        let names = Literal::parse(r#"{0: 'person', 1: "driver's seat", 2: 'it\'s', 3: 'größe'}"#);
        let key = |number: u32| Literal::Number(number.into());
        let expected = [(key(0), text("person")), (key(1), text("driver's seat")), (key(2), text("it's"))];
        assert_eq!(names, Some(Literal::Dict([&expected[..], &[(key(3), text("größe"))]].concat())));
        assert_eq!(Literal::parse("['a', 'b',]"), Some(Literal::List(vec![text("a"), text("b")])));
        assert_eq!(Literal::parse(" ( 640 , 480 ) "), Some(Literal::List(vec![key(640), key(480)])));
        let args = Literal::parse("{'nms': True, 'opset': None, 'fraction': 1.0}").expect("a dictionary");
        assert_eq!(args.get("nms"), Some(&Literal::Bool(true)));
        assert_eq!(args.get("opset"), Some(&Literal::None));
        for wrong in ["{0: 'person'", "{0 'person'}", "['a'", "'a", "", "person", "{} {}", "'\\x4'", "'\\uD83D\\u0041'"]
        {
            assert_eq!(Literal::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        let written = r"'a\tb\xa0c\u200d\U0001f469\n\\\'\101\q'";
        assert_eq!(Literal::parse(written), Some(text("a\tb\u{a0}c\u{200d}\u{1f469}\n\\'A\\q")));
        assert_eq!(Literal::parse(r#""\ud83d\udc69""#), Some(text("\u{1f469}")));
    }

    #[test]
    fn lists_in_lists_end_somewhere() {
        assert_eq!(Literal::parse(&"[".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text: String) {
            let _ = Literal::parse(&text);
        }

        /// As Python's `repr` writes it, every character escaped.
        #[test]
        fn every_name_comes_back(name: String) {
            let escaped: String = name.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
            prop_assert_eq!(Literal::parse(&format!("'{escaped}'")), Some(text(&name)));
        }
    }
}
