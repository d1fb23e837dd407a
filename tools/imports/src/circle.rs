//! Modules with one parent that use each other in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::Use;

/// Siblings, each with all below it, of which each uses the next and the last the first.
pub struct Circle<'a> {
    parent: &'a [String],
    steps: Vec<&'a Use<'a>>,
}

/// One use for each pair of siblings of which the first uses the second.
type Siblings<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Use<'a>>>;

/// The circles among these uses, at least one for each module that is in a circle.
///
/// A module may use its parent and be used by it: a parent's file is what its children share, and names them.
pub fn circles<'a>(uses: &'a [Use<'a>]) -> Vec<Circle<'a>> {
    let mut families: BTreeMap<&[String], Siblings<'_>> = BTreeMap::new();
    for one in uses {
        let shared = one.from.iter().zip(&one.to).take_while(|(from, to)| from == to).count();
        if let (Some(from), Some(to)) = (one.from.get(shared), one.to.get(shared)) {
            families.entry(&one.from[..shared]).or_default().entry(from).or_default().entry(to).or_insert(one);
        }
    }
    let mut circles = Vec::new();
    for (parent, siblings) in &families {
        let mut reported = BTreeSet::new();
        for start in siblings.keys() {
            if reported.contains(start) {
                continue;
            }
            if let Some(steps) = shortest(siblings, start) {
                reported.extend(steps.iter().map(|step| step.from[parent.len()].as_str()));
                circles.push(Circle { parent, steps });
            }
        }
    }
    circles
}

/// The shortest way from a module back to itself.
fn shortest<'a>(siblings: &Siblings<'a>, start: &str) -> Option<Vec<&'a Use<'a>>> {
    let mut ways = VecDeque::from([(start, Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((at, way)) = ways.pop_front() {
        for (&next, &step) in siblings.get(at).into_iter().flatten() {
            let way = [way.as_slice(), &[step]].concat();
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back((next, way));
            }
        }
    }
    None
}

impl fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = self.parent.len();
        write!(f, "in crate{}:", self.parent.iter().map(|name| format!("::{name}")).collect::<String>())?;
        for step in &self.steps {
            let (file, line) = (step.file.display(), step.line);
            write!(f, "\n  {} uses {}, at {file}:{line} as {}", step.from[depth], step.to[depth], step.path)?;
        }
        Ok(())
    }
}
