//! The plots, as SVG to be put into a page. Text and axes take the page's own colour, so that they are read on dark paper
//! as well as on light; the lines are of colours that stand out on both.

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::Report;
use crate::{Bucket, Sighting, Slice};

/// What the page replaces by its own colour; no line has it.
const INK: RGBColor = RGBColor(1, 2, 3);
const BLUE: RGBColor = RGBColor(0x3b, 0x82, 0xf6);
const GREEN: RGBColor = RGBColor(0x22, 0xa0, 0x5e);
const RED: RGBColor = RGBColor(0xe1, 0x4d, 0x4d);
const ORANGE: RGBColor = RGBColor(0xd9, 0x84, 0x1c);
const VIOLET: RGBColor = RGBColor(0x9b, 0x6c, 0xe0);

const SIZE: (u32, u32) = (860, 300);

/// What may go wrong in drawing. `Send`, so that an I/O error can hold it.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;
type Area<'svg> = DrawingArea<SVGBackend<'svg>, Shift>;

/// A line with a name.
struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// A plot with its heading.
pub(super) struct Plot {
    pub(super) heading: &'static str,
    /// What it shows, for who does not see it.
    pub(super) description: String,
    /// The lines' names and colours; none where there is one thing only.
    pub(super) legend: Vec<(&'static str, String)>,
    pub(super) svg: String,
}

impl Plot {
    fn of_lines(heading: &'static str, what: &str, unit: &str, end: f64, lines: &[Line]) -> Result<Self, Failure> {
        let colour = |RGBColor(red, green, blue): RGBColor| format!("#{red:02x}{green:02x}{blue:02x}");
        Ok(Self {
            heading,
            description: described(what, lines),
            legend: lines.iter().map(|line| (line.name, colour(line.colour))).collect(),
            svg: draw(|area| line_chart(area, unit, end, lines))?,
        })
    }
}

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
        plots.push(histogram(&report.histogram)?);
        plots.push(percentiles(slices, end)?);
    }
    Ok(plots)
}

fn arrivals(slices: &[Slice], end: f64) -> Result<Plot, Failure> {
    let line = |name, colour, count: fn(&Slice) -> u64| {
        let point = |slice: &Slice| (slice.start + slice.length / 2.0, count(slice) as f64 / slice.length);
        Line { name, colour, points: slices.iter().map(point).collect() }
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
    let mut lines = vec![Line { name: "outstanding", colour: BLUE, points: outstanding.collect() }];
    let seen = |name, colour, value: fn(&Sighting) -> u64| {
        let points = sightings.iter().map(|seen| (seen.at, value(seen) as f64)).collect();
        Line { name, colour, points }
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
    let lines = [Line { name: "in service", colour: VIOLET, points }];
    Plot::of_lines("Instances", "Workers over time", "instances", end, &lines)
}

fn percentiles(slices: &[Slice], end: f64) -> Result<Plot, Failure> {
    let line = |name, colour, value: fn(&Slice) -> Option<f64>| {
        let point = |slice: &Slice| Some((slice.start + slice.length / 2.0, value(slice)?));
        Line { name, colour, points: slices.iter().filter_map(point).collect() }
    };
    let lines = [
        line("p50", GREEN, |slice| slice.p50),
        line("p95", ORANGE, |slice| slice.p95),
        line("p99", RED, |slice| slice.p99),
    ];
    let what = "Seconds from due to answered, by the time of the answer";
    Plot::of_lines("Latency over time", what, "seconds", end, &lines)
}

fn histogram(buckets: &[Bucket]) -> Result<Plot, Failure> {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    // The first range begins at 0, which a logarithm has no place for.
    let left = |bucket: &Bucket| if bucket.from > 0.0 { bucket.from } else { bucket.to / 1.25 };
    let first = buckets.first().map_or(1e-3, left);
    let last = buckets.last().map_or(1.0, |bucket| bucket.to);
    let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let svg = draw(|area| {
        let mut chart = framed(area).build_cartesian_2d((first..last).log_scale(), 0.0..most as f64 * 1.05)?;
        let seconds = |seconds: &f64| super::text::seconds(*seconds);
        mesh(&mut chart, ("seconds from due to answered", 20), ("jobs", 6), seconds)?;
        chart.draw_series(buckets.iter().filter(|bucket| bucket.count > 0).map(|bucket| {
            Rectangle::new([(left(bucket), 0.0), (bucket.to, bucket.count as f64)], BLUE.mix(0.75).filled())
        }))?;
        Ok(())
    })?;
    let description = format!(
        "How long {total} answers took, from {} to {}",
        super::text::seconds(buckets.first().map_or(0.0, |bucket| bucket.from)),
        super::text::seconds(last)
    );
    Ok(Plot { heading: "Latency", description, legend: Vec::new(), svg })
}

fn described(what: &str, lines: &[Line]) -> String {
    let highest = |line: &Line| {
        let highest = line.points.iter().map(|point| point.1).fold(0.0, f64::max);
        format!("{} up to {}", line.name, rounded(highest))
    };
    format!("{what}: {}", lines.iter().map(highest).collect::<Vec<_>>().join(", "))
}

fn rounded(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Lines over time, up to `end`.
fn line_chart(area: &Area<'_>, unit: &str, end: f64, lines: &[Line]) -> Outcome {
    let values = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let highest = values.fold(0.0, f64::max);
    let top = if highest > 0.0 { highest * 1.08 } else { 1.0 };
    let mut chart = framed(area).build_cartesian_2d(0.0..end, 0.0..top)?;
    // Where few are counted, no halves.
    let labels = if top < 6.0 && unit != "seconds" { top as usize + 1 } else { 6 };
    mesh(&mut chart, ("seconds", 10), (unit, labels), |seconds| rounded(*seconds))?;
    for line in lines {
        chart.draw_series(LineSeries::new(line.points.iter().copied(), line.colour.stroke_width(2)))?;
    }
    Ok(())
}

fn framed<'area, 'svg>(area: &'area Area<'svg>) -> ChartBuilder<'area, 'area, SVGBackend<'svg>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(10).x_label_area_size(38).y_label_area_size(58);
    builder
}

fn mesh<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    (x, x_labels): (&str, usize),
    (y, y_labels): (&str, usize),
    format_x: impl Fn(&f64) -> String,
) -> Outcome
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_labels(x_labels)
        .y_labels(y_labels)
        .x_label_formatter(&format_x)
        .y_label_formatter(&|value| rounded(*value))
        .label_style(ink(12))
        .axis_desc_style(ink(12))
        .axis_style(INK.mix(0.6))
        .bold_line_style(INK.mix(0.15))
        .light_line_style(INK.mix(0.0))
        .draw()?;
    Ok(())
}

/// Text in the page's colour.
fn ink(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// The SVG that `plot` draws, in the page's colours and as wide as the page.
fn draw(plot: impl Fn(&Area<'_>) -> Outcome) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        plot(&area)?;
        area.present()?;
    }
    Ok(svg.replace("#010203", "currentColor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_plot_for_each_thing_that_was_seen() {
        let report = crate::report::tests::example();
        let plots = plots(&report).expect("drawn");
        let headings: Vec<_> = plots.iter().map(|plot| plot.heading).collect();
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
