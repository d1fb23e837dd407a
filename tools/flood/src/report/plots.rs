//! What a flood's report draws.

use report::{BLUE, Failure, GREEN, Line, ORANGE, Plot, RED, VIOLET};

use super::Report;
use crate::{Sighting, Slice};

/// All that there is something to draw for.
pub(super) fn plots(report: &Report) -> Result<Vec<Plot>, Failure> {
    let (slices, sightings) = (&report.timeline[..], &report.sightings[..]);
    // All plots over time end together, so that they can be compared.
    let end = slices.last().map_or(0.0, |last| last.start + last.length);
    let end = sightings.last().map_or(end, |last| end.max(last.at)).max(1.0);
    let mut plots = Vec::new();
    if !slices.is_empty() {
        plots.push(arrivals(slices, end)?);
        plots.push(backlog(slices, sightings, end)?);
    }
    if sightings.iter().any(|seen| seen.instances.is_some()) {
        plots.push(instances(sightings, end)?);
    }
    if !report.histogram.is_empty() {
        plots.push(Plot::of_buckets("Latency", "from due to answered", "jobs", &report.histogram)?);
        plots.push(percentiles(slices, end)?);
    }
    Ok(plots)
}

fn arrivals(slices: &[Slice], end: f64) -> Result<Plot, Failure> {
    let line = |name: &str, colour, count: fn(&Slice) -> u64| {
        let point = |slice: &Slice| (slice.start + slice.length / 2.0, count(slice) as f64 / slice.length);
        Line { name: name.to_owned(), colour, points: slices.iter().map(point).collect() }
    };
    let mut lines = vec![
        line("due", VIOLET, |slice| slice.due),
        line("sent", BLUE, |slice| slice.sent),
        line("answered", GREEN, |slice| slice.answered),
    ];
    if slices.iter().any(|slice| slice.failed > 0) {
        lines.push(line("failed", RED, |slice| slice.failed));
    }
    Plot::of_lines("Arrivals and completions", "Jobs a second over time", "jobs/s", end, &lines)
}

fn backlog(slices: &[Slice], sightings: &[Sighting], end: f64) -> Result<Plot, Failure> {
    let outstanding = slices.iter().map(|slice| (slice.start + slice.length, slice.outstanding as f64));
    let mut lines = vec![Line { name: "outstanding".into(), colour: BLUE, points: outstanding.collect() }];
    let seen = |name: &str, colour, value: fn(&Sighting) -> u64| {
        let points = sightings.iter().map(|seen| (seen.at, value(seen) as f64)).collect();
        Line { name: name.to_owned(), colour, points }
    };
    if !sightings.is_empty() {
        lines.push(seen("waiting on the queue", ORANGE, |seen| seen.visible));
        lines.push(seen("with a worker", GREEN, |seen| seen.in_flight));
    }
    Plot::of_lines("Backlog", "Jobs in the fleet over time", "jobs", end, &lines)
}

fn instances(sightings: &[Sighting], end: f64) -> Result<Plot, Failure> {
    // As steps: an instance is there or not.
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (at, instances) in sightings.iter().filter_map(|seen| Some((seen.at, seen.instances? as f64))) {
        if let Some(&(_, before)) = points.last() {
            points.push((at, before));
        }
        points.push((at, instances));
    }
    let lines = [Line { name: "in service".into(), colour: VIOLET, points }];
    Plot::of_lines("Instances", "Workers over time", "instances", end, &lines)
}

fn percentiles(slices: &[Slice], end: f64) -> Result<Plot, Failure> {
    let line = |name: &str, colour, value: fn(&Slice) -> Option<f64>| {
        let point = |slice: &Slice| Some((slice.start + slice.length / 2.0, value(slice)?));
        Line { name: name.to_owned(), colour, points: slices.iter().filter_map(point).collect() }
    };
    let lines = [
        line("p50", GREEN, |slice| slice.p50),
        line("p95", ORANGE, |slice| slice.p95),
        line("p99", RED, |slice| slice.p99),
    ];
    let what = "Seconds from due to answered, by the time of the answer";
    Plot::of_lines("Latency over time", what, "seconds", end, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_plot_for_each_thing_that_was_seen() {
        let report = crate::report::tests::example();
        let plots = plots(&report).expect("drawn");
        let headings: Vec<_> = plots.iter().map(|plot| plot.heading.as_str()).collect();
        assert_eq!(headings, ["Arrivals and completions", "Backlog", "Instances", "Latency", "Latency over time"]);
        for plot in &plots {
            assert!(plot.svg.starts_with("<svg") && plot.svg.contains("currentColor"), "{}", plot.heading);
            assert!(
                !plot.svg.contains("#010203") && !plot.svg.contains("NaN") && !plot.svg.contains("inf"),
                "{}",
                plot.svg
            );
        }
        assert!(plots[0].description.contains("answered up to 9"), "{}", plots[0].description);
        assert_eq!(plots[0].legend.len(), 4);
        // Steps: from 1 to 2 at the fifth second, straight up.
        let lines = plots[2].svg.lines().filter(|line| line.contains("<polyline") && line.contains("#9B6CE0"));
        let points = lines.map(|line| line.matches(',').count()).sum::<usize>();
        assert_eq!(points, 19, "ten sightings, and a step before each but the first");
    }

    #[test]
    fn what_was_not_seen_is_not_drawn() {
        let report =
            Report { timeline: vec![], sightings: vec![], histogram: vec![], ..crate::report::tests::example() };
        assert!(plots(&report).expect("drawn").is_empty());
    }
}
