//! The program as a person uses it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fleet::Prediction;
use image::GenericImageView;

use crate::support::{EXECUTABLE, photo_path};

fn local(dir: &Path, args: &[&str]) -> Output {
    Command::new(EXECUTABLE).args(args).current_dir(dir).stdin(Stdio::null()).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn detect_prints_the_summary_and_writes_the_photo() {
    let dir = tempfile::tempdir().expect("tempdir");
    let output = local(dir.path(), &["detect", photo_path("chelsea.png").to_str().expect("a path")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "I see 1 cat.\nchelsea.detected.jpg\n");
    let annotated = image::open(dir.path().join("chelsea.detected.jpg")).expect("the annotated photo");
    assert_eq!(annotated.dimensions(), (451, 300));
}

#[test]
fn detect_prints_the_prediction_as_json() {
    let dir = tempfile::tempdir().expect("tempdir");
    let photo = photo_path("motorcycle_left.png");
    let output = local(dir.path(), &["detect", photo.to_str().expect("a path"), "--json", "--out", "found.jpg"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let prediction: Prediction = serde_json::from_slice(&output.stdout).expect("a Prediction");
    assert_eq!(prediction.labels[0].class, "motorcycle");
    assert_eq!(prediction.original_img_path, format!("images/original/{}.png", prediction.prediction_id));
    let predicted = format!("images/predicted/{}.jpg", prediction.prediction_id);
    assert_eq!(prediction.predicted_img_path, Some(predicted));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for key in ["status", "chat_id", "message_id", "time", "model", "failure", "delivered_at", "expires_at"] {
        assert!(json.get(key).is_some(), "{key} is missing in {json}");
    }
    assert!(dir.path().join("found.jpg").is_file());
}

#[test]
fn what_is_no_photo_is_one_sentence() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("notes.jpg"), "this is a text").expect("write");
    for (photo, expected) in [("notes.jpg", "not an image"), ("missing.jpg", "can't read missing.jpg")] {
        let output = local(dir.path(), &["detect", photo]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with("error: ") && said.contains(expected) && said.lines().count() == 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn no_answer_in_time_says_how_far_the_photo_came() {
    let dir = tempfile::tempdir().expect("tempdir");
    let output = local(dir.path(), &["detect", photo_path("chelsea.png").to_str().expect("a path"), "--timeout", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    // How far it comes in no time differs from run to run; that it is said does not.
    let steps = ["the photo was sent", "polybot asked for the photo", "the photo was stored", "the photo was queued"];
    let says_a_step = |step: &&str| said.contains(&format!("error: no answer within 0 s: {step}"));
    assert!(steps.iter().any(says_a_step), "{said}");
}

#[test]
fn without_a_command_everything_runs_until_ctrl_c() {
    let mut program = Command::new(EXECUTABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let stdout = BufReader::new(program.stdout.take().expect("piped"));
    let said: Vec<String> = stdout.lines().map_while(Result::ok).take_while(|line| !line.contains("ctrl-c")).collect();
    let services = said.iter().filter_map(|line| line.split("(process ").nth(1)?.strip_suffix(')'));
    let processes: Vec<&str> = services.collect();
    assert_eq!(processes.len(), 3, "{said:?}");
    assert!(processes.iter().all(|id| Path::new("/proc").join(id).exists()), "{said:?}");

    let interrupted = Command::new("kill").args(["-INT", &program.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    assert!(program.wait().expect("it ends").success());
    assert!(processes.iter().all(|id| !Path::new("/proc").join(id).exists()), "children are left behind");
}
