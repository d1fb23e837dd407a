//! The words of every kind of expression.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a function or an attribute's name.
    Word(&'a str),
    /// `#name`
    Name(&'a str),
    /// `:value`
    Value(&'a str),
    /// Digits.
    Index(&'a str),
    /// An operator or a bracket.
    Sign(&'a str),
}

impl<'a> Token<'a> {
    pub(super) fn text(self) -> &'a str {
        let (Self::Word(text) | Self::Name(text) | Self::Value(text) | Self::Index(text) | Self::Sign(text)) = self;
        text
    }
}

const SIGNS: [&str; 14] = ["<=", ">=", "<>", "=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-"];

/// All tokens of an expression, or its rest from the first character on that does not begin one.
pub(super) fn tokens(mut text: &str) -> Result<Vec<Token<'_>>, &str> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else { return Ok(tokens) };
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = |from: usize| text[from..].find(|c: char| !is_of_word(c)).map_or(text.len(), |end| from + end);
        let end = match first {
            '#' | ':' if word(1) > 1 => word(1),
            '0'..='9' => text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()),
            first if is_of_word(first) => word(0),
            _ => SIGNS.iter().find(|sign| text.starts_with(**sign)).ok_or(text)?.len(),
        };
        let (token, rest) = text.split_at(end);
        tokens.push(match first {
            '#' => Token::Name(token),
            ':' => Token::Value(token),
            '0'..='9' => Token::Index(token),
            first if is_of_word(first) => Token::Word(token),
            _ => Token::Sign(token),
        });
        text = rest;
    }
}
