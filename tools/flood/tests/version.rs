//! The program tells what it was built from.

use std::process::Command;

#[test]
fn the_version_names_the_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_flood")).arg("--version").output().expect("the program runs");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("text");
    let commit = said.strip_prefix(concat!("flood ", env!("CARGO_PKG_VERSION"), " (commit "));
    let commit = commit.and_then(|rest| rest.strip_suffix(")\n")).expect(&said);
    // In full, where it is known.
    assert!(commit == "unknown" || commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && commit.len() >= 40, "{said}");
}
