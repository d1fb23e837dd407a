//! The program alone names the first setting that is missing, and what it was built from.

use std::process::Command;

#[test]
fn the_first_missing_setting_is_named() {
    let said = |settings: &[(&str, &str)]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_metric-streamer")).env_clear().envs(settings.iter().copied()).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(said(&[]).starts_with("error: SQS_QUEUE_URL is not set"));
    assert!(said(&[("SQS_QUEUE_URL", "q")]).starts_with("error: ASG_NAME is not set"));
    let both = [("SQS_QUEUE_URL", "q"), ("ASG_NAME", "g")];
    assert!(said(&both).starts_with("error: DYNAMODB_TABLE is not set"));
}

#[test]
fn the_version_names_the_commit() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_metric-streamer")).arg("--version").output().expect("the program runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let commit = said.strip_prefix(concat!("metric-streamer ", env!("CARGO_PKG_VERSION"), " (commit "));
    let commit = commit.and_then(|rest| rest.strip_suffix(")\n")).expect(&said);
    // In full, where it is known.
    assert!(commit == "unknown" || commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && commit.len() >= 40, "{said}");
}
