//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use fleet::BuildInfo;

use crate::scaling::{Scaling, ScalingPolicy, TimeScale};
use crate::{child, demo, detect, flood, lab, up};

/// Polybot's whole fleet on this machine: polybot, yolo-worker and metric-streamer on an embedded AWS, with a sandbox in
/// Telegram's place. Without a command it starts everything and stays.
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
    /// Start everything and stay until ctrl-c (what runs where no command is given). With TELEGRAM_TOKEN in the
    /// environment it serves that bot at the real Telegram, by long polling
    Up(UpArgs),
    /// See the fleet scale: flood it, watch it grow and shrink again, and read the report. Takes one to three minutes
    Demo(DemoArgs),
    /// Flood a fleet with photos and report what became of each: a fleet of its own, or the one that SQS_QUEUE_URL and the
    /// other settings name
    Flood(Box<flood::FloodArgs>),
    /// Simulate the fleet and its scaling: a target, a minimum, an instance type tried in seconds and for nothing
    #[command(subcommand)]
    Lab(lab::LabCommand),
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

#[derive(clap::Args, Debug)]
pub(crate) struct UpArgs {
    /// A model of models.toml by name, or the path of an ONNX file
    #[arg(long, env, default_value = models::DEFAULT)]
    pub(crate) model: String,
    /// The page's port on loopback; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Keep photos, records and jobs in this folder, for the next start. Without it they are gone at the end
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Write what another terminal needs to use the fleet into this file, for `source FILE` there, instead of printing it.
    /// The file is there for as long as the fleet is
    #[arg(long, value_name = "FILE")]
    pub(crate) env: Option<PathBuf>,
    #[command(flatten)]
    scaling: ScalingArgs,
}

impl UpArgs {
    pub(crate) fn scaling(&self) -> Scaling {
        self.scaling.scaling()
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct DemoArgs {
    /// A model of models.toml by name, the path of an ONNX file, or `stand-in:MILLISECONDS`, which detects nothing and
    /// takes that time for each photo
    #[arg(long, env, default_value = models::DEFAULT)]
    pub(crate) model: String,
    /// Where the report goes: demo.html, demo.json and the timeline
    #[arg(long, default_value = "demo-report")]
    pub(crate) out: PathBuf,
    /// The most workers, each with one thread
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(3..=16))]
    pub(crate) max: u32,
}

/// How the group of workers scales.
#[derive(clap::Args, Debug)]
pub(crate) struct ScalingArgs {
    /// How much faster than in AWS the group scales: 10 makes ten seconds one, 60 a minute a second, 1 is as in AWS
    #[arg(long, default_value_t = TimeScale::default())]
    time_scale: TimeScale,
    /// What it scales by: workers needed (WorkerDemand), the backlog per worker (BacklogPerInstance), or both
    #[arg(long, value_enum, default_value_t = ScalingPolicy::Demand)]
    policy: ScalingPolicy,
    /// Workers needed in percent of those in service that the group is to keep to
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    demand_target: f64,
    /// The backlog per worker that the group is to keep to, where it scales by that
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    target: f64,
    /// The period of the alarms in AWS's seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(10..=60))]
    period: u64,
    /// The fewest workers; 0 lets the last one go when nothing was sent for a quarter of an hour of AWS's
    #[arg(long, default_value_t = 1)]
    min: u32,
    /// The most workers, each with one thread [default: the number of cores, at least 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max: Option<u32>,
}

impl ScalingArgs {
    pub(crate) fn scaling(&self) -> Scaling {
        let default = Scaling::default();
        Scaling {
            max_size: self.max.unwrap_or(default.max_size),
            min_size: self.min,
            policy: self.policy,
            demand_target: self.demand_target,
            backlog_target: self.target,
            period: Duration::from_secs(self.period),
            time_scale: self.time_scale,
            ..default
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number greater than 0".into())
}

impl DetectArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
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
