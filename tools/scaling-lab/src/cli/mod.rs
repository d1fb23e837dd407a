//! The commands of the lab: a part of other programs' (`local lab`).

mod setting_args;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use load::Spacing;

pub use setting_args::SettingArgs;

use crate::fetched::Past;
use crate::recommend::Machine;
use crate::report_page::{LIMITS, Report, front, sweep_html, table};
use crate::{Candidate, Distribution, Load, Priced, Run, Setting, prices, recommend, simulate, sweep};

/// The most settings of one sweep: more is a slip of the finger.
const MOST_CANDIDATES: usize = 100_000;

/// What the lab can be asked.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Simulate one fleet under a load
    Run(Box<RunArgs>),
    /// Simulate a grid of settings, and show those that no other setting beats in both cost and lateness
    Sweep(Box<SweepArgs>),
    /// Find the cheapest setting that keeps a promise
    Recommend(Box<RecommendArgs>),
    /// Simulate what `lab fetch` fetched, and compare it with what happened
    Replay(Box<ReplayArgs>),
}

/// What arrives.
#[derive(clap::Args, Clone, Debug)]
struct LoadArgs {
    /// What arrives: steady:RATE:TIME, step:FROM:TO:TIME, ramp:FROM:TO:TIME, spike:BASE:PEAK:TIME, day:LOW:HIGH:TIME,
    /// onoff:RATE:ON:OFF:TIME, or a FILE.csv with the columns seconds and rate (straight lines between them). RATE is photos a
    /// second, TIME such as 90s, 2h or 14d. May be repeated
    #[arg(long, required = true, value_name = "LOAD", help_heading = LOAD)]
    load: Vec<String>,
    #[command(flatten)]
    within: WithinLoadArgs,
}

#[derive(clap::Args, Clone, Debug)]
struct WithinLoadArgs {
    /// Multiply every rate
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive, help_heading = LOAD)]
    scale: f64,
    /// Compress the time by this factor, with the same rates
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = positive, help_heading = LOAD)]
    faster: f64,
    /// Photos arrive at equal gaps, instead of as independent people send them
    #[arg(long, help_heading = LOAD)]
    even: bool,
    /// The same seed gives the same result
    #[arg(long, default_value_t = 1, help_heading = LOAD)]
    seed: u64,
    /// Count only photos that are sent, and hours that are worked, after this moment
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse, help_heading = LOAD)]
    from: Duration,
}

const LOAD: &str = "What arrives";

impl WithinLoadArgs {
    fn within(&self, load: Load) -> Load {
        let spacing = if self.even { Spacing::Even } else { Spacing::Poisson };
        Load { spacing, ..load }.scaled(self.scale, self.faster)
    }

    fn run(&self) -> Run {
        Run { seed: self.seed, from: self.from, ..Run::default() }
    }
}

impl LoadArgs {
    fn loads(&self) -> anyhow::Result<Vec<Load>> {
        self.load.iter().map(|text| Ok(self.within.within(Load::parse(text)?))).collect()
    }
}

/// Where answers go.
#[derive(clap::Args, Clone, Debug)]
struct OutArgs {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write an HTML report and the JSON into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What instances cost.
#[derive(clap::Args, Clone, Debug)]
struct PriceArgs {
    /// The price of an instance type an hour, with :SPOT its spot price: c7a.large=0.1026:0.05. No price is built in
    #[arg(long, value_name = "TYPE=DOLLARS", help_heading = "What it costs")]
    price: Vec<Priced>,
}

/// One simulation.
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    setting: SettingArgs,
    #[command(flatten)]
    price: PriceArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// Many simulations.
#[derive(clap::Args, Clone, Debug)]
pub struct SweepArgs {
    /// Try each of these values for a setting, named like its flag: target=5,10,20. Repeat it to try all combinations
    #[arg(long, value_name = "FLAG=VALUES", required = true)]
    grid: Vec<String>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    setting: SettingArgs,
    #[command(flatten)]
    price: PriceArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// A promise.
#[derive(clap::Args, Clone, Debug)]
pub struct RecommendArgs {
    /// The share of photos that may be late, such as 1%
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = percent)]
    late: f64,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    setting: SettingArgs,
    #[command(flatten)]
    price: PriceArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// A past.
#[derive(clap::Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The folder that `lab fetch` wrote
    folder: PathBuf,
    #[command(flatten)]
    within: WithinLoadArgs,
    #[command(flatten)]
    setting: SettingArgs,
    #[command(flatten)]
    price: PriceArgs,
    #[command(flatten)]
    out: OutArgs,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number greater than 0".into())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    let number = number.filter(|number| (0.0..100.0).contains(number));
    Ok(number.ok_or("expected a percentage from 0 to below 100, for example 1%")? / 100.0)
}

impl Command {
    /// Do it.
    ///
    /// # Errors
    /// In a sentence, if it can't be done.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Run(args) => run(&args),
            Self::Sweep(args) => run_sweep(&args),
            Self::Recommend(args) => run_recommend(&args),
            Self::Replay(args) => replay(&args),
        }
    }
}

fn run(args: &RunArgs) -> anyhow::Result<()> {
    let loads = args.load.loads()?;
    let setting = args.setting.onto(Setting::default())?;
    let price = only_price(&args.price)?;
    let mut reports = Vec::new();
    for load in loads {
        let outcome = simulate(&setting, &load, args.load.within.run())?;
        reports.push(Report { setting: setting.clone(), load, outcome, price, measured: Vec::new() });
    }
    deliver_reports(&args.out, &reports)
}

fn deliver_reports(out: &OutArgs, reports: &[Report]) -> anyhow::Result<()> {
    if let Some(folder) = &out.out {
        make(folder)?;
        for (number, report) in reports.iter().enumerate() {
            let name = if reports.len() == 1 { "lab".to_owned() } else { format!("lab-{}", number + 1) };
            write(&folder.join(format!("{name}.html")), &report.html().map_err(anyhow::Error::from_boxed)?)?;
            write(&folder.join(format!("{name}.json")), &serde_json::to_string_pretty(&report.outcome)?)?;
        }
    }
    if out.json {
        let outcomes: Vec<_> = reports
            .iter()
            .map(|report| {
                let swing = report.outcome.swing();
                serde_json::json!({"load": report.load, "setting": report.setting, "outcome": report.outcome, "swing": swing})
            })
            .collect();
        return print(&serde_json::to_string_pretty(&outcomes)?);
    }
    let texts: Vec<String> = reports.iter().map(Report::text).collect();
    print(&format!("{}\n{LIMITS}", texts.join("\n")))?;
    told_where(out)
}

/// The price, where all instances are of one type.
fn only_price(args: &PriceArgs) -> anyhow::Result<Option<crate::Price>> {
    let table = prices(&args.price)?;
    if table.len() > 1 {
        bail!("{} prices and one fleet: give the price of the type that it runs on", table.len());
    }
    Ok(table.into_values().next())
}

fn run_sweep(args: &SweepArgs) -> anyhow::Result<()> {
    let loads = args.load.loads()?;
    let base = args.setting.onto(Setting::default())?;
    let price = only_price(&args.price)?;
    let grid: Vec<(String, Vec<String>)> = args.grid.iter().map(|text| axis(text)).collect::<anyhow::Result<_>>()?;
    let size: usize = grid.iter().map(|(_, values)| values.len()).product();
    if size > MOST_CANDIDATES {
        bail!("this grid has {size} settings; at most {MOST_CANDIDATES}");
    }
    let candidate = |mut number: usize| {
        let mut choices = Vec::with_capacity(grid.len());
        for (name, values) in &grid {
            choices.push((name.clone(), values[number % values.len()].clone()));
            number /= values.len();
        }
        let setting = chosen(&choices, &args.setting)?;
        setting.check().with_context(|| words(&choices))?;
        Ok(Candidate { choices, setting, price })
    };
    // Said before anything is simulated.
    base.check()?;
    let candidates: Vec<Candidate> = (0..size).map(candidate).collect::<anyhow::Result<_>>()?;
    let bar = bar(candidates.len() * loads.len());
    let scores = sweep(&candidates, &loads, args.load.within.run(), |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    if let Some(folder) = &args.out.out {
        make(folder)?;
        let names: Vec<&str> = grid.iter().map(|(name, _)| name.as_str()).collect();
        let title = format!("{} under {}", names.join(" and "), named(&loads));
        write(&folder.join("sweep.html"), &sweep_html(&title, &scores).map_err(anyhow::Error::from_boxed)?)?;
        write(&folder.join("sweep.json"), &serde_json::to_string_pretty(&scores)?)?;
    }
    if args.out.json {
        return print(&serde_json::to_string_pretty(&scores)?);
    }
    let front = front(&scores);
    print(&format!(
        "{}\nOf {} settings none beats these in both cost and lateness:\n{}",
        table(&scores),
        scores.len(),
        table(&front)
    ))?;
    told_where(&args.out)
}

/// `flag=value,value`.
fn axis(text: &str) -> anyhow::Result<(String, Vec<String>)> {
    let (name, values) = text
        .split_once('=')
        .with_context(|| format!("{text:?} is not an axis: expected for example target=5,10,20"))?;
    let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
    Ok((name.trim_start_matches("--").to_owned(), values))
}

fn words(choices: &[(String, String)]) -> String {
    choices.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// The flags of a point of the grid, on those of the command line.
fn chosen(choices: &[(String, String)], given: &SettingArgs) -> anyhow::Result<Setting> {
    /// Only a setting.
    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Point {
        #[command(flatten)]
        setting: SettingArgs,
    }
    // `policy` has a value with an equals sign in it, and is its own axis: policy=WorkerDemand=70,WorkerDemand=85.
    let args = choices.iter().map(|(name, value)| format!("--{name}={value}"));
    let point = Point::try_parse_from(args).map_err(|error| {
        let sentence = error.to_string();
        let sentence = sentence.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        anyhow::anyhow!("the grid: {sentence}")
    })?;
    Ok(given.joined(&point.setting).onto(Setting::default())?)
}

fn named(loads: &[Load]) -> String {
    loads.iter().map(|load| load.name.as_str()).collect::<Vec<_>>().join(" and ")
}

fn run_recommend(args: &RecommendArgs) -> anyhow::Result<()> {
    let loads = args.load.loads()?;
    let base = args.setting.onto(Setting::default())?;
    let machines = machines(args, &base)?;
    let bar = bar(0);
    let done = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let run = args.load.within.run();
    let found = recommend(&base, &machines, &loads, args.late, run, done)?;
    bar.finish_and_clear();
    let price = found.chosen.dollars.and_then(|_| {
        let chosen = found.chosen.choices.iter().find(|(name, _)| name == "type").map(|(_, value)| value);
        machines.iter().find(|machine| machine.instance_type.as_ref() == chosen).and_then(|machine| machine.price)
    });
    if let Some(folder) = &args.out.out {
        make(folder)?;
        let mut reports = Vec::new();
        for load in loads {
            let outcome = simulate(&found.setting, &load, run)?;
            reports.push(Report { setting: found.setting.clone(), load, outcome, price, measured: Vec::new() });
        }
        write(&folder.join("recommend.html"), &found.html(&reports).map_err(anyhow::Error::from_boxed)?)?;
        write(&folder.join("recommend.json"), &serde_json::to_string_pretty(&found)?)?;
    }
    if args.out.json {
        return print(&serde_json::to_string_pretty(&found)?);
    }
    print(&format!("{}\n{LIMITS}", found.text()))?;
    told_where(&args.out)
}

/// What workers could run on: each type that has a bench, or the one that is described.
fn machines(args: &RecommendArgs, base: &Setting) -> anyhow::Result<Vec<Machine>> {
    let table = prices(&args.price.price)?;
    let benches = args.setting.benches();
    if benches.len() < 2 && benches.iter().all(|bench| bench.instance_type.is_none()) {
        if table.len() > 1 {
            bail!(
                "{} prices and one speed: say with --bench TYPE=FILE how fast each type is, or give one price",
                table.len()
            );
        }
        let (instance_type, price) = table.into_iter().next().unzip();
        return Ok(vec![Machine { instance_type, worker: base.worker.clone(), price }]);
    }
    let mut machines = Vec::new();
    for bench in benches {
        let Some(name) = &bench.instance_type else {
            bail!("{} is of no type: with several benches each needs one, as --bench TYPE=FILE", bench.file.display());
        };
        let price = table.get(name).copied();
        if price.is_none() && !table.is_empty() {
            bail!("there is no price of {name}: give --price {name}=DOLLARS, or no price at all");
        }
        let (service, threads) = Distribution::bench(&bench.file)?;
        let worker = crate::Worker { service, threads, ..base.worker.clone() };
        machines.push(Machine { instance_type: Some(name.clone()), worker, price });
    }
    if let Some(name) =
        table.keys().find(|name| !machines.iter().any(|machine| machine.instance_type.as_ref() == Some(name)))
    {
        bail!("{name} has a price and no speed: give --bench {name}=FILE");
    }
    Ok(machines)
}

fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let past = Past::read(&args.folder)?;
    let setting = args.setting.onto(Setting::default())?;
    let load = args.within.within(past.load.clone());
    let outcome = simulate(&setting, &load, args.within.run())?;
    let compared = past.mean_workers().map_or_else(String::new, |workers| {
        format!(
            "there were {workers:.2} workers in service on average, and {:.0} messages waiting at most",
            past.most_waiting()
        )
    });
    let report = Report { setting, load, outcome, price: only_price(&args.price)?, measured: past.lines() };
    deliver_reports(&args.out, &[report])?;
    if !args.out.json && !compared.is_empty() {
        print(&compared)?;
    }
    Ok(())
}

fn bar(tasks: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(tasks as u64);
    // The template is a constant; were it wrong, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{elapsed} [{bar:32}] {pos}/{len} simulations, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn make(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {} (--out)", folder.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn told_where(out: &OutArgs) -> anyhow::Result<()> {
    match &out.out {
        Some(folder) => print(&format!("the report is in {}", folder.display())),
        None => Ok(()),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}") {
        // The reader has closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// A laboratory for the fleet's scaling: try a setting in seconds, for nothing.
#[derive(Parser, Debug)]
#[command(name = "scaling-lab", version)]
struct Lab {
    #[command(subcommand)]
    command: Command,
}

/// Run the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    match Lab::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let lab = Lab::try_parse_from(std::iter::once("lab").chain(line.split_whitespace()));
        lab.map(|lab| lab.command).map_err(|error| error.to_string())
    }

    fn done(line: &str) -> Result<(), String> {
        parsed(line)?.run().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Lab::command().debug_assert();
    }

    #[test]
    fn every_flag_of_a_setting_reaches_it() {
        let Command::Run(args) = parsed(
            "run --load steady:5:60s --threads 4 --service exp:200ms --held 3 --fetch 1s --store 2s --min 2 --max 20 --initial 3 \
             --schedule 8h-18h:5 --policy WorkerDemand=70 --policy BacklogPerInstance=20:out --boot 60s --in-service-after ready \
             --warmup 30s --drain 50s --interval 10s --period 10s --delay 5s --on-demand-base 2 --on-demand-percent 50 \
             --interruptions 0.1 --outage 2h:10m --crashes 0.2 --visibility-timeout 30s --max-receives 4 --promise 8s --time-scale 2",
        )
        .expect("parsed") else {
            panic!("run")
        };
        let setting = args.setting.onto(Setting::default()).expect("a setting");
        let default = Setting::default().faster(2);
        assert_eq!((setting.worker.threads, setting.worker.held_per_thread), (4, 3));
        assert_eq!((setting.group.min, setting.group.max, setting.group.initial), (2, 20, 3));
        assert_eq!(setting.in_service_after, None);
        assert_eq!((setting.warmup, setting.publishing.period), (Duration::from_secs(15), Duration::from_secs(5)));
        assert_eq!(setting.losses.outages.len() + setting.group.schedule.len(), 2);
        assert!(
            matches!(&setting.scaling, crate::Scaling::TargetTracking(policies) if policies.len() == 2 && policies[1].disable_scale_in)
        );
        for (one, other) in [(setting.drain, default.drain), (setting.promise, default.promise)] {
            assert_ne!(one, other);
        }
        setting.check().expect("sound");
    }

    #[test]
    fn what_makes_no_sense_is_one_sentence() {
        for (line, expected) in [
            ("run", "--load"),
            ("run --load steady:-5:60s", "-5 jobs a second is not a rate"),
            ("run --load steady:5:60s --target 0", "a target of 0 for BacklogPerInstance"),
            ("run --load steady:5:60s --target -1", "a target of -1"),
            ("run --load steady:5:60s --min 5 --max 2", "above the maximum"),
            ("run --load steady:5:60s --price 0.1", "TYPE=DOLLARS"),
            ("run --load steady:5:60s --price a=1 --price b=2", "2 prices and one fleet"),
            ("run --load steady:5:60s --scale 0", "greater than 0"),
            ("run --load steady:5:60s --from 60s", "when the load of 60 s is over"),
            ("run --load steady:5:60s --policy Luck=3", "is not a metric"),
            ("recommend --load steady:5:60s --late 100%", "below 100"),
            ("recommend --load steady:5:60s --price a=1 --price b=2", "how fast each type is"),
            ("sweep --load steady:5:60s --grid target", "is not an axis"),
            ("sweep --load steady:5:60s --grid colour=red,blue", "the grid: unexpected argument '--colour'"),
            ("sweep --load steady:5:60s --grid target=5,0", "a target of 0"),
            ("replay nowhere", "can't read nowhere/load.csv"),
        ] {
            let error = done(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_grid_is_all_combinations_and_reports_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("sweep");
        let line = format!(
            "sweep --load spike:2:30:30m --grid target=5,50 --grid min=1,2,3 --max 12 --price c7a.large=0.1 --out {}",
            out.display()
        );
        done(&line).expect("swept");
        let scores: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(out.join("sweep.json")).expect("written")).expect("JSON");
        let scores = scores.as_array().expect("scores");
        assert_eq!(scores.len(), 6);
        assert!(scores.iter().any(|score| score["on_the_front"] == true) && scores[0]["dollars"].is_number());
        let page = std::fs::read_to_string(out.join("sweep.html")).expect("written");
        assert!(page.contains("target and min under spike:2:30:30m"));

        let out = folder.path().join("run");
        done(&format!("run --load steady:5:10m --out {}", out.display())).expect("run");
        assert!(out.join("lab.html").is_file() && out.join("lab.json").is_file());
        let out = folder.path().join("recommend");
        done(&format!("recommend --load spike:4:20:40m --promise 20s --out {}", out.display())).expect("recommended");
        assert!(std::fs::read_to_string(out.join("recommend.html")).expect("written").contains("WorkerMin="));
    }
}
