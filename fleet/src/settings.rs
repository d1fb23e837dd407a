//! Settings are flags with the same name as an environment variable; a missing one is named in one sentence.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser};
use secrecy::SecretString;

use crate::BuildInfo;

/// How a service reports on itself.
#[derive(Args, Clone, Debug)]
pub struct Telemetry {
    /// `json` for machines, `pretty` for people
    #[arg(long, env = "LOG_FORMAT", default_value = "json", value_parser = ["json", "pretty"])]
    pub log_format: String,
}

/// A setting that is a secret: a text that is not empty, and that no log or error repeats.
#[must_use]
pub fn secret() -> impl TypedValueParser<Value = SecretString> {
    NonEmptyStringValueParser::new().map(SecretString::from)
}

/// A setting that is a time above zero, as [`duration::parse`] reads it.
///
/// # Errors
/// A sentence, if it is not a time above zero.
pub fn interval(text: &str) -> Result<Duration, String> {
    Some(duration::parse(text)?).filter(|time| !time.is_zero()).ok_or_else(|| "expected more than 0 seconds".into())
}

/// A setting that is a time within these bounds in seconds, as [`duration::parse`] reads it.
pub fn duration_in(seconds: RangeInclusive<f64>) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let duration = duration::parse(text)?;
        match seconds.contains(&duration.as_secs_f64()) {
            true => Ok(duration),
            false => Err(format!("expected {} to {} seconds", seconds.start(), seconds.end())),
        }
    }
}

/// Read the settings of a service from flags and environment.
///
/// # Errors
/// What to print and the exit code: help and version (0), or a sentence that names the first missing or wrong setting (2).
pub fn parse<S: Parser>(args: impl IntoIterator<Item = OsString>, build: BuildInfo) -> Result<S, (String, u8)> {
    S::try_parse_from(args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => (error.render().ansi().to_string(), 0),
        ErrorKind::DisplayVersion => (version::<S>(build), 0),
        ErrorKind::MissingRequiredArgument => {
            (missing_setting(&error, &S::command()).unwrap_or_else(|| error.render().to_string()), 2)
        }
        _ => (error.render().to_string(), 2),
    })
}

/// What `--version` prints. Not clap's own, which a library would have to know at compile time.
fn version<C: CommandFactory>(build: BuildInfo) -> String {
    format!("{} {build}\n", C::command().get_name())
}

/// This process's arguments, for a program that people run: where they are not right, and for `--help` and `--version`, this
/// prints and ends as clap does.
#[must_use]
pub fn parse_as_clap<C: Parser>(build: BuildInfo) -> C {
    C::try_parse().unwrap_or_else(|error| {
        if error.kind() == ErrorKind::DisplayVersion {
            print!("{}", version::<C>(build));
            std::process::exit(0);
        }
        error.exit()
    })
}

/// "BUCKET_NAME is not set": clap lists every missing flag as `--bucket-name <BUCKET_NAME>`; the first as the settings
/// are declared will do.
fn missing_setting(error: &clap::Error, command: &clap::Command) -> Option<String> {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return None };
    let missing: Vec<&str> = missing.iter().filter_map(|usage| usage.split_whitespace().next()).collect();
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let declared = commands.flat_map(clap::Command::get_arguments).filter_map(|argument| argument.get_long());
    let mut declared = declared.map(|long| format!("--{long}"));
    let flag =
        declared.find(|flag| missing.contains(&flag.as_str())).or_else(|| Some((*missing.first()?).to_owned()))?;
    let variable = flag.strip_prefix("--")?.replace('-', "_").to_uppercase();
    Some(format!(
        "error: {variable} is not set. Set the environment variable {variable} or pass {flag}; --help lists all settings\n"
    ))
}

/// Parse the settings or end the process as [`parse`] says.
#[must_use]
pub fn parse_or_exit<S: Parser>(args: impl IntoIterator<Item = OsString>, build: BuildInfo) -> S {
    parse(args, build).unwrap_or_else(|(message, code)| {
        if code == 0 {
            print!("{message}");
        } else {
            eprint!("{message}");
        }
        std::process::exit(code.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser, Debug)]
    #[command(name = "service", version)]
    struct Settings {
        #[arg(long)]
        bucket_name: String,
        #[arg(long)]
        sqs_queue_url: String,
    }

    fn parsed(args: &[&str]) -> Result<Settings, (String, u8)> {
        let build = BuildInfo { version: "1.2.3", commit: "abc" };
        parse(std::iter::once("service").chain(args.iter().copied()).map(OsString::from), build)
    }

    #[test]
    fn the_first_missing_setting_is_named() {
        let (message, code) = parsed(&[]).expect_err("missing");
        assert!(message.starts_with("error: BUCKET_NAME is not set"), "{message}");
        assert_eq!(code, 2);
        let (message, _) = parsed(&["--bucket-name", "b"]).expect_err("missing");
        assert!(message.starts_with("error: SQS_QUEUE_URL is not set"), "{message}");
        let settings = parsed(&["--bucket-name", "b", "--sqs-queue-url", "u"]).expect("complete");
        assert_eq!((settings.bucket_name, settings.sqs_queue_url), ("b".into(), "u".into()));
    }

    #[test]
    fn times_have_limits() {
        assert_eq!(interval("10"), Ok(Duration::from_secs(10)));
        assert!(interval("0").is_err());
        let in_range = duration_in(0.1..=60.0);
        assert_eq!(in_range("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(in_range("61"), Err("expected 0.1 to 60 seconds".into()));
        assert!(in_range("0").is_err() && in_range("soon").is_err());
    }

    #[test]
    fn help_is_no_error() {
        assert_eq!(parsed(&["--help"]).expect_err("help").1, 0);
    }

    #[test]
    fn the_version_names_the_commit() {
        for flag in ["--version", "-V"] {
            assert_eq!(parsed(&[flag]).expect_err("a version"), ("service 1.2.3 (commit abc)\n".into(), 0));
        }
    }
}
