//! The demonstration as a person runs it: the fleet grows with a flood and shrinks after it, and every job is answered.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::EXECUTABLE;

#[test]
fn the_fleet_scales_before_your_eyes() {
    let dir = tempfile::tempdir().expect("tempdir");
    let output = Command::new(EXECUTABLE)
        .args(["demo", "--model", "stand-in:300", "--out", "report"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    let report = dir.path().join("report");
    let read = |name: &str| std::fs::read_to_string(report.join(name)).expect(name);
    let json: Value = serde_json::from_str(&read("demo.json")).expect("JSON");
    assert!(json["sent"].as_u64() > Some(50), "{json}");
    assert_eq!((&json["answered"], &json["failed"], &json["outstanding"]), (&json["sent"], &0.into(), &0.into()));
    let instances = json["sightings"].as_array().expect("sightings").iter();
    assert!(instances.filter_map(|seen| seen["instances"].as_u64()).max() >= Some(3), "{json}");
    let timeline = read("timeline.txt");
    for told in ["AlarmHigh-worker-demand in state ALARM", "AlarmLow-worker-demand in state ALARM", " photos/s need "] {
        assert!(timeline.contains(told) && said.contains(told), "{timeline}");
    }
    assert!(read("demo.html").contains("<svg"));
    assert!(said.contains("and back to 1; all"), "{said}");
}
