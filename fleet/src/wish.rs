//! What a person wants of what is found in a photo.

use serde::{Deserialize, Serialize};

/// What is wanted of what is found. The default is all of it, marked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Only these classes; all, if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Only what the detector is so sure of, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// What is done with it.
    #[serde(default, skip_serializing_if = "Deed::is_mark")]
    pub deed: Deed,
}

/// What is done with what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// A box around each.
    #[default]
    Mark,
    /// Only said how many.
    Count,
    /// Each made unrecognisable.
    Blur {
        /// Side of the blocks that are left, in pixels; by the size of each, if none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        block: Option<u32>,
    },
    /// The photo cut down to them.
    Crop,
}

impl Deed {
    fn is_mark(&self) -> bool {
        *self == Self::Mark
    }
}

impl Wish {
    /// Whether it is the default.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an object of this class, found with this confidence (`0..=1`), is wanted.
    #[must_use]
    pub fn wants(&self, class: &str, confidence: f32) -> bool {
        let is_sure = self.percent.is_none_or(|percent| confidence * 100.0 >= f32::from(percent));
        is_sure && (self.classes.is_empty() || self.classes.iter().any(|wanted| wanted == class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let all = Wish::default();
        assert!(all.is_usual() && all.wants("person", 0.25));
        let some = Wish { classes: vec!["dog".into()], percent: Some(60), deed: Deed::Crop };
        assert!(some.wants("dog", 0.6) && !some.wants("dog", 0.59) && !some.wants("cat", 0.9));
    }

    #[test]
    fn records_keep_only_what_is_unusual() {
        assert_eq!(serde_json::to_string(&Wish::default()).expect("JSON"), "{}");
        for deed in [Deed::Mark, Deed::Count, Deed::Blur { block: None }, Deed::Blur { block: Some(9) }, Deed::Crop] {
            let wish = Wish { deed, ..Wish::default() };
            let json = serde_json::to_string(&wish).expect("JSON");
            assert_eq!(serde_json::from_str::<Wish>(&json).expect("read"), wish, "{json}");
        }
    }
}
