//! The program alone names the first setting that is missing.

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
}
