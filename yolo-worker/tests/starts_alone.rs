//! The program alone names the first setting that is missing.

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
