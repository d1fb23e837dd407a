//! What the lab found, as text for a terminal and as one HTML file with plots.

use std::fmt::Write;

use report::{BLUE, Dot, Failure, GREEN, Line, ORANGE, Page, Plot, RED, VIOLET, seconds};

use crate::setting::{Scaling, Setting};
use crate::{Load, Outcome, Price, Recommendation, Score, Slice};

/// What no simulation can know.
pub(crate) const LIMITS: &str = "What the lab cannot know: how EC2 Auto Scaling damps large steps and scaling in is not published (here the \
     highest of the low alarm's points decides); boot times, service times and losses are what you gave; SQS counts about, \
     here it counts exactly.";

/// One simulation with what it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The fleet.
    pub(crate) setting: Setting,
    /// What arrived.
    pub(crate) load: Load,
    /// What was found.
    pub(crate) outcome: Outcome,
    /// What instances cost, if that is known.
    pub(crate) price: Option<Price>,
    /// What was measured on a real fleet under the same load, to be compared.
    pub(crate) measured: Vec<Line>,
}

/// In words: what scales a fleet.
pub(crate) fn described(setting: &Setting) -> String {
    let group = &setting.group;
    let scaling = match &setting.scaling {
        Scaling::Fixed => format!("{} workers, always", group.initial),
        Scaling::AtOnce { .. } => format!("{} to {} workers, as many as photos at every moment", group.min, group.max),
        Scaling::TargetTracking(policies) => {
            let policies: Vec<String> =
                policies.iter().map(|policy| format!("{} of {}", policy.metric.name, policy.target)).collect();
            format!("{} to {} workers for a {}", group.min, group.max, policies.join(" and a "))
        }
    };
    let per_second = 1.0 / setting.seconds_per_photo();
    format!(
        "{scaling}; each does {per_second:.1} photos/s with {} threads and boots in {}",
        setting.worker.threads, setting.boot
    )
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "none".into(),
        small if small < 0.01 => "below 0.01 %".into(),
        some if some < 10.0 => format!("{some:.2} %"),
        more => format!("{more:.1} %"),
    }
}

impl Report {
    /// For people, in a terminal.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { setting, load, outcome, price, .. } = self;
        writeln!(text, "load       {}", load.name)?;
        writeln!(text, "fleet      {}", described(setting))?;
        let Outcome { arrived, answered, failed, outstanding, .. } = outcome;
        writeln!(
            text,
            "photos     {arrived} sent = {answered} answered + {failed} given up + {outstanding} outstanding"
        )?;
        for (name, waits) in [("answered", &outcome.latency), ("wait", &outcome.wait)] {
            if let Some(waits) = waits {
                let [p50, p95, p99, longest] = [waits.p50, waits.p95, waits.p99, waits.longest].map(seconds);
                writeln!(text, "{name:<10} p50 {p50}, p95 {p95}, p99 {p99}, longest {longest}")?;
            }
        }
        let promise = seconds(setting.promise.as_secs_f64());
        writeln!(text, "late       {} later than {promise}", percent(outcome.late_share))?;
        let (paid, work) = (outcome.worker_seconds / 3600.0, outcome.work_seconds / 3600.0);
        writeln!(text, "workers    {paid:.2} hours paid for {work:.2} hours of work: {:.2} times", outcome.waste())?;
        if let Some(price) = price {
            writeln!(text, "dollars    {:.2}", price.dollars(outcome))?;
        }
        let peak_rate = load.rate().map_or(0.0, |rate| rate.peak(std::time::Duration::from_secs(60)));
        writeln!(
            text,
            "capacity   {:.2} in service on average, {} at most ({:.1} times what the busiest minute needs), {} changes",
            outcome.mean_in_service,
            outcome.peak_in_service,
            outcome.overshoot(peak_rate, setting.seconds_per_photo()),
            outcome.changes
        )?;
        match outcome.swing() {
            Some(swing) => {
                writeln!(
                    text,
                    "swing      it grew after it had shrunk {} times, every {}",
                    swing.turns,
                    seconds(swing.period)
                )?;
            }
            None => writeln!(text, "swing      none")?,
        }
        writeln!(text, "backlog    {:.1} on average, {} at most", outcome.mean_visible, outcome.peak_visible)?;
        if outcome.lost_workers > 0 {
            writeln!(text, "lost       {} workers before they were asked to go", outcome.lost_workers)?;
        }
        Ok(())
    }

    /// As one self-contained HTML file.
    ///
    /// # Errors
    /// (Never yet) if a plot can't be drawn.
    pub(crate) fn html(&self) -> Result<String, Failure> {
        let Self { setting, outcome, .. } = self;
        let mut page = Page::new(&format!("Scaling lab: {}", self.load.name));
        page.paragraph(&format!("{}.", described(setting)));
        let of = |of: fn(&crate::Waits) -> f64| {
            outcome.latency.as_ref().map_or_else(|| "–".into(), |waits| seconds(of(waits)))
        };
        page.figures([
            ("p50", of(|waits| waits.p50)),
            ("p95", of(|waits| waits.p95)),
            ("p99", of(|waits| waits.p99)),
            ("late", percent(outcome.late_share)),
            ("worker hours", format!("{:.1}", outcome.worker_seconds / 3600.0)),
            ("times the work", format!("{:.2}", outcome.waste())),
            ("peak workers", outcome.peak_in_service.to_string()),
            ("changes", outcome.changes.to_string()),
        ]);
        page.text(&self.text());
        for plot in self.plots()? {
            page.plot(&plot);
        }
        if !outcome.first_changes.is_empty() {
            page.heading("Changes of the capacity");
            let rows: Vec<Vec<String>> = outcome
                .first_changes
                .iter()
                .take(100)
                .map(|change| {
                    vec![
                        format!("{:.0} s", change.at),
                        format!("{} → {}", change.from, change.to),
                        change.cause.clone(),
                    ]
                })
                .collect();
            page.table(&["when", "workers", "why"], rows.iter().map(Vec::as_slice));
        }
        page.paragraph(LIMITS);
        Ok(page.html())
    }

    fn plots(&self) -> Result<Vec<Plot>, Failure> {
        let Self { setting, outcome, .. } = self;
        let slices = &outcome.timeline[..];
        let end = slices.last().map_or(1.0, |last| last.start + last.length);
        let line = |name: &str, colour, value: &dyn Fn(&Slice) -> Option<f64>| Line {
            name: name.to_owned(),
            colour,
            points: slices.iter().filter_map(|slice| Some((slice.start + slice.length / 2.0, value(slice)?))).collect(),
        };
        let measured =
            |name: &'static str| self.measured.iter().filter(move |line| line.name.starts_with(name)).cloned();
        let mut plots = Vec::new();
        let rates = [
            line("sent", BLUE, &|slice| Some(slice.arrived as f64 / slice.length)),
            line("answered", GREEN, &|slice| Some(slice.answered as f64 / slice.length)),
        ];
        plots.push(Plot::of_lines("Rate", "Photos a second over time", "photos/s", end, &rates)?);
        let mut backlog = vec![
            line("waiting", ORANGE, &|slice| Some(slice.visible)),
            line("at most", VIOLET, &|slice| Some(slice.most_visible as f64)),
            line("with a worker", GREEN, &|slice| Some(slice.in_flight)),
        ];
        backlog.extend(measured("waiting"));
        plots.push(Plot::of_lines("Backlog", "Photos in the fleet over time", "photos", end, &backlog)?);
        let mut workers = vec![
            line("desired", BLUE, &|slice| Some(f64::from(slice.desired))),
            line("in service", VIOLET, &|slice| Some(slice.in_service)),
            line("needed", GREEN, &|slice| Some(slice.arrived as f64 / slice.length * setting.seconds_per_photo())),
        ];
        workers.extend(measured("workers"));
        plots.push(Plot::of_lines("Workers", "Workers over time", "workers", end, &workers)?);
        if let Scaling::TargetTracking(policies) = &setting.scaling {
            for (number, policy) in policies.iter().enumerate() {
                let name = policy.metric.name;
                let mut lines = vec![line(name, BLUE, &|slice| slice.metrics.get(number).copied().flatten())];
                lines.push(Line {
                    name: "target".into(),
                    colour: RED,
                    points: vec![(0.0, policy.target), (end, policy.target)],
                });
                let what = format!("{name} and its target over time");
                plots.push(Plot::of_lines(name, &what, name, end, &lines)?);
            }
        }
        let promise = setting.promise.as_secs_f64();
        let mut waits = vec![
            line("p50", GREEN, &|slice| slice.p50),
            line("p95", ORANGE, &|slice| slice.p95),
            line("p99", RED, &|slice| slice.p99),
        ];
        let highest = waits.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
        if promise < highest * 3.0 {
            waits.push(Line { name: "promise".into(), colour: BLUE, points: vec![(0.0, promise), (end, promise)] });
        }
        let what = "Seconds from sent to answered, by the time of the answer";
        plots.push(Plot::of_lines("Latency over time", what, "seconds", end, &waits)?);
        if !outcome.histogram.is_empty() {
            plots.push(Plot::of_buckets("Latency", "from sent to answered", "photos", &outcome.histogram)?);
        }
        Ok(plots)
    }
}

/// The head of a table of scores.
fn head(scores: &[Score]) -> Vec<String> {
    let choices = scores.first().map_or(&[][..], |score| &score.choices[..]);
    let mut head: Vec<String> = choices.iter().map(|(name, _)| name.clone()).collect();
    head.extend(["late", "worker hours", "times the work", "p50", "p95", "p99", "peak", "changes"].map(String::from));
    if scores.iter().any(|score| score.dollars.is_some()) {
        head.push("dollars".into());
    }
    head
}

fn row(score: &Score) -> Vec<String> {
    let mut row: Vec<String> = score.choices.iter().map(|(_, value)| value.clone()).collect();
    row.extend([
        percent(score.late_share),
        format!("{:.1}", score.worker_hours),
        format!("{:.2}", score.waste),
        seconds(score.p50),
        seconds(score.p95),
        seconds(score.p99),
        score.peak.to_string(),
        score.changes.to_string(),
    ]);
    row.extend(score.dollars.map(|dollars| format!("{dollars:.2}")));
    row
}

/// Scores as a table for a terminal.
#[must_use]
pub(crate) fn table(scores: &[Score]) -> String {
    let mut rows = vec![head(scores)];
    rows.extend(scores.iter().map(row));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cheapest_first(scores: &[Score], wanted: impl Fn(&Score) -> bool) -> Vec<Score> {
    let mut chosen: Vec<Score> = scores.iter().filter(|score| wanted(score)).cloned().collect();
    chosen.sort_by(|one, other| one.cost().total_cmp(&other.cost()));
    chosen
}

/// What stands on the front, the cheapest first.
#[must_use]
pub(crate) fn front(scores: &[Score]) -> Vec<Score> {
    cheapest_first(scores, |score| score.on_the_front)
}

fn front_plot(scores: &[Score]) -> Result<Plot, Failure> {
    let dots: Vec<Dot> = scores
        .iter()
        .map(|score| Dot { x: score.cost(), y: score.late_share * 100.0, chosen: score.on_the_front })
        .collect();
    let front = dots.iter().filter(|dot| dot.chosen).count();
    let unit = if scores.iter().any(|score| score.dollars.is_some()) { "dollars" } else { "worker hours" };
    let description = format!(
        "{} settings by what they cost and how many photos are late; {front} that none beats in both",
        dots.len()
    );
    Plot::of_dots("Late photos against cost", description, (unit, "% late"), &dots)
}

fn scores_table(page: &mut Page, scores: &[Score]) {
    let (head, rows) = (head(scores), scores.iter().map(row).collect::<Vec<_>>());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    page.table(&head, rows.iter().map(Vec::as_slice));
}

/// A sweep as one self-contained HTML file.
///
/// # Errors
/// (Never yet) if a plot can't be drawn.
pub(crate) fn sweep_html(title: &str, scores: &[Score]) -> Result<String, Failure> {
    let mut page = Page::new(&format!("Scaling lab: {title}"));
    page.plot(&front_plot(scores)?);
    page.heading("What nothing beats");
    scores_table(&mut page, &front(scores));
    page.heading("Everything that was tried");
    scores_table(&mut page, &cheapest_first(scores, |_| true));
    page.paragraph(LIMITS);
    Ok(page.html())
}

impl Recommendation {
    /// For people, in a terminal.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let promise = format!("{} for all but {}", seconds(self.promise), percent(self.late_limit));
        if self.keeps_the_promise {
            writeln!(text, "The cheapest of {} settings that keeps {promise}:\n", self.tried.len())?;
        } else {
            let tried = self.tried.len();
            writeln!(
                text,
                "None of {tried} settings keeps {promise}. The safest, with {} late:\n",
                percent(self.chosen.late_share)
            )?;
        }
        for (name, value) in &self.parameters {
            writeln!(text, "  {name}={value}")?;
        }
        let money = |score: &Score| match score.dollars {
            Some(dollars) => format!("{dollars:.2} dollars, {:.1} worker hours", score.worker_hours),
            None => format!("{:.1} worker hours", score.worker_hours),
        };
        let told = |score: &Score| {
            format!(
                "{} late, p95 {}, {} ({:.2} times the work)",
                percent(score.late_share),
                seconds(score.p95),
                money(score),
                score.waste
            )
        };
        let choices = |score: &Score| {
            score.choices.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(text, "\n  {}", told(&self.chosen))?;
        for (name, score) in [("next cheaper", &self.cheaper), ("next safer", &self.safer)] {
            match score {
                Some(score) => writeln!(text, "\n{name}: {}\n  {}", choices(score), told(score))?,
                None => writeln!(text, "\n{name}: none that was tried")?,
            }
        }
        for variation in &self.variations {
            writeln!(text, "\nwith {}:\n  {}", variation.what, told(&variation.score))?;
        }
        Ok(())
    }

    /// As one self-contained HTML file, with the course of the chosen setting under each load.
    ///
    /// # Errors
    /// (Never yet) if a plot can't be drawn.
    pub(crate) fn html(&self, reports: &[Report]) -> Result<String, Failure> {
        let loads: Vec<&str> = reports.iter().map(|report| report.load.name.as_str()).collect();
        let mut page = Page::new(&format!("Scaling lab: what {} asks for", loads.join(" and ")));
        page.paragraph(&format!("{}.", described(&self.setting)));
        page.text(&self.text());
        page.plot(&front_plot(&self.tried)?);
        page.heading("What nothing beats");
        scores_table(&mut page, &front(&self.tried));
        for report in reports {
            page.heading(&format!("The recommended fleet under {}", report.load.name));
            page.text(&report.text());
            for plot in report.plots()? {
                page.plot(&plot);
            }
        }
        page.heading("Everything that was tried");
        scores_table(&mut page, &cheapest_first(&self.tried, |_| true));
        page.paragraph(LIMITS);
        Ok(page.html())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, simulate};

    fn report() -> Report {
        let (setting, load) = (Setting::default(), Load::parse("spike:4:30:2h").expect("a load"));
        let outcome = simulate(&setting, &load, Run::default()).expect("simulated");
        Report { setting, load, outcome, price: Some(Price { on_demand: 0.1, spot: 0.05 }), measured: Vec::new() }
    }

    #[test]
    fn a_report_says_what_was_asked_what_was_found_and_what_it_cannot_know() {
        let report = report();
        let text = report.text();
        for expected in
            ["spike:4:30:2h", "1 to 10 workers for a WorkerDemand of 100", "p95", "later than 10.00 s", "dollars"]
        {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let html = report.html().expect("drawn");
        assert_eq!(html.matches("<svg ").count(), 6);
        assert!(html.contains("cannot know") && html.contains("AlarmHigh of WorkerDemand"));
        assert!(!html.contains("NaN") && !html.replace("http://www.w3.org/2000/svg", "").contains("http"));
    }

    #[test]
    fn scores_are_a_table_with_the_front() {
        let scores = vec![crate::sweep::tests::score(2.0, 0.01), crate::sweep::tests::score(10.0, 0.0)];
        let text = table(&scores);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("times the work") && text.contains("1.00 %") && text.contains("none"), "{text}");
        assert!(sweep_html("min", &scores).expect("drawn").contains("What nothing beats"));
    }
}
