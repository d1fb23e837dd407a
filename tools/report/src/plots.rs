//! The plots, as SVG to be put into a page. Text and axes take the page's own colour, so that they are read on dark paper
//! as well as on light; the lines are of colours that stand out on both.

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use crate::{Bucket, seconds};

/// The colour of a line.
pub type Colour = RGBColor;

/// What the page replaces by its own colour; no line has it.
const INK: Colour = RGBColor(1, 2, 3);
/// For lines.
pub const BLUE: Colour = RGBColor(0x3b, 0x82, 0xf6);
/// For lines.
pub const GREEN: Colour = RGBColor(0x22, 0xa0, 0x5e);
/// For lines.
pub const RED: Colour = RGBColor(0xe1, 0x4d, 0x4d);
/// For lines.
pub const ORANGE: Colour = RGBColor(0xd9, 0x84, 0x1c);
/// For lines.
pub const VIOLET: Colour = RGBColor(0x9b, 0x6c, 0xe0);

const SIZE: (u32, u32) = (860, 300);
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// What may go wrong in drawing. `Send`, so that an I/O error can hold it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;
type Area<'svg> = DrawingArea<SVGBackend<'svg>, Shift>;

/// A line with a name.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// On both kinds of paper.
    pub colour: Colour,
    /// (seconds, value), from left to right.
    pub points: Vec<(f64, f64)>,
}

/// One of many things in a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// Whether it stands out, and is joined with the others that do.
    pub chosen: bool,
}

/// A plot with its heading.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What stands over it.
    pub heading: String,
    /// What it shows, in words, for people who can't see it.
    pub description: String,
    /// The lines' names and colours; empty if there is only one line.
    pub legend: Vec<(String, String)>,
    /// The drawing.
    pub svg: String,
}

impl Plot {
    /// Lines over time, from 0 to `end` seconds. `what` says what is seen, `unit` what is counted.
    ///
    /// # Errors
    /// (Never yet) if it can't be drawn.
    pub fn of_lines(heading: &str, what: &str, unit: &str, end: f64, lines: &[Line]) -> Result<Self, Failure> {
        let colour = |RGBColor(red, green, blue): Colour| format!("#{red:02x}{green:02x}{blue:02x}");
        Ok(Self {
            heading: heading.to_owned(),
            description: described(what, lines),
            legend: lines.iter().map(|line| (line.name.clone(), colour(line.colour))).collect(),
            svg: draw(|area| line_chart(area, unit, end, lines))?,
        })
    }

    /// How many durations lie in which range.
    ///
    /// # Errors
    /// (Never yet) if it can't be drawn.
    pub fn of_buckets(heading: &str, durations: &str, unit: &str, buckets: &[Bucket]) -> Result<Self, Failure> {
        let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
        // The first range begins at 0, which a logarithm has no place for.
        let left = |bucket: &Bucket| if bucket.from > 0.0 { bucket.from } else { bucket.to / 1.25 };
        let first = buckets.first().map_or(1e-3, left);
        let last = buckets.last().map_or(1.0, |bucket| bucket.to);
        let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        let svg = draw(|area| {
            let mut chart = framed(area).build_cartesian_2d((first..last).log_scale(), 0.0..most as f64 * 1.05)?;
            mesh(&mut chart, (&format!("seconds {durations}"), 20), (unit, 6), |value| seconds(*value))?;
            chart.draw_series(buckets.iter().filter(|bucket| bucket.count > 0).map(|bucket| {
                Rectangle::new([(left(bucket), 0.0), (bucket.to, bucket.count as f64)], BLUE.mix(0.75).filled())
            }))?;
            Ok(())
        })?;
        let description = format!(
            "How long {total} {unit} took {durations}, from {} to {}",
            seconds(buckets.first().map_or(0.0, |bucket| bucket.from)),
            seconds(last)
        );
        Ok(Self { heading: heading.to_owned(), description, legend: Vec::new(), svg })
    }

    /// Dots in a plane, those that stand out joined from left to right.
    ///
    /// # Errors
    /// (Never yet) if it can't be drawn.
    pub fn of_dots(heading: &str, description: String, (x, y): (&str, &str), dots: &[Dot]) -> Result<Self, Failure> {
        let highest = |value: fn(&Dot) -> f64| {
            let highest = dots.iter().map(value).fold(0.0, f64::max);
            if highest > 0.0 { highest * 1.08 } else { 1.0 }
        };
        let (right, top) = (highest(|dot| dot.x), highest(|dot| dot.y));
        let mut joined: Vec<(f64, f64)> = dots.iter().filter(|dot| dot.chosen).map(|dot| (dot.x, dot.y)).collect();
        joined.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.total_cmp(&one.1)));
        let svg = draw(|area| {
            let mut chart = framed(area).build_cartesian_2d(0.0..right, 0.0..top)?;
            mesh(&mut chart, (x, 10), (y, 6), |value| rounded(*value))?;
            let others = dots.iter().filter(|dot| !dot.chosen);
            chart.draw_series(others.map(|dot| Circle::new((dot.x, dot.y), 3, BLUE.mix(0.6).filled())))?;
            chart.draw_series(LineSeries::new(joined.iter().copied(), ORANGE.stroke_width(2)))?;
            chart.draw_series(joined.iter().map(|at| Circle::new(*at, 4, ORANGE.filled())))?;
            Ok(())
        })?;
        Ok(Self { heading: heading.to_owned(), description, legend: Vec::new(), svg })
    }
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

/// In what a stretch of time is told: the unit's name, and its seconds.
fn unit_of_time(end: f64) -> (&'static str, f64) {
    if end > 4.0 * DAY {
        ("days", DAY)
    } else if end > 3.0 * HOUR {
        ("hours", HOUR)
    } else {
        ("seconds", 1.0)
    }
}

/// Lines over time, up to `end`.
fn line_chart(area: &Area<'_>, unit: &str, end: f64, lines: &[Line]) -> Outcome {
    let values = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let highest = values.fold(0.0, f64::max);
    let top = if highest > 0.0 { highest * 1.08 } else { 1.0 };
    let (time, length) = unit_of_time(end);
    let mut chart = framed(area).build_cartesian_2d(0.0..end / length, 0.0..top)?;
    // Where few are counted, no halves.
    let labels = if top < 6.0 && unit != "seconds" { top as usize + 1 } else { 6 };
    mesh(&mut chart, (time, 10), (unit, labels), |value| rounded(*value))?;
    for line in lines {
        let points = line.points.iter().map(|(at, value)| (at / length, *value));
        chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
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

    fn clean(plot: &Plot) {
        let svg = &plot.svg;
        assert!(svg.starts_with("<svg") && svg.contains("currentColor"), "{}", plot.heading);
        assert!(!svg.contains("#010203") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn every_kind_is_drawn_in_the_pages_colours() {
        let lines = [Line { name: "sent".into(), colour: GREEN, points: vec![(0.0, 1.0), (7200.0, 9.0)] }];
        let plot = Plot::of_lines("Rate", "Jobs", "jobs/s", 14_400.0, &lines).expect("drawn");
        clean(&plot);
        assert_eq!(plot.description, "Jobs: sent up to 9");
        assert!(plot.svg.contains("hours") && plot.legend[0].1 == "#22a05e");
        let buckets = [Bucket { from: 0.0, to: 0.001, count: 4 }, Bucket { from: 0.001, to: 0.00125, count: 0 }];
        clean(&Plot::of_buckets("Latency", "from due to answered", "jobs", &buckets).expect("drawn"));
        clean(&Plot::of_buckets("Latency", "from due to answered", "jobs", &[]).expect("drawn"));
        let dots = [Dot { x: 3.0, y: 0.0, chosen: true }, Dot { x: 1.0, y: 5.0, chosen: true }];
        let plot = Plot::of_dots("Front", "two".into(), ("hours", "late"), &dots).expect("drawn");
        clean(&plot);
        clean(&Plot::of_dots("Front", "none".into(), ("hours", "late"), &[]).expect("drawn"));
    }
}
