//! The things that a caption can name: the classes of COCO, which the models know.

use std::fmt;

use photo::coco::NAMES;

use super::words::is_name;

/// Other words for some of them.
const ALIASES: [(&str, &str); 12] = [
    ("people", "person"),
    ("bike", "bicycle"),
    ("motorbike", "motorcycle"),
    ("plane", "airplane"),
    ("aeroplane", "airplane"),
    ("ball", "sports ball"),
    ("phone", "cell phone"),
    ("sofa", "couch"),
    ("plant", "potted plant"),
    ("table", "dining table"),
    ("television", "tv"),
    ("fridge", "refrigerator"),
];

/// Some of the classes, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u128);

impl Classes {
    /// None of them.
    pub(super) const NONE: Self = Self(0);

    /// The class that words joined without anything between them name, be it one or several of it.
    pub(super) fn named(joined: &str) -> Option<Self> {
        let is_meant = |name: &str| is_name(joined, name) || is_name(joined, &fleet::plural(name));
        let alias = ALIASES.iter().find(|(alias, _)| is_meant(alias)).map(|(_, name)| *name);
        let place = NAMES.iter().position(|name| alias.map_or_else(|| is_meant(name), |alias| alias == *name))?;
        Some(Self(1 << place))
    }

    /// These and those.
    pub(super) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there is none.
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
            ("faces", ""),
        ] {
            let found: Vec<_> = Classes::named(joined).into_iter().flat_map(Classes::names).collect();
            assert_eq!(found.join(" "), name, "{joined}");
        }
        assert!(NAMES.iter().all(|name| Classes::named(&name.replace(' ', "")).is_some()));
    }
}
