//! `yolo-worker detect`, `bench` and `check`, without AWS.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
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

#[test]
fn check_tells_what_a_model_is_and_finds() {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/photos");
    let photos = photos.to_str().expect("a path");
    let reference = format!("{photos}/yolo12n.json");
    let output = worker(&["check", "yolo12n", "--image", photos, "--reference", &reference, "--operators"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "yolo12n.onnx",
        "input         640 x 640",
        "columns: 8400 boxes, 80 classes",
        "distances to the edges in 16 bins",
        "on tract      nothing",
        "Convolve",
        "1 cup, 1 dining table, 1 spoon",
        "agree with the reference",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[test]
fn check_fails_where_the_reference_has_something_else() {
    let dir = tempfile::tempdir().expect("tempdir");
    let reference = dir.path().join("reference.json");
    let label = r#"{"class": "cat", "confidence": 0.9, "cx": 0.5, "cy": 0.5, "width": 0.1, "height": 0.1}"#;
    std::fs::write(&reference, format!(r#"{{"images": {{"coffee.png": {{"labels": [{label}]}}}}}}"#)).expect("written");
    let (photo, reference) = (photo("coffee.png"), reference.to_str().expect("a path"));
    let output = worker(&["check", "yolo12n", "--image", photo.to_str().expect("a path"), "--reference", reference]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("a cat of confidence 0.900 is not found"), "{said}");
    assert!(said.contains("a cup of confidence") && said.contains("is not in the reference"), "{said}");
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

/// As for a user who downloaded only the program: it fetches the model from its address. Here by way of a proxy,
/// which sees where the program wants to go and refuses it.
#[test]
fn without_cargo_the_models_own_address_is_asked() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = proxy.local_addr().expect("address");
    let asked = std::thread::spawn(move || {
        let (stream, _) = proxy.accept().expect("the program comes");
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).expect("a request");
        let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.get_mut().write_all(refusal).expect("an answer");
        line
    });
    let home = tempfile::tempdir().expect("tempdir");
    let output = Command::new(env!("CARGO_BIN_EXE_yolo-worker"))
        .arg("detect")
        .arg(photo("coffee.png"))
        .env_clear()
        .env("PATH", home.path())
        .env("HOME", home.path())
        .env("MODEL_CACHE", home.path().join("models"))
        .env("HTTPS_PROXY", format!("http://{address}"))
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();

    let manifest = models::Manifest::built_in();
    let sources = &manifest.get(models::DEFAULT).expect("the default model").sources;
    let url = sources.iter().find_map(|source| match source {
        models::Source::Url { url, .. } => Some(url.as_str()),
        models::Source::Crate { .. } => None,
    });
    let url = url.expect("an address");
    let host = url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).expect("a host");
    // Where the program never came, this ends the wait for it.
    drop(TcpStream::connect(address));
    assert_eq!(asked.join().expect("asked"), format!("CONNECT {host}:443 HTTP/1.1\r\n"), "{said}");

    let error = said.lines().last().expect("an error");
    assert!(error.starts_with("error: can't fetch the model yolo12n: ") && error.contains(url), "{said}");
    assert!(error.contains("no cargo on this machine") && error.contains("set MODEL to the path of"), "{said}");
    assert!(!home.path().join("models").exists(), "nothing is left behind");
}
