//! `yolo-worker detect` and `yolo-worker bench`, without AWS.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/photos").join(name)
}

fn worker(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yolo-worker")).args(args).output().expect("the program runs")
}

#[test]
fn detect_prints_a_summary_or_json_and_writes_the_image() {
    let photo = photo("coffee.png");
    let photo = photo.to_str().expect("a path");
    let output = worker(&["detect", photo]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 cup, 1 dining table, 1 spoon\n");

    let dir = tempfile::tempdir().expect("tempdir");
    let out = dir.path().join("annotated.png");
    let output = worker(&["detect", photo, "--json", "--out", out.to_str().expect("a path")]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["labels"][0]["class"], "cup");
    assert_eq!((&report["width"], &report["height"]), (&600.into(), &400.into()));
    let (original, annotated) = (image::open(photo).expect("image"), image::open(out).expect("image"));
    assert_ne!(original.to_rgb8(), annotated.to_rgb8());
}

#[test]
fn detect_finds_the_same_however_the_network_is_computed() {
    let photo = photo("coffee.png");
    for settings in [["--precision", "f32"], ["--precision", "bf16"], ["--rectangular", "true"]] {
        let output = worker(&["detect", photo.to_str().expect("a path"), settings[0], settings[1]]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1 cup, 1 dining table, 1 spoon\n", "{settings:?}");
    }
    let output = worker(&["detect", photo.to_str().expect("a path"), "--precision", "f16"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("\"f16\" is neither f32 nor bf16"), "{said}");
}

#[test]
fn detect_with_the_stand_in_says_so() {
    let output = worker(&["detect", photo("coffee.png").to_str().expect("a path"), "--model", "stand-in"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "MODEL is the stand-in: nothing is really detected\n");
}

#[test]
fn detect_says_what_is_wrong_with_the_image() {
    let output = worker(&["detect", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Cargo.toml") && said.contains("not an image"), "{said}");
}

#[test]
fn bench_reports_what_it_measured() {
    let output = worker(&["bench", "--runs", "2", "--threads", "2", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["model"], &report["threads"], &report["runs"]), (&"yolo12n".into(), &2.into(), &2.into()));
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&report["load_ms"]) > 0.0 && number(&report["peak_rss_mb"]) > 10.0);
    let median = &report["median_ms"];
    let parts: f64 = ["preprocess", "inference", "postprocess"].iter().map(|part| number(&median[part])).sum();
    assert!(parts > 0.0 && number(&median["total"]) > 0.0, "{report}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn bench_says_which_instructions_it_measured() {
    let output = worker(&["bench", "--runs", "1", "--json", "--precision", "bf16", "--rectangular", "true"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let has_bf16 = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16");
    assert_eq!(report["instructions"] == "Avx512Bf16", has_bf16, "{report}");
    // Of a photo of 1280 x 720.
    assert_eq!(report["input"], serde_json::json!([640, 384]));
}
