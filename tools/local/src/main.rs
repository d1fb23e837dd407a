//! See the library.

use fleet::BuildInfo;

fn main() -> std::process::ExitCode {
    local::main(BuildInfo { version: env!("CARGO_PKG_VERSION"), commit: commit::of_sources!() })
}
