//! The command line: the service, and what operators run by hand.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use fleet::BuildInfo;
use fleet::service::{self, HealthCheck};

use crate::answers::Redrive;
use crate::{Settings, run};

/// Where the service listens unless told otherwise.
const PORT: u16 = 8443;

/// The Telegram bot: takes photos, queues them for the workers, answers with what they found.
#[derive(Parser)]
#[command(name = "polybot", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve Telegram until stopped (what runs where no command is given)
    Serve(Box<Settings>),
    /// Put jobs that failed too often back onto the queue
    Redrive(Redrive),
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
        Command::Redrive(redrive) => service::block_on(redrive.run()),
        Command::Healthcheck(check) => check.run(PORT).map_err(anyhow::Error::from),
    })
}
