//! A service as a process of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

/// Tells a child the process that started it.
const PARENT: &str = "POLYBOT_LOCAL_PARENT";
/// What a service could find in this program's environment and must not: it serves the Telegram that it is told to, with
/// a token that only the bot gets; and a worker that finds a group there, as in a terminal that was told of another fleet,
/// would take this machine for an EC2 instance.
const NOT_INHERITED: [&str; 6] = [
    "TELEGRAM_TOKEN",
    "TELEGRAM_SECRET_ID",
    "TELEGRAM_APP_URL",
    "TELEGRAM_CERTIFICATE",
    "TELEGRAM_API_URL",
    "ASG_NAME",
];
/// How many of a child's last log lines are kept.
const KEPT_LINES: usize = 2_000;

/// In the child: ends this process when the parent ends, in whatever way. Does nothing if this process is not our child.
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL)).context("can't be tied to the process that started this")?;
    // It may have ended before that.
    if getppid() != Pid::from_raw(parent) {
        bail!("the process that started this is gone");
    }
    Ok(())
}

/// A line that a service logged.
#[derive(Clone, Debug)]
pub struct LogLine(Value);

impl LogLine {
    /// A field as text; empty if the line does not have it.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// Which of [`fleet::EVENTS`] it is; empty for other lines.
    #[must_use]
    pub fn event(&self) -> &str {
        self.field("event")
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        self.field("message")
    }

    /// Whether it is a warning or an error.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        matches!(self.field("level"), "WARN" | "ERROR")
    }

    /// For people: the sentence and, where there is one, the error.
    #[must_use]
    pub fn in_words(&self) -> String {
        match (self.message(), self.field("error")) {
            ("", _) => self.0.to_string(),
            (message, "") => message.into(),
            (message, error) => format!("{message}: {error}"),
        }
    }
}

/// The line as it was logged.
impl std::fmt::Display for LogLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a running child.
#[derive(Default)]
struct Seen {
    lines: VecDeque<LogLine>,
    listen_addr: Option<SocketAddr>,
    ended: bool,
}

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: tokio::process::Child,
    seen: Arc<Mutex<Seen>>,
    changes: watch::Receiver<()>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("listen_addr", &self.listen_addr).finish_non_exhaustive()
    }
}

impl Child {
    /// Start a service: `executable service NAME`, with these variables added to the environment.
    ///
    /// # Errors
    /// If no process can be started.
    pub fn start(
        executable: &std::path::Path,
        service: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(executable);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        let mut process = command
            .args(["service", service])
            .envs(environment)
            .env(PARENT, std::process::id().to_string())
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Its own group: a terminal's ctrl-c goes to this program, which then stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {service}"))?;
        let stderr = process.stderr.take().context("a child without standard error")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (changed, changes) = watch::channel(());
        let watched = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                watched.lock().unwrap_or_else(PoisonError::into_inner).take(&line);
                changed.send_replace(());
            }
            watched.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            changed.send_replace(());
        });
        Ok(Self { name: service.into(), process, seen, changes })
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until the service logs that it is ready; returns its address.
    ///
    /// # Errors
    /// If it ends before, with the last it said.
    pub async fn ready(&self) -> anyhow::Result<SocketAddr> {
        self.wait(|seen| seen.listen_addr).await.with_context(|| format!("{} did not start", self.name))
    }

    /// Wait until it says that it takes jobs: a worker's first receive was answered.
    ///
    /// # Errors
    /// If it ends before, with the last it said.
    pub async fn takes_jobs(&self) -> anyhow::Result<()> {
        self.logged(|line| line.event() == "takes_jobs")
            .await
            .with_context(|| format!("{} takes no jobs", self.name))?;
        Ok(())
    }

    /// Wait until it logs a line like this, or find one that it logged before.
    ///
    /// # Errors
    /// If it ends before.
    pub async fn logged(&self, wanted: impl Fn(&LogLine) -> bool) -> anyhow::Result<LogLine> {
        self.wait(|seen| seen.lines.iter().find(|line| wanted(line)).cloned()).await
    }

    /// The last it said, the oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    async fn wait<T>(&self, mut wanted: impl FnMut(&Seen) -> Option<T>) -> anyhow::Result<T> {
        let mut changes = self.changes.clone();
        loop {
            {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(found) = wanted(&seen) {
                    return Ok(found);
                }
                if seen.ended {
                    let last: Vec<String> = seen.lines.iter().rev().take(3).rev().map(LogLine::in_words).collect();
                    bail!("{} ended: {}", self.name, last.join("; "));
                }
            }
            // An error means that the reader is gone; then `ended` is set.
            let _ = changes.changed().await;
        }
    }

    /// Send SIGTERM.
    pub fn terminate(&self) {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Kill it, as a machine that dies.
    ///
    /// # Errors
    /// If the system refuses.
    pub async fn kill(&mut self) -> std::io::Result<()> {
        self.process.kill().await
    }

    /// Wait until it has ended.
    ///
    /// # Errors
    /// If the system can't tell.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Ask it to stop; kill it if it has not after `grace`.
    pub async fn stop(mut self, grace: Duration) {
        self.terminate();
        if tokio::time::timeout(grace, self.process.wait()).await.is_err() {
            // What is left is killed when it is dropped, if this fails.
            let _ = self.process.kill().await;
        }
    }
}

impl Seen {
    fn take(&mut self, line: &str) {
        let line = LogLine(serde_json::from_str(line).unwrap_or_else(|_| serde_json::json!({"message": line})));
        if line.event() == "ready" {
            self.listen_addr = line.field("listen_addr").parse().ok();
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}
