//! How each service starts: a command line of commands, logs, signals, a socket.

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use metrics_exporter_prometheus::BuildError;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::settings::Telemetry;
use crate::telemetry::Metrics;
use crate::{BuildInfo, Clock, Platform, aws, server, shutdown, telemetry};

/// How often what was measured is put in order.
const UPKEEP: Duration = Duration::from_secs(5);

/// A service could not start. The cause is in the text.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket can't be opened.
    #[error("can't listen on {address} (LISTEN_ADDR): {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The system gives no runtime or no signal handlers.
    #[error("can't start: {0}")]
    System(std::io::Error),
    /// There is nothing to measure with.
    #[error("can't collect metrics: {0}")]
    Metrics(BuildError),
    /// A health check found the service ill, or did not find it.
    #[error("the service on port {port} is not healthy: {reason}")]
    Unhealthy {
        /// Where it was asked.
        port: u16,
        /// What was wrong.
        reason: std::io::Error,
    },
}

/// Log, open the socket, build the platform, and run the service until SIGTERM or ctrl-c.
///
/// # Errors
/// [`StartError`] if it can't start, and the errors of `run`.
pub fn serve<E, F>(
    log: &Telemetry,
    build: BuildInfo,
    listen_addr: SocketAddr,
    run: impl FnOnce(Platform, TcpListener, CancellationToken) -> F,
) -> Result<(), E>
where
    E: From<StartError>,
    F: Future<Output = Result<(), E>>,
{
    telemetry::log_to_stderr(&log.log_format);
    let metrics = Metrics::new(build).map_err(StartError::Metrics)?;
    let _here = metrics.on_this_thread();
    runtime(metrics).map_err(StartError::System)?.block_on(async {
        let shutdown = shutdown::on_signal().map_err(StartError::System)?;
        let listener = TcpListener::bind(listen_addr)
            .await
            .map_err(|reason| StartError::Listen { address: listen_addr, reason })?;
        let platform =
            Platform { build, clock: Clock::system(), metrics, aws: aws::config().await, metadata: aws::metadata() };
        run(platform, listener, shutdown).await
    })
}

/// A runtime for an instance of a service, all of whose threads measure there. Threads that the service starts by itself have
/// to be told.
///
/// # Errors
/// If the system gives none.
pub fn runtime(metrics: Metrics) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().on_thread_start(move || metrics.on_this_thread_for_good()).build()?;
    runtime.spawn(metrics.upkeep(UPKEEP));
    Ok(runtime)
}

/// Run a command on a runtime of its own.
///
/// # Errors
/// The errors of `work`, and [`StartError`] if the system gives no runtime.
pub fn block_on<E: From<StartError>>(work: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::System)?;
    runtime.block_on(work)
}

/// Where a health check asks.
#[derive(Args, Clone, Copy, Debug)]
pub struct HealthCheck {
    /// Where the service listens; asked on this machine
    #[arg(long, env)]
    pub listen_addr: Option<SocketAddr>,
}

impl HealthCheck {
    /// Ask `/healthz` at the service's port, `usual_port` where none was set.
    ///
    /// # Errors
    /// [`StartError::Unhealthy`].
    pub fn run(self, usual_port: u16) -> Result<(), StartError> {
        let port = self.listen_addr.map_or(usual_port, |address| address.port());
        block_on(async { server::check_health(port).await.map_err(|reason| StartError::Unhealthy { port, reason }) })
    }
}

/// The arguments with the command `serve` put in where none is given.
#[must_use]
pub fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|arg| arg.to_str());
    let asks_about_the_program = matches!(first, Some("-h" | "--help" | "-V" | "--version"));
    if !asks_about_the_program && first.is_none_or(|arg| arg.starts_with('-')) {
        args.insert(1.min(args.len()), "serve".into());
    }
    args
}

/// A command's outcome as the process's: an error is printed with its causes.
pub fn exit_code<E: std::fmt::Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
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

    #[test]
    fn serve_is_the_default() {
        let with_default = |args: &[&str]| {
            let args = with_default_command(args.iter().map(OsString::from).collect());
            args.into_iter().map(|arg| arg.into_string().expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(with_default(&["w"]), ["w", "serve"]);
        assert_eq!(with_default(&["w", "--model", "m"]), ["w", "serve", "--model", "m"]);
        assert_eq!(with_default(&["w", "bench", "--json"]), ["w", "bench", "--json"]);
        assert_eq!(with_default(&["w", "--help"]), ["w", "--help"]);
    }
}
