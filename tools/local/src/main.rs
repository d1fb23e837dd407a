//! See the library.

fn main() -> std::process::ExitCode {
    local::main()
}
