//! `docs/contract.json`: what the three services promise to those who run them, as the programs themselves say it. README's table
//! of settings is made from it, and the checks of the infrastructure and of the delivery read it.
//!
//! `UPDATE=1 cargo test --release -p local --test contract` writes the contract and README's table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use local::{LocalFleet, Options};
use metric_streamer::PublishedMetric;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde::Serialize;
use serde_json::{Value, json};

const UPDATE: &str = "UPDATE=1 cargo test --release -p local --test contract";
const TABLE_FROM: &str =
    "<!-- made from docs/contract.json; UPDATE=1 cargo test --release -p local --test contract writes it -->\n";
const TABLE_TO: &str = "<!-- end of what is made -->\n";

const PHOTO: &[u8] = include_bytes!("photos/chelsea.png");

/// A service's name, its command line, and what it says about its metrics.
type Service = (&'static str, fn() -> clap::Command, fn());

const SERVICES: [Service; 3] = [
    ("polybot", polybot::command, polybot::describe_metrics),
    ("yolo-worker", yolo_worker::command, yolo_worker::describe_metrics),
    ("metric-streamer", metric_streamer::command, metric_streamer::describe_metrics),
];

/// One setting of one service.
#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    flag: String,
    help: String,
    /// The service does not start without it.
    required: bool,
    /// The service does not start without one of it and these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_unless: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    /// The only values it takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    /// `--help` does not show its value.
    secret: bool,
    /// `--help` does not show it.
    hidden: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Metric {
    name: String,
    kind: String,
    help: String,
}

/// Takes down what is described.
#[derive(Clone, Default)]
struct Described(Arc<Mutex<Vec<Metric>>>);

impl Described {
    fn add(&self, kind: &str, name: &KeyName, help: &SharedString) {
        let metric = Metric { name: name.as_str().to_owned(), kind: kind.to_owned(), help: help.to_string() };
        self.0.lock().expect("nobody panics here").push(metric);
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.add("counter", &name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.add("gauge", &name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.add("histogram", &name, &help);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn metrics_of(describe: fn()) -> Vec<Metric> {
    let described = Described::default();
    metrics::with_local_recorder(&described, describe);
    let mut metrics = described.0.lock().expect("nobody panics here").clone();
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    metrics
}

/// The settings of the command `serve`, in the order of its help.
fn settings_of(command: fn() -> clap::Command) -> Vec<Setting> {
    let program = command();
    let serve = program.find_subcommand("serve").expect("each service has the command serve");
    let alternatives = alternatives(serve);
    let with_variable = serve.get_arguments().filter_map(|argument| Some((argument, argument.get_env()?)));
    let setting = |(argument, variable): (&clap::Arg, &std::ffi::OsStr)| {
        let name = variable.to_str().expect("names are text").to_owned();
        let flag = format!("--{}", argument.get_long().expect("each setting is a flag"));
        let takes = argument.get_possible_values();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        Setting {
            required_unless: alternatives.get(&flag).cloned().unwrap_or_default(),
            name,
            help: argument.get_help().map(ToString::to_string).unwrap_or_default(),
            required: argument.is_required_set(),
            default: (!defaults.is_empty()).then(|| defaults.join(",")),
            values: takes.iter().map(|value| value.get_name().to_owned()).collect(),
            secret: argument.is_hide_env_values_set(),
            hidden: argument.is_hide_set(),
            flag,
        }
    };
    with_variable.map(setting).collect()
}

/// Flags without which the service does not start unless another is given, with the names of those others. clap does not tell, so it
/// is tried.
fn alternatives(serve: &clap::Command) -> BTreeMap<String, Vec<String>> {
    // An address suits whatever is required: it is a text, too.
    const VALUE: &str = "http://127.0.0.1/";
    let flag = |argument: &clap::Arg| format!("--{}", argument.get_long().unwrap_or_default());
    // Without the environment of whoever runs this test.
    let bare = serve.get_arguments().fold(serve.clone(), |command, argument| {
        command.mut_arg(argument.get_id().clone(), |argument| argument.env(None::<&str>))
    });
    let required: Vec<String> = serve.get_arguments().filter(|argument| argument.is_required_set()).map(flag).collect();
    let started = |also: Option<&str>| {
        let flags = required.iter().map(String::as_str).chain(also).flat_map(|flag| [flag, VALUE]);
        bare.clone().try_get_matches_from(std::iter::once("serve").chain(flags))
    };
    let missing = match started(None) {
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(flags)) => flags.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let first_word = |usage: &String| usage.split_whitespace().next().unwrap_or_default().to_owned();
    let alternatives_of = |wanted: &String| {
        let others = serve.get_arguments().filter(|argument| !required.contains(&flag(argument)));
        let helps = |argument: &&clap::Arg| flag(argument) != *wanted && started(Some(&flag(argument))).is_ok();
        let names = others.filter(|argument| argument.get_action().takes_values()).filter(helps);
        names.filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let wanted: Vec<String> = missing.iter().map(first_word).collect();
    wanted.into_iter().map(|wanted| (wanted.clone(), alternatives_of(&wanted))).collect()
}

/// What the fields of a log line are, by name: those of the line itself, and those of its span.
fn fields_of(line: &Value) -> Value {
    let kind = |value: &Value| match value {
        Value::Object(_) => fields_of(value),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "boolean".into(),
        Value::String(_) => "text".into(),
        _ => Value::Null,
    };
    let fields = line.as_object().into_iter().flatten().filter(|(name, _)| *name != "spans");
    fields.map(|(name, value)| (name.clone(), kind(value))).collect::<serde_json::Map<_, _>>().into()
}

/// What is seen when a photo is answered: the fields of the lines that metric filters take numbers from, and the stages of a job.
struct Seen {
    lines: Value,
    stages: BTreeSet<String>,
}

async fn seen() -> anyhow::Result<Seen> {
    let executable = env!("CARGO_BIN_EXE_local").into();
    let fleet = LocalFleet::start(Options { executable, ..Options::here("stand-in")? }, |_| ()).await?;
    let (worker, address) = &fleet.workers[0];
    fleet.telegram.user("Ada").post_photo(PHOTO.to_vec(), None);
    let finished = worker.logged(|line| line.event() == fleet::event::JOB_FINISHED.name).await?;
    let metrics = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    fleet.stop().await;
    let line = serde_json::from_str(&finished.to_string())?;
    let stages =
        metrics.lines().filter_map(|line| line.strip_prefix("worker_stage_seconds_count{stage=\"")?.split('"').next());
    Ok(Seen {
        lines: json!({ fleet::event::JOB_FINISHED.name: fields_of(&line) }),
        stages: stages.map(str::to_owned).collect(),
    })
}

fn contract(seen: &Seen, kept: &Value) -> Value {
    let service = |(name, command, describe): Service| {
        let service = json!({
            "settings": settings_of(command),
            "metrics": metrics_of(describe),
            // Written by polybot/tests/in_process.
            "aws_calls": kept["services"][name]["aws_calls"],
        });
        (name.to_owned(), service)
    };
    let published = |metric: PublishedMetric| json!({ "name": metric.name(), "unit": metric.unit().as_str(), "resolution": metric.resolution() });
    let event = |event: &fleet::Event| {
        json!({
            "name": event.name,
            "level": event.level.as_str(),
            "services": event.services,
            "meaning": event.meaning,
        })
    };
    let job = fleet::Job {
        version: fleet::job::VERSION,
        prediction_id: uuid::Uuid::nil(),
        chat_id: fleet::job::NOBODY,
        message_id: 0,
        image_key: fleet::images::original_key(uuid::Uuid::nil(), "jpg"),
        submitted_at: time::OffsetDateTime::UNIX_EPOCH,
    };
    let job = serde_json::to_value(job).expect("a job is JSON");
    json!({
        "services": SERVICES.map(service).into_iter().collect::<BTreeMap<_, _>>(),
        "cloudwatch": {
            "namespace": metric_streamer::NAMESPACE,
            "dimensions": metric_streamer::DIMENSIONS,
            "metrics": PublishedMetric::ALL.map(published),
        },
        "events": fleet::EVENTS.iter().map(event).collect::<Vec<_>>(),
        "lines": seen.lines,
        "labels": {
            "worker_jobs_total": { "outcome": yolo_worker::outcomes() },
            "worker_stage_seconds": { "stage": seen.stages },
        },
        "job": job,
        "images": {
            "originals": fleet::images::ORIGINALS,
            "shared": fleet::images::SHARED,
            "predicted": fleet::images::PREDICTED,
        },
        "undelivered_index": fleet::predictions::UNDELIVERED_INDEX,
        "request_seconds": fleet::server::Limits::default().request_time.as_secs(),
    })
}

/// One row for each setting that `--help` shows, of all services; the meaning is what the first of them says.
fn table(by_service: &[Vec<Setting>]) -> anyhow::Result<String> {
    let shown = by_service.iter().flatten().filter(|setting| !setting.hidden);
    let mut names: Vec<String> = shown.map(|setting| setting.name.clone()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let mut table =
        String::from("| setting | polybot | yolo-worker | metric-streamer | meaning |\n|---|:-:|:-:|:-:|---|\n");
    for name in names {
        let of = |settings: &'_ Vec<Setting>| settings.iter().position(|setting| setting.name == name);
        let mark = |settings: &Vec<Setting>| {
            let is_alternative = settings.iter().any(|other| other.required_unless.contains(&name));
            of(settings).map_or("", |at| match &settings[at] {
                setting if setting.required => "●",
                setting if is_alternative || !setting.required_unless.is_empty() => "◐",
                _ => "○",
            })
        };
        let marks: Vec<_> = by_service.iter().map(mark).collect();
        let first =
            by_service.iter().find_map(|settings| Some(&settings[of(settings)?])).context("it is of a service")?;
        let mut meaning = first.help.replace('|', "\\|");
        if !first.required_unless.is_empty() {
            let others: Vec<_> = first.required_unless.iter().map(|name| format!("`{name}`")).collect();
            write!(meaning, "; or else {}", others.join(" or "))?;
        }
        let are_said = first.values.iter().all(|value| first.help.contains(value.as_str()));
        if !first.values.is_empty() && first.values != ["true", "false"] && !are_said {
            let values: Vec<_> = first.values.iter().map(|value| format!("`{value}`")).collect();
            write!(meaning, ": {}", values.join(", "))?;
        }
        let mut defaults: Vec<_> = Vec::new();
        for default in by_service.iter().filter_map(|settings| settings[of(settings)?].default.as_deref()) {
            if !defaults.contains(&default) {
                defaults.push(default);
            }
        }
        if !defaults.is_empty() {
            let defaults: Vec<_> = defaults.iter().map(|default| format!("`{default}`")).collect();
            write!(meaning, ". Default: {}", defaults.join(", "))?;
        }
        writeln!(table, "| `{name}` | {} | {meaning} |", marks.join(" | "))?;
    }
    Ok(table)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("can't read {path}"))
}

/// Fails if the file differs, or writes it if `UPDATE` is set.
fn keep(path: &str, expected: &str) -> anyhow::Result<()> {
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(root().join(path), expected).with_context(|| format!("can't write {path}"));
    }
    anyhow::ensure!(read(path)? == expected, "{path} is out of date; {UPDATE} writes it");
    Ok(())
}

#[tokio::test]
async fn the_contract_is_what_the_programs_say() -> anyhow::Result<()> {
    let kept = serde_json::from_str(&read("docs/contract.json")?)?;
    keep("docs/contract.json", &format!("{:#}\n", contract(&seen().await?, &kept)))
}

#[test]
fn readme_has_the_table_of_settings() -> anyhow::Result<()> {
    let readme = read("README.md")?;
    let (before, rest) = readme.split_once(TABLE_FROM).context("README.md has the line before the table")?;
    let (_, after) = rest.split_once(TABLE_TO).context("README.md has the line after the table")?;
    keep(
        "README.md",
        &format!(
            "{before}{TABLE_FROM}\n{}\n{TABLE_TO}{after}",
            table(&SERVICES.map(|(_, command, _)| settings_of(command)))?
        ),
    )
}

#[test]
fn a_setting_in_place_of_another_is_found() {
    let settings = settings_of(polybot::command);
    let token = settings.iter().find(|setting| setting.name == "TELEGRAM_TOKEN").expect("polybot has a token");
    assert_eq!((token.required, token.secret), (false, true));
    assert_eq!(token.required_unless, ["TELEGRAM_SECRET_ID"]);
}
