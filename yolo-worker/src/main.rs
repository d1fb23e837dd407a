//! See the library.

fn main() -> std::process::ExitCode {
    yolo_worker::main(std::env::args_os())
}
