//! The command that a caption may have meant.

use super::entry::Entry;
use super::table::TABLE;

/// How alike a name has to be, where 1 is the same.
const ALIKE: f64 = 0.65;
/// Words that are looked at: captions can be long, and a command stands near one end.
const LOOKED_AT: usize = 12;
/// No name is longer than this, nor is what resembles one.
const LONGEST: usize = 32;

/// The command whose name is most like one of the words, or like some of them together.
pub(super) fn nearest(words: &[String]) -> Option<&'static Entry> {
    let words = &words[..words.len().min(LOOKED_AT)];
    let together = (1..=3).flat_map(|count| words.windows(count)).map(|words| words.concat());
    let mut best: Option<(f64, &'static Entry)> = None;
    for written in together.filter(|written| written.len() <= LONGEST) {
        for entry in TABLE {
            for name in entry.names() {
                let name: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
                let alike = strsim::normalized_damerau_levenshtein(&written, &name);
                if alike >= ALIKE && best.is_none_or(|(best, _)| alike > best) {
                    best = Some((alike, entry));
                }
            }
        }
    }
    best.map(|(_, entry)| entry)
}
