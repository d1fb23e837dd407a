//! ARCHITECTURE's state diagrams are drawn from the transitions. `UPDATE=1 cargo test -p fleet --test transitions` writes them.

use std::fmt::Write as _;
use std::path::Path;

use crate::arrows::Arrow;
use crate::{albums, predictions, updates};

/// What is possible in every state of `group` is drawn once, from the group.
fn diagram(title: &str, group: (&str, &[&str]), (arrows, notes): (Vec<Arrow>, Vec<&'static str>)) -> String {
    let (group, members) = group;
    let is_of_all = |to: &str, name: &str| {
        let leads = |from: &&str| arrows.iter().any(|arrow| arrow.0 == **from && arrow.1 == to && arrow.2 == name);
        !members.contains(&to) && members.iter().all(leads)
    };
    let (mut inner, mut outer) = (Vec::<(String, String, Vec<&str>)>::new(), Vec::new());
    for (from, to, name) in &arrows {
        let from = if members.contains(&from.as_str()) && is_of_all(to, name) { group } else { from };
        let lines = if members.contains(&from) && members.contains(&to.as_str()) { &mut inner } else { &mut outer };
        match lines.iter_mut().find(|line| line.0 == from && line.1 == *to) {
            Some((_, _, names)) if names.contains(name) => {}
            Some((_, _, names)) => names.push(name),
            None => lines.push((from.to_owned(), to.clone(), vec![name])),
        }
    }
    let mut text = format!("{title}\n\n```mermaid\nstateDiagram-v2\n    state {group} {{\n");
    for (from, to, names) in inner {
        let _ = writeln!(text, "        {from} --> {to} : {}", names.join(", "));
    }
    text += "    }\n";
    for (from, to, names) in outer {
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
        diagram(
            "**A prediction**",
            ("Untold", &["Finished", "Held", "Deferred", "Undeliverable"]),
            predictions::moves(),
        ),
        diagram(
            "**An album**",
            ("Unanswered", &["Open", "Acting", "Abandoned", "Queued", "Telling", "Deferred"]),
            albums::moves(),
        ),
        diagram("**An update**", ("Unhandled", &["Held", "Deferred", "Due"]), updates::moves()),
    ];
    let expected = format!("\n{}\n", drawn.join("\n"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{FROM}{expected}{TO}{after}")).expect("ARCHITECTURE.md can be written");
    } else {
        let message = "ARCHITECTURE.md is out of date; UPDATE=1 cargo test -p fleet --test transitions writes it";
        assert!(found == expected, "{message}");
    }
}
