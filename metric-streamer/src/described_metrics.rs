//! What each metric of the service means. Prometheus shows it as `HELP`; docs/contract.json lists it.

use metrics::{describe_counter, describe_gauge};

/// Describe every metric of the service to the recorder of this thread.
pub fn describe_metrics() {
    describe_counter!("streamer_published_total", "Publications");
    describe_counter!("streamer_failures_total", "Publications that failed, and calls for a first worker that failed");
    describe_gauge!(
        "streamer_worker_demand_percent",
        "WorkerDemand as last published: workers needed in percent of those in service"
    );
    describe_gauge!("streamer_workers_needed", "Workers needed, as last published");
    describe_gauge!("streamer_arrivals_per_second", "Photos that arrive in a second");
    describe_gauge!("streamer_seconds_per_photo", "Seconds for which a photo keeps a thread, as workers measured it");
    describe_counter!("streamer_capacity_changes_total", "Changes of the desired capacity that were seen");
    describe_gauge!("streamer_backlog_per_instance", "BacklogPerInstance as last published");
}
