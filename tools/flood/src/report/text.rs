//! The report for a terminal.

use std::fmt::Write;

use report::seconds;

use super::Report;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write(report, &mut text);
    text
}

fn write(report: &Report, text: &mut String) -> std::fmt::Result {
    let Report { sent, answered, failed, outstanding, .. } = report;
    writeln!(text, "flood      {} through the door {}", report.shape, report.door)?;
    write!(text, "jobs       {sent} sent = {answered} answered + {failed} failed + {outstanding} outstanding")?;
    if report.sent < report.planned {
        write!(text, "; stopped before the other {} of {}", report.planned - report.sent, report.planned)?;
    }
    writeln!(text)?;
    writeln!(
        text,
        "rate       {:.1} sent a second over {:.1} s; {:.1} answered a second over {:.1} s",
        report.arrival_rate, report.last_sent, report.rate, report.last_end
    )?;
    if let Some(p) = &report.latency {
        let [p50, p90, p95, p99, max] = [p.p50, p.p90, p.p95, p.p99, p.max].map(seconds);
        writeln!(text, "latency    p50 {p50}, p90 {p90}, p95 {p95}, p99 {p99}, longest {max}")?;
        writeln!(text, "           from when a job was due until {}", report.answered_means)?;
    }
    if let Some(p) = &report.uncertainty {
        let [p50, p99] = [p.p50, p.p99].map(seconds);
        writeln!(text, "           seen by looking: too long by at most {p50} (median), {p99} (99 of 100)")?;
    }
    if let Some(p) = &report.lag {
        let [p50, p99, max] = [p.p50, p.p99, p.max].map(seconds);
        writeln!(text, "flood lag  p50 {p50}, p99 {p99}, longest {max}: from due to sent, part of the latency")?;
    }
    let sightings = &report.sightings;
    if let Some(most) = sightings.iter().map(|seen| seen.visible + seen.in_flight).max() {
        write!(text, "fleet      backlog up to {most}")?;
        let instances = sightings.iter().filter_map(|seen| seen.instances);
        if let (Some(fewest), Some(most)) = (instances.clone().min(), instances.max()) {
            write!(text, "; {fewest} to {most} instances")?;
        }
        writeln!(text)?;
    }
    for (reason, count) in &report.failures {
        writeln!(text, "failed     {count} × {reason}")?;
    }
    if let Some(first) = report.outstanding_jobs.first() {
        writeln!(text, "no answer  {outstanding} jobs; the oldest is {first}")?;
    }
    for (note, count) in &report.notes {
        writeln!(text, "note       {count} × {note}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sum_is_said_and_what_went_wrong() {
        let text = crate::report::tests::example().text();
        assert!(text.contains("100 sent = 81 answered + 1 failed + 18 outstanding"), "{text}");
        for expected in [
            "p95 810 ms",
            "1 × the fleet says",
            "the oldest is 0198",
            "backlog up to 31; 1 to 3 instances",
            "2 × answers could",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
