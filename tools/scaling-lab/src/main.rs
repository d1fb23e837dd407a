//! See `scaling-lab --help`.

fn main() -> std::process::ExitCode {
    scaling_lab::cli::main()
}
