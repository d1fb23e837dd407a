//! A process of its own, since it looks at its memory.

use std::time::Duration;

use fleet::BuildInfo;
use fleet::telemetry::Metrics;

/// So many samples would take 80 MB, if each were kept.
const SAMPLES: u32 = 5_000_000;
const BATCH: u32 = 100_000;
const MOST_BYTES: u64 = 24 << 20;

#[tokio::test]
async fn a_service_that_nobody_asks_for_its_metrics_keeps_its_memory() {
    let metrics = Metrics::new(BuildInfo { version: "1.2.3", commit: "abc" }).expect("metrics");
    let _here = metrics.on_this_thread();
    tokio::spawn(metrics.upkeep(Duration::from_millis(1)));
    let histogram = metrics::histogram!("work_seconds");
    let before = peak_bytes();
    for _ in 0..SAMPLES / BATCH {
        for _ in 0..BATCH {
            histogram.record(0.1);
        }
        // Both wait in this one thread, and the upkeep's time comes first.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let grown = peak_bytes() - before;
    assert!(grown < MOST_BYTES, "{SAMPLES} samples took {grown} bytes");
    let text = metrics.handle().render();
    assert!(text.contains(&format!("work_seconds_count {SAMPLES}\n")), "{text}");
}

/// The most memory that this process had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kilobytes << 10
}
