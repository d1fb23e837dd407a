//! See the library.

fn main() -> std::process::ExitCode {
    polybot::main(std::env::args_os())
}
