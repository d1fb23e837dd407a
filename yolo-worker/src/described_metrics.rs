//! What each metric of the service means. Prometheus shows it as `HELP`; docs/contract.json lists it.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Describe every metric of the service to the recorder of this thread.
pub fn describe_metrics() {
    describe_counter!("worker_jobs_total", "Messages, by what became of them");
    describe_histogram!("worker_job_seconds", "Seconds from receiving a job to the callback");
    describe_histogram!("worker_stage_seconds", "Seconds of each stage of a job");
    describe_gauge!(
        "worker_model_fallback",
        "1 if a part of the model runs on tract's operators, slower than it could"
    );
    describe_gauge!("worker_messages_in_flight", "Messages in flight now, waiting or at work");
    describe_counter!("worker_receive_failures_total", "Receives that failed");
    describe_counter!("worker_callback_failures_total", "Results that polybot was not told of");
    describe_counter!(
        "worker_report_failures_total",
        "Reports of this worker's work that failed; the next one carries it"
    );
}
