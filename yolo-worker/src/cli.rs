//! The command line: the service, and what people run by hand.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use fleet::BuildInfo;
use fleet::service::{self, HealthCheck};

use crate::{Settings, bench, check, detect, run};

/// Where the service listens unless told otherwise.
const PORT: u16 = 8081;

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
    /// Tell what a model is, how it is computed and what it finds; needs no AWS
    Check(check::Args),
    /// Ask the service on this machine whether it is well
    Healthcheck(HealthCheck),
}

/// The command line, to read what it takes.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Run the program with these arguments, the first being its name.
pub fn main(args: impl IntoIterator<Item = OsString>, build: BuildInfo) -> ExitCode {
    let cli: Cli = fleet::settings::parse_or_exit(service::with_default_command(args.into_iter().collect()), build);
    service::exit_code(match cli.command {
        Command::Serve(settings) => {
            let log = settings.telemetry.clone();
            service::serve(&log, build, settings.listen_addr, |platform, listener, shutdown| {
                run(*settings, platform, listener, shutdown)
            })
        }
        Command::Detect(args) => detect::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Healthcheck(check) => check.run(PORT).map_err(anyhow::Error::from),
    })
}
