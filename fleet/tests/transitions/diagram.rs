//! ARCHITECTURE's state diagrams are drawn from the transitions. `UPDATE=1 cargo test -p fleet --test transitions` writes them.

use std::fmt::Write as _;
use std::path::Path;

use fleet::table::Transition;

use crate::{albums, predictions, updates};

/// From, to, and the transitions that lead there.
pub(crate) type Arrow = (String, String, Vec<&'static str>);

/// Where transitions lead, each arrow once, and those that change no state.
pub(crate) fn arrows<T: Transition>(transitions: &[T], absent: T::State) -> (Vec<Arrow>, Vec<&'static str>) {
    let named = |state: T::State| if state == absent { "[*]".to_owned() } else { format!("{state:?}") };
    let (mut arrows, mut notes) = (Vec::<Arrow>::new(), Vec::new());
    for transition in transitions {
        if transition.is_note() {
            notes.push(transition.name());
            continue;
        }
        for (from, to) in transition.moves() {
            let (from, to) = (named(from), named(to));
            match arrows.iter_mut().find(|arrow| arrow.0 == from && arrow.1 == to) {
                Some((_, _, names)) if names.contains(&transition.name()) => {}
                Some((_, _, names)) => names.push(transition.name()),
                None => arrows.push((from, to, vec![transition.name()])),
            }
        }
    }
    (arrows, notes)
}

fn diagram(title: &str, (arrows, notes): &(Vec<Arrow>, Vec<&'static str>)) -> String {
    let mut text = format!("{title}\n\n```mermaid\nstateDiagram-v2\n");
    for (from, to, names) in arrows {
        let _ = writeln!(text, "    {from} --> {to} : {}", names.join(", "));
    }
    text += "```\n";
    if !notes.is_empty() {
        let _ = writeln!(text, "\nWithout a change of state: {}.", notes.join(", "));
    }
    text
}

#[test]
fn architecture_has_these_diagrams() {
    const FROM: &str =
        "<!-- made from fleet/src/table; UPDATE=1 cargo test -p fleet --test transitions writes it -->\n";
    const TO: &str = "<!-- end of what is made -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let document = std::fs::read_to_string(&path).expect("ARCHITECTURE.md is there");
    let (before, rest) = document.split_once(FROM).expect("the diagrams' first line is there");
    let (found, after) = rest.split_once(TO).expect("the diagrams' last line is there");
    let drawn = [
        diagram("**A prediction**", &predictions::moves()),
        diagram("**An album**", &albums::moves()),
        diagram("**An update**", &updates::moves()),
    ];
    let expected = format!("\n{}\n", drawn.join("\n"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{FROM}{expected}{TO}{after}")).expect("ARCHITECTURE.md can be written");
    } else {
        let message = "ARCHITECTURE.md is out of date; UPDATE=1 cargo test -p fleet --test transitions writes it";
        assert!(found == expected, "{message}");
    }
}
