//! See `flood --help`.

use fleet::BuildInfo;

fn main() -> std::process::ExitCode {
    flood::cli::main(BuildInfo { version: env!("CARGO_PKG_VERSION"), commit: commit::of_sources!() })
}
