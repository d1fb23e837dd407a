//! The things that a caption can name: the classes of COCO, which the models know.

use std::fmt;

use photo::coco::NAMES;

use super::words::is_name;

/// Other words for some of them.
const ALIASES: [(&str, &str); 21] = [
    ("people", "person"),
    ("human", "person"),
    ("pedestrian", "person"),
    ("bike", "bicycle"),
    ("motorbike", "motorcycle"),
    ("plane", "airplane"),
    ("aeroplane", "airplane"),
    ("lorry", "truck"),
    ("puppy", "dog"),
    ("kitten", "cat"),
    ("ball", "sports ball"),
    ("phone", "cell phone"),
    ("mobile phone", "cell phone"),
    ("sofa", "couch"),
    ("plant", "potted plant"),
    ("table", "dining table"),
    ("television", "tv"),
    ("fridge", "refrigerator"),
    ("rucksack", "backpack"),
    ("doughnut", "donut"),
    ("hair dryer", "hair drier"),
];

/// What people ask for that no model here finds by itself, and the thing of which it is a part or a kind.
const PARTS_AND_KINDS: [(&str, &str); 23] = [
    ("face", "person"),
    ("head", "person"),
    ("eye", "person"),
    ("body", "person"),
    ("hand", "person"),
    ("somebody", "person"),
    ("everybody", "person"),
    ("everyone", "person"),
    ("man", "person"),
    ("men", "person"),
    ("woman", "person"),
    ("women", "person"),
    ("child", "person"),
    ("children", "person"),
    ("kid", "person"),
    ("boy", "person"),
    ("girl", "person"),
    ("baby", "person"),
    ("plate", "car"),
    ("number plate", "car"),
    ("license plate", "car"),
    ("licence plate", "car"),
    ("vehicle", "car"),
];

/// How alike a misspelt name has to be, where 1 is the same.
const ALIKE: f64 = 0.8;
/// No name is longer than this, nor is what resembles one.
const LONGEST: usize = 24;

/// Some of the classes, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u128);

impl Classes {
    /// None of them.
    pub(super) const NONE: Self = Self(0);

    /// The class that words joined without anything between them name, in the singular or the plural.
    pub(super) fn named(joined: &str) -> Option<Self> {
        let is_meant = |name: &str| is_name(joined, name) || is_name(joined, &fleet::plural(name));
        let alias = ALIASES.iter().find(|(alias, _)| is_meant(alias)).map(|(_, name)| *name);
        let place = NAMES.iter().position(|name| alias.map_or_else(|| is_meant(name), |alias| alias == *name))?;
        Some(Self(1 << place))
    }

    /// A thing that words joined without anything between them may mean which name none: they name a part or a kind of it, or are
    /// misspelt.
    pub(super) fn near(joined: &str) -> Option<&'static str> {
        if joined.len() > LONGEST {
            return None;
        }
        let is_meant = |name: &str| is_name(joined, name) || is_name(joined, &fleet::plural(name));
        if let Some((_, whole)) = PARTS_AND_KINDS.iter().find(|(part, _)| is_meant(part)) {
            return Some(whole);
        }
        let alike = |name: &str| {
            let together = |name: &str| name.replace(' ', "");
            let one = strsim::normalized_damerau_levenshtein(joined, &together(name));
            one.max(strsim::normalized_damerau_levenshtein(joined, &together(&fleet::plural(name))))
        };
        let alike = NAMES.iter().map(|name| (alike(name), *name)).max_by(|one, other| one.0.total_cmp(&other.0));
        alike.filter(|(alike, _)| *alike >= ALIKE).map(|(_, name)| name)
    }

    /// These and those.
    pub(super) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(place, _)| self.0 & (1 << place) != 0).map(|(_, name)| *name)
    }
}

/// As a caption names them.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_several_and_other_words() {
        for (joined, name) in [
            ("person", "person"),
            ("persons", "person"),
            ("people", "person"),
            ("buses", "bus"),
            ("cellphone", "cell phone"),
            ("phones", "cell phone"),
            ("winesglasses", ""),
            ("wineglasses", "wine glass"),
            ("hotdog", "hot dog"),
            ("mice", "mouse"),
            ("humans", "person"),
            ("lorries", "truck"),
            ("faces", ""),
        ] {
            let found: Vec<_> = Classes::named(joined).into_iter().flat_map(Classes::names).collect();
            assert_eq!(found.join(" "), name, "{joined}");
        }
        assert!(NAMES.iter().all(|name| Classes::named(&name.replace(' ', "")).is_some()));
    }
    #[test]
    fn what_may_be_meant() {
        for (joined, near) in [
            ("faces", Some("person")),
            ("numberplates", Some("car")),
            ("women", Some("person")),
            ("persn", Some("person")),
            ("bicicles", Some("bicycle")),
            ("hats", None),
            ("much", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(Classes::near(joined), near, "{joined}");
        }
        let names = ALIASES.iter().chain(&PARTS_AND_KINDS);
        assert!(names.into_iter().all(|(_, name)| NAMES.contains(name)));
    }
}
