//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fleet::BuildInfo;

use crate::demo::DemoArgs;
use crate::detect::DetectArgs;
use crate::up::UpArgs;
use crate::{child, demo, detect, flood, lab, up};

/// Runs Polybot's whole fleet on this machine: polybot, yolo-worker and metric-streamer on an embedded AWS, with a sandbox in
/// place of Telegram. Without a command it starts everything and stays.
#[derive(Parser, Debug)]
#[command(name = "local", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: UpArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Send one photo through the whole fleet and print the bot's answer
    Detect(DetectArgs),
    /// Start everything and stay until ctrl-c (the default command). With TELEGRAM_TOKEN in the environment it serves that
    /// bot at the real Telegram, by long polling
    Up(UpArgs),
    /// Watch the fleet scale: flood it, see it grow and shrink, and read the report. Takes one to three minutes
    Demo(DemoArgs),
    /// Flood a fleet with photos and report what became of each. It starts a fleet of its own, or uses the one that
    /// SQS_QUEUE_URL and the other settings name
    Flood(Box<flood::FloodArgs>),
    /// Simulate the fleet and its scaling: try a target, a minimum or an instance type in seconds, for free
    #[command(subcommand)]
    Lab(lab::LabCommand),
    /// Run one of the services, as this program starts it
    #[command(hide = true)]
    Service {
        #[arg(value_parser = ["polybot", "yolo-worker", "metric-streamer"])]
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// Run the program with this process's arguments.
#[must_use]
pub fn main(build: BuildInfo) -> ExitCode {
    let Cli { command, up } = fleet::settings::parse_as_clap(build);
    let outcome = match command {
        Some(Command::Service { name, args }) => return service(&name, args, build),
        Some(Command::Detect(args)) => on_runtime(detect::run(args)),
        Some(Command::Demo(args)) => on_runtime(demo::run(args)),
        Some(Command::Up(args)) => on_runtime(up::run(args)),
        Some(Command::Lab(command)) => on_runtime(lab::run(command)),
        None => on_runtime(up::run(up)),
        Some(Command::Flood(args)) => {
            return on_runtime(flood::run(*args)).unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            });
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_runtime<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

fn service(name: &str, args: Vec<OsString>, build: BuildInfo) -> ExitCode {
    if let Err(error) = child::end_with_parent() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let args = std::iter::once(name.into()).chain(args);
    match name {
        "polybot" => polybot::main(args, build),
        "yolo-worker" => yolo_worker::main(args, build),
        _ => metric_streamer::main(args, build),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("local").chain(args.iter().copied()))
    }

    #[test]
    fn no_command_takes_the_flags_of_up() {
        let flags = ["--time-scale", "12", "--target", "2.5", "--max", "7", "--model", "stand-in"];
        let bare = parsed(&flags).expect("flags alone");
        let up = parsed(&[&["up"], flags.as_slice()].concat()).expect("up with flags");
        let Some(Command::Up(up)) = up.command else { panic!("not up") };
        for args in [bare.up, up] {
            let scaling = args.scaling();
            assert_eq!((scaling.time_scale.times(), scaling.backlog_target, scaling.max_size), (12, 2.5, 7));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [["--target", "0"], ["--target", "NaN"], ["--max", "0"], ["--time-scale", "7"]] {
            assert!(parsed(&wrong).is_err(), "{wrong:?}");
        }
    }
}
