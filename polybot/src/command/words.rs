//! A text as words.

/// Words that say nothing that their neighbours do not.
const FILLERS: [&str; 17] = [
    "a", "all", "and", "by", "deg", "degree", "degrees", "from", "level", "of", "only", "out", "percent", "please",
    "radius", "the", "with",
];

/// The most words that one name has.
const LONGEST: usize = 4;

/// Lower-case words and numbers. Names of users are left out; what joins words or surrounds them separates them, and so
/// does the step from a letter to a digit. A number keeps its sign, and its point or comma.
pub(super) fn words(text: &str) -> Vec<String> {
    let text = without_names(text).to_lowercase();
    let text = text.replace('&', " and ").replace(['−', '‐', '‑', '‒', '–', '—'], "-");
    let mut words = Vec::new();
    for token in text.split_whitespace() {
        let bare = token
            .trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '+' | '.'))
            .trim_end_matches(|c: char| !c.is_alphanumeric());
        if number(bare).is_some() {
            words.push(bare.to_owned());
        } else {
            pieces(bare, &mut words);
        }
    }
    words
}

/// The text without names of users, whatever surrounds them; "/blur@somebot" is "/blur".
pub(super) fn without_names(text: &str) -> String {
    let mut pieces = text.split('@');
    let mut left = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let name = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
        left.push(' ');
        left.push_str(&piece[name..]);
    }
    left
}

/// Runs of letters and runs of digits.
fn pieces(token: &str, words: &mut Vec<String>) {
    let is_digit = |c: char| c.is_numeric() || matches!(c, '.' | ',');
    for part in token.split(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | ',')) {
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| is_digit(c) != is_digit(first)).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            let run = run.trim_matches(['.', ',']);
            if !run.is_empty() {
                words.push(run.to_owned());
            }
            rest = after;
        }
    }
}

/// The number that a word is, with a point or a comma. Infinite where it is too large to be told from that; never NaN.
pub(super) fn number(word: &str) -> Option<f64> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    // Else "nan" and "infinity" would be numbers.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',')) {
        return None;
    }
    word.replace(',', ".").parse().ok()
}

/// Whether a word says nothing by itself.
pub(super) fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word)
}

/// What the most words from the first on are together, and the words after them.
pub(super) fn longest<W: AsRef<str>, T>(words: &[W], meaning: impl Fn(&str) -> Option<T>) -> Option<(T, &[W])> {
    (1..=LONGEST.min(words.len())).rev().find_map(|count| {
        let (together, after) = words.split_at(count);
        let joined: String = together.iter().map(AsRef::as_ref).collect();
        meaning(&joined).map(|meaning| (meaning, after))
    })
}

/// Whether words joined without anything between them are this name.
pub(super) fn is_name(joined: &str, name: &str) -> bool {
    name.chars().filter(|c| c.is_alphanumeric()).eq(joined.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        for (text, expected) in [
            ("  Salt AND  pepper\n0.1 ", vec!["salt", "and", "pepper", "0.1"]),
            ("salt&pepper", vec!["salt", "and", "pepper"]),
            ("salt_and-pepper 0,1", vec!["salt", "and", "pepper", "0,1"]),
            ("/rotate@some_bot 90°", vec!["rotate", "90"]),
            ("@some_bot blur: -5!", vec!["blur", "-5"]),
            ("(@some_bot) blur", vec!["blur"]),
            ("@some_bot😀 blur,@some_bot;", vec!["blur"]),
            ("blur16", vec!["blur", "16"]),
            ("blur=1e-3", vec!["blur", "1", "e", "3"]),
            ("blur 1e-3", vec!["blur", "1e-3"]),
            ("rotate–90", vec!["rotate", "90"]),
            ("blur −5", vec!["blur", "-5"]),
            ("\"blur [.5].\"", vec!["blur", ".5"]),
            ("🙂 . - / @ &", vec!["and"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number("0,5"), Some(0.5));
        assert_eq!(number("-.5"), Some(-0.5));
        assert_eq!(number("1e999"), Some(f64::INFINITY));
        for word in ["nan", "inf", "-infinity", "five", "", "-", ".", "1,2,3", "٣"] {
            assert_eq!(number(word), None, "{word}");
        }
    }
}
