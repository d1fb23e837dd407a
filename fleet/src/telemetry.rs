//! Logs on standard error, metrics for Prometheus.
//!
//! `RUST_LOG` chooses what is logged (default `info`). A log line carries its fields; the same thing has the same name
//! everywhere: `prediction_id`, `chat_id`, `duration_ms`.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
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

/// Collect metrics from now on, first of them `build_info`, which is always 1 and has what it tells in its labels; the handle
/// renders them as text for `/metrics`.
///
/// # Errors
/// If metrics are being collected already.
pub fn collect_metrics(build: BuildInfo) -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?;
    let handle = builder.install_recorder()?;
    metrics::gauge!("build_info", "version" => build.version, "commit" => build.commit).set(1.0);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_program_runs_is_a_metric() {
        let build = BuildInfo { version: "1.2.3", commit: "abc" };
        let metrics = collect_metrics(build).expect("nobody else collects here").render();
        let line = r#"build_info{version="1.2.3",commit="abc"} 1"#;
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
        assert!(metrics.contains("# TYPE build_info gauge\n"), "{metrics}");
        collect_metrics(build).expect_err("once a process");
    }
}
