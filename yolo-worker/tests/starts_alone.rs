//! The program alone names the first setting that is missing, and what it was built from.

use std::process::Command;

#[test]
fn the_first_missing_setting_is_named() {
    let said = |settings: &[(&str, &str)]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_yolo-worker")).env_clear().envs(settings.iter().copied()).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("text")
    };
    let mut settings = Vec::new();
    for (name, value) in [
        ("BUCKET_NAME", "b"),
        ("SQS_QUEUE_URL", "http://127.0.0.1/1/q"),
        ("DYNAMODB_TABLE", "t"),
        ("POLYBOT_RESULTS_URL", "http://127.0.0.1/results"),
        ("RESULTS_SECRET", "s"),
    ] {
        let words = said(&settings);
        assert!(words.starts_with(&format!("error: {name} is not set")), "{words}");
        settings.push((name, value));
    }
}

#[test]
fn the_version_names_the_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_yolo-worker")).arg("--version").output().expect("the program runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let commit = said.strip_prefix(concat!("yolo-worker ", env!("CARGO_PKG_VERSION"), " (commit "));
    let commit = commit.and_then(|rest| rest.strip_suffix(")\n")).expect(&said);
    // In full, where it is known.
    assert!(commit == "unknown" || commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && commit.len() >= 40, "{said}");
}
