//! Logs on standard error, metrics for Prometheus.
//!
//! `RUST_LOG` chooses what is logged (default `info`). A log line carries its fields; the same thing has the same name
//! everywhere: `prediction_id`, `chat_id`, `duration_ms`.

use std::io::IsTerminal;
use std::time::Duration;

use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tracing_subscriber::EnvFilter;

use crate::BuildInfo;

/// Seconds; the upper bounds of the buckets of every histogram whose name ends in `_seconds`.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// What is logged where `RUST_LOG` says nothing. tract warns of each ONNX file newer than those it was tested with, the
/// default model among them; what that means for the results is what the detector's own tests are for.
const DEFAULT_FILTER: &str = "info,tract_onnx=error";

/// Log from now on: one JSON object a line, or for people if `format` is `pretty`. A second call does nothing.
pub fn log_to_stderr(format: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = if format == "pretty" {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// Where an instance of a service measures. Each has its own, so that two in one process don't mix their numbers: the `metrics`
/// crate's global recorder is one for all, so it is not used. A thread measures here once it is [told to](Self::on_this_thread).
///
/// What is measured is never forgotten: a service has one of these, for as long as its process runs.
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    recorder: &'static PrometheusRecorder,
}

impl Metrics {
    /// Empty, but for `build_info`, which is always 1 and has what it tells in its labels.
    ///
    /// # Errors
    /// If the buckets of histograms are none.
    pub fn new(build: BuildInfo) -> Result<Self, BuildError> {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?;
        let metrics = Self { recorder: Box::leak(Box::new(builder.build_recorder())) };
        let _here = metrics.on_this_thread();
        metrics::gauge!("build_info", "version" => build.version, "commit" => build.commit).set(1.0);
        Ok(metrics)
    }

    /// What this thread measures goes here until the guard is dropped.
    #[must_use]
    pub fn on_this_thread(self) -> LocalRecorderGuard<'static> {
        metrics::set_default_local_recorder(self.recorder)
    }

    /// What this thread measures goes here as long as the thread runs.
    pub fn on_this_thread_for_good(self) {
        std::mem::forget(self.on_this_thread());
    }

    /// Puts the samples of histograms into their buckets, this often, for ever. Until then each takes memory of its own, and otherwise
    /// only `/metrics` would do it.
    pub async fn upkeep(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.handle().run_upkeep();
        }
    }

    /// Renders what was measured as text, for `/metrics`.
    #[must_use]
    pub fn handle(self) -> PrometheusHandle {
        self.recorder.handle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_program_runs_is_a_metric() {
        let build = BuildInfo { version: "1.2.3", commit: "abc" };
        let metrics = Metrics::new(build).expect("metrics").handle().render();
        let line = r#"build_info{version="1.2.3",commit="abc"} 1"#;
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
        assert!(metrics.contains("# TYPE build_info gauge\n"), "{metrics}");
    }

    #[test]
    fn two_in_one_process_do_not_mix() {
        let build = BuildInfo { version: "1.2.3", commit: "abc" };
        let (one, other) = (Metrics::new(build).expect("metrics"), Metrics::new(build).expect("metrics"));
        let measured = std::thread::spawn(move || {
            one.on_this_thread_for_good();
            metrics::counter!("photos_total").increment(3);
        });
        measured.join().expect("no panic");
        assert!(one.handle().render().contains("photos_total 3\n"));
        assert!(!other.handle().render().contains("photos_total"));
    }
}
