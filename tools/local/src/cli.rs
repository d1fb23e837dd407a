//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::{child, detect, flood, up};

/// Polybot's whole fleet on this machine: polybot, yolo-worker and metric-streamer on an embedded AWS, with a sandbox in
/// Telegram's place. Without a command it starts everything and stays.
#[derive(Parser, Debug)]
#[command(name = "local", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Send one photo through the whole fleet and print the bot's answer
    Detect(DetectArgs),
    /// Start everything and stay until ctrl-c (what runs where no command is given)
    Up,
    /// Flood a fleet with photos and report what became of each: a fleet of its own, or the one that SQS_QUEUE_URL and the
    /// other settings name
    Flood(Box<flood::FloodArgs>),
    /// One of the services, as this program starts it
    #[command(hide = true)]
    Service {
        #[arg(value_parser = ["polybot", "yolo-worker", "metric-streamer"])]
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(clap::Args, Debug)]
pub(crate) struct DetectArgs {
    /// The photo
    pub(crate) photo: PathBuf,
    /// Write the annotated photo here [default: NAME.detected.jpg in the current folder]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Print the Prediction as JSON instead of the bot's answer
    #[arg(long)]
    pub(crate) json: bool,
    /// The longest to wait for the answer, in seconds
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// A model of models.toml by name, or the path of an ONNX file
    #[arg(long, env, default_value = models::DEFAULT)]
    pub(crate) model: String,
}

impl DetectArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Run the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Some(Command::Service { name, args }) => return service(&name, args),
        Some(Command::Detect(args)) => on_runtime(detect::run(args)),
        Some(Command::Flood(args)) => {
            return on_runtime(flood::run(*args)).unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            });
        }
        Some(Command::Up) | None => on_runtime(up::run()),
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

fn service(name: &str, args: Vec<OsString>) -> ExitCode {
    if let Err(error) = child::end_with_parent() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let args = std::iter::once(name.into()).chain(args);
    match name {
        "polybot" => polybot::main(args),
        "yolo-worker" => yolo_worker::main(args),
        _ => metric_streamer::main(args),
    }
}
