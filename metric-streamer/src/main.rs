//! See the library.

fn main() -> std::process::ExitCode {
    metric_streamer::main(std::env::args_os())
}
