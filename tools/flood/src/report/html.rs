//! The report as one file for a browser: nothing is fetched from anywhere.

use report::{Failure, Page, Percentiles, seconds};

use super::Report;
use super::plots::plots;

pub(super) fn html(report: &Report) -> Result<String, Failure> {
    let mut page = Page::new(&format!("Flood: {}", report.shape));
    page.paragraph(&format!("Begun {}, through the door `{}`.", report.started_at, report.door));
    page.figures(figures(report)).text(&report.text());
    for plot in plots(report)? {
        page.plot(&plot);
    }
    Ok(page.html())
}

/// The numbers that are looked for first.
fn figures(report: &Report) -> [(&'static str, String); 8] {
    let latency = |of: fn(&Percentiles) -> f64| {
        report.latency.as_ref().map_or_else(|| "–".to_owned(), |latency| seconds(of(latency)))
    };
    [
        ("sent", report.sent.to_string()),
        ("answered", report.answered.to_string()),
        ("failed", report.failed.to_string()),
        ("outstanding", report.outstanding.to_string()),
        ("answered a second", format!("{:.1}", report.rate)),
        ("p50", latency(|latency| latency.p50)),
        ("p95", latency(|latency| latency.p95)),
        ("p99", latency(|latency| latency.p99)),
    ]
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
