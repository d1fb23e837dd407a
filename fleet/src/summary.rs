//! What was found, by count: "4 persons, 1 bus".

use std::collections::BTreeMap;

use crate::Label;

/// The classes by count, the most frequent first and those of equal count by name; empty if nothing was found.
#[must_use]
pub fn summary(labels: &[Label]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for label in labels {
        *counts.entry(&label.class).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    // Stable: names stay sorted within a count.
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let parts: Vec<String> = counts.into_iter().map(|(class, count)| counted(count, class)).collect();
    parts.join(", ")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {}", plural(noun)) }
}

/// The English plural, right for COCO's 80 names and regular nouns. "persons", as YOLO's own summaries say.
#[must_use]
pub fn plural(noun: &str) -> String {
    const UNCHANGED: [&str; 4] = ["sheep", "scissors", "skis", "broccoli"];
    let ends_with_any = |endings: &[&str]| endings.iter().any(|ending| noun.ends_with(ending));
    if UNCHANGED.contains(&noun) {
        noun.into()
    } else if noun == "mouse" {
        "mice".into()
    } else if let Some(stem) = noun.strip_suffix("fe").filter(|stem| !stem.ends_with('f')) {
        format!("{stem}ves")
    } else if ends_with_any(&["s", "x", "z", "ch", "sh"]) {
        format!("{noun}es")
    } else if let Some(stem) = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        format!("{stem}ies")
    } else {
        format!("{noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(classes: &[&str]) -> Vec<Label> {
        let label =
            |class: &&str| Label { class: (*class).into(), cx: 0.5, cy: 0.5, width: 0.1, height: 0.1, confidence: 0.9 };
        classes.iter().map(label).collect()
    }

    #[test]
    fn the_most_frequent_first_then_by_name() {
        let found = labels(&["bus", "person", "person", "person", "person", "apple"]);
        assert_eq!(summary(&found), "4 persons, 1 apple, 1 bus");
        assert_eq!(summary(&[]), "");
    }

    #[test]
    fn plurals_of_coco() {
        for (noun, expected) in [
            ("bus", "buses"),
            ("bench", "benches"),
            ("knife", "knives"),
            ("giraffe", "giraffes"),
            ("wine glass", "wine glasses"),
            ("toothbrush", "toothbrushes"),
            ("mouse", "mice"),
            ("sheep", "sheep"),
            ("hair drier", "hair driers"),
            ("teddy bear", "teddy bears"),
            ("city", "cities"),
            ("toy", "toys"),
        ] {
            assert_eq!(plural(noun), expected);
        }
    }
}
