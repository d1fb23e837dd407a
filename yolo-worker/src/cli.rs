//! The command line: the service, and what people run by hand.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{Settings, bench, detect, service};

/// Finds objects in photos: a worker for the queue, and a tool for single images.
#[derive(Parser, Debug)]
#[command(name = "yolo-worker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Take jobs from the queue until stopped (what runs where no command is given)
    Serve(Box<Settings>),
    /// Detect the objects in one image; needs no AWS
    Detect(detect::Args),
    /// Time the detector; needs no AWS
    Bench(bench::Args),
}

/// Run the program with these arguments, the first being its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli: Cli = fleet::settings::parse_or_exit(with_default_command(args.into_iter().collect()));
    let outcome = match cli.command {
        Command::Serve(settings) => service::serve(*settings),
        Command::Detect(args) => detect::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Without a command, it is `serve`.
fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|arg| arg.to_str());
    let asks_about_the_program = matches!(first, Some("-h" | "--help" | "-V" | "--version"));
    if !asks_about_the_program && first.is_none_or(|arg| arg.starts_with('-')) {
        args.insert(1.min(args.len()), "serve".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_is_the_default() {
        let with_default = |args: &[&str]| {
            let args = with_default_command(args.iter().map(OsString::from).collect());
            args.into_iter().map(|arg| arg.into_string().expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(with_default(&["w"]), ["w", "serve"]);
        assert_eq!(with_default(&["w", "--model", "m"]), ["w", "serve", "--model", "m"]);
        assert_eq!(with_default(&["w", "bench", "--json"]), ["w", "bench", "--json"]);
        assert_eq!(with_default(&["w", "--help"]), ["w", "--help"]);
    }
}
