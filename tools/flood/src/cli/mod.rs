//! The command line: also a part of other programs' (`local flood`).

mod show;
mod signals;
mod target;
mod values;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{ArgGroup, Parser, ValueEnum};
use fleet::BuildInfo;

pub use target::Target;

use crate::{Door, Flood, Photo, Plan, Report, Shape, Spacing};
use signals::Signals;

/// Floods a fleet with photos and reports what became of each.
///
/// Jobs arrive when the plan says so, whatever became of those before them (open loop), and each answer's latency is
/// counted from the moment its job was due. Ctrl-c ends the arrivals and waits for the answers; a second one ends that, too.
/// The exit code is 0 if every job was answered.
#[derive(Parser, Debug)]
#[command(name = "flood", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// A flood on the command line.
#[derive(clap::Args, Clone, Debug)]
#[command(group = ArgGroup::new("shape").required(true).args(["rate", "ramp", "spike", "trace", "count"]))]
pub struct Args {
    /// Jobs a second, for the time that --for gives
    #[arg(
        long,
        value_name = "JOBS/S",
        requires = "duration",
        allow_negative_numbers = true,
        help_heading = "What arrives when"
    )]
    rate: Option<f64>,
    /// How long to send with --rate: 60s, 2m, 500ms
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse, requires = "rate",
          help_heading = "What arrives when")]
    duration: Option<Duration>,
    /// From one rate to another within a time: 0:100:120s
    #[arg(long, value_name = "FROM:TO:TIME", value_parser = values::ramp, allow_hyphen_values = true,
          help_heading = "What arrives when")]
    ramp: Option<Shape>,
    /// A base rate with a burst in the second fifth of the time; without a value 2:50:60s
    #[arg(long, value_name = "BASE:PEAK:TIME", value_parser = values::spike, num_args = 0..=1,
          default_missing_value = "2:50:60s", help_heading = "What arrives when")]
    spike: Option<Shape>,
    /// Rates from a CSV file with the columns seconds and rate, with straight lines between the points; the last line is the end
    #[arg(long, value_name = "FILE.csv", help_heading = "What arrives when")]
    trace: Option<PathBuf>,
    /// This many jobs, as fast as the fleet takes them
    #[arg(long, value_name = "JOBS", help_heading = "What arrives when")]
    count: Option<u64>,
    /// How arrivals are spaced
    #[arg(long, value_enum, default_value_t, help_heading = "What arrives when")]
    spacing: SpacingName,
    /// The seed of Poisson arrivals: the same seed gives the same arrivals
    #[arg(long, default_value_t = 1, help_heading = "What arrives when")]
    seed: u64,
    /// The longest to wait for answers after the last arrival
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration::parse,
          help_heading = "What arrives when")]
    drain: Duration,
    /// Photos to send in turn, or folders of them [default: three small photos that come with the program]
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    photos: Vec<PathBuf>,
    /// How the jobs reach the fleet
    #[arg(long, value_enum, default_value_t)]
    door: DoorName,
    /// Write the report into this folder, as flood.html and flood.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the report as JSON instead of text
    #[arg(long)]
    json: bool,
    /// Which fleet.
    #[command(flatten)]
    target: Target,
}

/// [`Spacing`] on the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum SpacingName {
    /// As independent people send: exponential gaps
    #[default]
    Poisson,
    /// Equal gaps
    Even,
}

/// [`Door`] on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DoorName {
    /// Straight to SQS; each photo is stored in S3 once. Nobody in Telegram is told, unless --chat-id is given
    #[default]
    Queue,
    /// Through polybot's /loadTest, which LOAD_TEST enables: needs --load-test-url and --chat-id, and reads LOAD_TEST_SECRET
    /// from the environment
    LoadTest,
    /// As people in the Telegram sandbox: only where the sandbox runs in the same program (`local flood`)
    Telegram,
}

impl Args {
    /// The door that was asked for.
    #[must_use]
    pub fn door_name(&self) -> DoorName {
        self.door
    }

    /// Which fleet was asked for.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let shape = match (self.rate, self.duration, self.count) {
            (Some(rate), Some(duration), _) => Shape::Constant { rate, duration },
            (_, _, Some(jobs)) => Shape::Count { jobs },
            _ => match (self.ramp.as_ref().or(self.spike.as_ref()), &self.trace) {
                (Some(shape), _) => shape.clone(),
                (None, Some(file)) => Shape::trace(file)?,
                (None, None) => bail!("say what arrives: --rate, --ramp, --spike, --trace or --count"),
            },
        };
        let spacing = match self.spacing {
            SpacingName::Poisson => Spacing::Poisson,
            SpacingName::Even => Spacing::Even,
        };
        Ok(Plan { shape, spacing, seed: self.seed, drain: self.drain })
    }

    fn photos(&self) -> anyhow::Result<Vec<Photo>> {
        Ok(if self.photos.is_empty() { Photo::samples() } else { Photo::read(&self.photos)? })
    }
}

/// Run the program with this process's arguments.
#[must_use]
pub fn main(build: BuildInfo) -> ExitCode {
    let Cli { args } = fleet::settings::parse_as_clap(build);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start")
        .and_then(|runtime| runtime.block_on(async { run(&args, args.target.door(args.door).await?).await }));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Flood through this door, show how it goes, and report. Answers whether every job was answered.
///
/// # Errors
/// If the flood can't begin, or the report can't be written.
pub async fn run(args: &Args, door: Door) -> anyhow::Result<bool> {
    let (plan, photos) = (args.plan()?, args.photos()?);
    if let Some(out) = &args.out {
        // Before the flood: its report would be lost.
        std::fs::create_dir_all(out).with_context(|| format!("can't make the folder {} (--out)", out.display()))?;
    }
    let mut signals = Signals::listen()?;
    let flood = tokio::select! {
        flood = Flood::start(plan, door, photos) => flood?,
        () = signals.received() => bail!("interrupted before the first job"),
    };
    let (progress, stopper) = (flood.progress(), flood.stopper());
    let shown = show::until_ended(flood.progress());
    let report = tokio::select! {
        (report, ()) = async { tokio::join!(flood.finish(), shown) } => report,
        never = signals.stop(&stopper, progress) => match never {},
    };
    deliver(args, &report)?;
    Ok(report.failed == 0 && report.outstanding == 0)
}

fn deliver(args: &Args, report: &Report) -> anyhow::Result<()> {
    let mut words = report.text();
    if let Some(out) = &args.out {
        let (html, json) = (out.join("flood.html"), out.join("flood.json"));
        report.write_html(&html).with_context(|| format!("can't write {}", html.display()))?;
        report.write_json(&json).with_context(|| format!("can't write {}", json.display()))?;
        words.push_str(&format!("report     {} and {}\n", html.display(), json.display()));
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?;
    } else {
        stdout.write_all(words.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Args, String> {
        let cli = Cli::try_parse_from(std::iter::once("flood").chain(line.split_whitespace()));
        cli.map(|cli| cli.args).map_err(|error| error.to_string())
    }

    fn shape(line: &str) -> Shape {
        args(line).expect("arguments").plan().expect("a plan").shape
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shape_can_be_asked_for() {
        let seconds = Duration::from_secs;
        assert_eq!(shape("--rate 50 --for 60s"), Shape::Constant { rate: 50.0, duration: seconds(60) });
        assert_eq!(shape("--ramp 0:100:120s"), Shape::Ramp { from: 0.0, to: 100.0, duration: seconds(120) });
        assert_eq!(shape("--spike --seed 3"), Shape::Spike { base: 2.0, peak: 50.0, duration: seconds(60) });
        assert_eq!(shape("--spike 1:9:5m"), Shape::Spike { base: 1.0, peak: 9.0, duration: seconds(300) });
        assert_eq!(shape("--count 3000"), Shape::Count { jobs: 3000 });
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, expected) in [
            ("", "required"),
            ("--rate 5", "--for"),
            ("--for 5s", "required"),
            ("--rate 5 --for 5s --count 3", "cannot be used with"),
            ("--ramp 0:100", "FROM:TO:TIME"),
            ("--ramp 0:x:5s", "\"x\" is not a number"),
            ("--rate 5 --for soon", "\"soon\" is not a time"),
            ("--count many", "invalid digit"),
            ("--count 3 --door window", "possible values"),
        ] {
            let error = args(line).expect_err("refused");
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_negative_rate_is_refused_in_words() {
        let args = args("--rate -5 --for 5s").expect("a number all the same");
        let error = args.plan().expect("a plan").arrivals().expect_err("refused").to_string();
        assert!(error.contains("-5 jobs a second is not a rate"), "{error}");
    }
}
