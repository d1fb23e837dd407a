//! The report as one file for a browser: nothing is fetched from anywhere.

use std::fmt::Write;

use super::Report;
use super::plots::{Plot, plots};

const STYLE: &str = include_str!("report.css");

pub(super) fn html(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut page = String::new();
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Flood: {shape}</title>\n<style>\n{STYLE}</style>\n<main>\n<h1>Flood: {shape}</h1>\n\
         <p>Begun {started_at}, through the door <code>{door}</code>.</p>\n",
        shape = escaped(&report.shape),
        started_at = escaped(&report.started_at),
        door = report.door,
    )?;
    figures(report, &mut page)?;
    writeln!(page, "<pre>{}</pre>", escaped(&report.text()))?;
    for plot in plots(report)? {
        figure(&plot, &mut page)?;
    }
    page.push_str("</main>\n</html>\n");
    Ok(page)
}

/// The numbers that are looked for first.
fn figures(report: &Report, page: &mut String) -> std::fmt::Result {
    let latency = |of: fn(&crate::Percentiles) -> f64| {
        report.latency.as_ref().map_or_else(|| "–".to_owned(), |latency| super::text::seconds(of(latency)))
    };
    let figures = [
        ("sent", report.sent.to_string()),
        ("answered", report.answered.to_string()),
        ("failed", report.failed.to_string()),
        ("outstanding", report.outstanding.to_string()),
        ("answered a second", format!("{:.1}", report.rate)),
        ("p50", latency(|latency| latency.p50)),
        ("p95", latency(|latency| latency.p95)),
        ("p99", latency(|latency| latency.p99)),
    ];
    page.push_str("<dl>\n");
    for (name, value) in figures {
        writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn figure(plot: &Plot, page: &mut String) -> std::fmt::Result {
    let description = escaped(&plot.description);
    writeln!(page, "<figure>\n<h2>{}</h2>", plot.heading)?;
    if !plot.legend.is_empty() {
        page.push_str("<p class=\"legend\">");
        for (name, colour) in &plot.legend {
            write!(page, "<span><i style=\"background:{colour}\"></i>{}</span> ", escaped(name))?;
        }
        page.push_str("</p>\n");
    }
    let svg = plot.svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{description}\" "), 1);
    writeln!(page, "<div tabindex=\"0\">{svg}</div>\n<figcaption>{description}.</figcaption>\n</figure>")
}

/// As text in HTML, also within quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_for_nothing() {
        let page = html(&crate::report::tests::example()).expect("a page");
        assert_eq!(page.matches("<svg ").count(), 5);
        assert_eq!(page.matches("</svg>").count(), 5);
        for outside in ["src=", "href=", "url(", "@import", "<script", "http://", "https://"] {
            // SVG's own name is an address that nobody asks for.
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(page.contains("&lt;this&gt; &amp; that") && !page.contains("<this>"));
    }
}
