//! See the library.

use fleet::BuildInfo;

fn main() -> std::process::ExitCode {
    let build = BuildInfo { version: env!("CARGO_PKG_VERSION"), commit: commit::of_sources!() };
    metric_streamer::main(std::env::args_os(), build)
}
