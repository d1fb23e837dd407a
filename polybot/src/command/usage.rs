//! How the commands are shown to people.

use std::fmt::Write as _;

use super::argument::{Argument, Kind};
use super::entry::Entry;
use super::table::TABLE;
use super::{FORGET, HELP, PRIVACY};

/// What can be asked without a photo, beside help.
const TEXTS: [(&str, &str); 2] = [
    (PRIVACY, "Say what is kept of what you send, where and for how long."),
    (FORGET, "Delete what is kept of what you sent, at once."),
];

/// A line for each command, with its arguments and what it does.
#[must_use]
pub fn help() -> String {
    let mut lines = String::new();
    for entry in TABLE {
        let _ = write!(lines, "• {} – {}", syntax(entry), entry.description);
        let arguments = arguments(entry);
        if !arguments.is_empty() {
            let _ = write!(lines, " ({arguments})");
        }
        lines.push('\n');
    }
    for (name, description) in TEXTS {
        let _ = writeln!(lines, "• /{name} – {description}");
    }
    lines
}

/// Commands for Telegram's menu (`setMyCommands`) with their descriptions. Telegram takes names of `a-z`, `0-9` and `_`
/// only; the grammar takes them back.
#[must_use]
pub fn menu() -> Vec<(String, String)> {
    let help = [("start", "Say hello and show what I can do."), ("help", "Show what I can do.")];
    let help = help.map(|(name, description)| (name.to_owned(), description.to_owned()));
    let commands = TABLE.iter().map(|entry| (entry.name.replace([' ', '-'], "_"), entry.description.to_owned()));
    let texts = TEXTS.map(|(name, description)| (name.to_owned(), description.to_owned()));
    help.into_iter().chain(texts).chain(commands).collect()
}

/// The table of `docs/CONVERSATION.md`.
#[must_use]
pub fn markdown() -> String {
    let mut table =
        String::from("| caption | also | arguments | what it does | for example |\n|---|---|---|---|---|\n");
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    for entry in TABLE {
        let aliases: Vec<String> = entry.aliases.iter().map(|alias| code(alias)).collect();
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            code(&syntax(entry)),
            aliases.join(", "),
            arguments(entry),
            entry.description,
            code(entry.example.0),
        );
    }
    let texts: Vec<String> = HELP.iter().map(|word| code(word)).collect();
    let _ = writeln!(table, "\nTexts that ask for help, also with a slash: {}.", texts.join(", "));
    for (name, description) in TEXTS {
        let _ = writeln!(table, "\n{}: {description}", code(&format!("/{name}")));
    }
    table
}

/// The names, for a sentence.
#[must_use]
pub fn names() -> String {
    TABLE.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

/// All that may be said beside a name, for a sentence.
#[must_use]
pub fn choices(arguments: &[Argument]) -> String {
    let words = arguments.iter().flat_map(|argument| match argument.kind {
        Kind::Choice { options, .. } => options.iter().map(|option| option.word.to_owned()).collect(),
        Kind::Flag { .. } => vec![format!("\"{}\"", argument.name)],
        Kind::Classes => vec!["names of things such as person, car or dog".to_owned()],
        Kind::Whole { from, to, .. } | Kind::Fraction { from, to, .. } => vec![format!("a number from {from} to {to}")],
    });
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        words => words.concat(),
    }
}

/// The name with its arguments in brackets.
fn syntax(entry: &Entry) -> String {
    let mut syntax = entry.name.to_owned();
    for argument in entry.arguments {
        let inside = match argument.kind {
            Kind::Choice { options, .. } => options.iter().map(|option| option.word).collect::<Vec<_>>().join("|"),
            Kind::Classes => format!("{}…", argument.name),
            _ => argument.name.to_owned(),
        };
        let _ = write!(syntax, " [{inside}]");
    }
    syntax
}

/// Ranges and defaults.
fn arguments(entry: &Entry) -> String {
    let told = entry.arguments.iter().filter_map(|argument| match argument.kind {
        Kind::Whole { from, to, default } => {
            Some(format!("{}: a whole number from {from} to {to}, default {default}", argument.name))
        }
        Kind::Fraction { from, to, default } => {
            Some(format!("{}: a number from {from} to {to}, default {default}", argument.name))
        }
        Kind::Choice { default, .. } => Some(format!("{}: default {default}", argument.name)),
        Kind::Classes => Some(format!("{}: such as person, car or dog", argument.name)),
        Kind::Flag { .. } => None,
    });
    told.collect::<Vec<_>>().join("; ")
}
