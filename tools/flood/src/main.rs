//! See `flood --help`.

fn main() -> std::process::ExitCode {
    flood::cli::main()
}
