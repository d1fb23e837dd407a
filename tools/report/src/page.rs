//! The page, put together piece by piece.

use std::fmt::Write;

use crate::Plot;

const STYLE: &str = include_str!("page.css");

/// A page in the making.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page with this title, which is also its heading.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: escaped(title), body: String::new() }
    }

    /// A heading within the page.
    pub fn heading(&mut self, heading: &str) -> &mut Self {
        self.piece(format_args!("<h2>{}</h2>\n", escaped(heading)))
    }

    /// A paragraph. What stands between backticks is shown as code.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        let mut parts = text.split('`');
        let mut html = escaped(parts.next().unwrap_or_default());
        for (number, part) in parts.enumerate() {
            html.push_str(if number % 2 == 0 { "<code>" } else { "</code>" });
            html.push_str(&escaped(part));
        }
        self.piece(format_args!("<p>{html}</p>\n"))
    }

    /// The numbers that are looked for first, each with its name.
    pub fn figures<'a>(&mut self, figures: impl IntoIterator<Item = (&'a str, String)>) -> &mut Self {
        self.body.push_str("<dl>\n");
        for (name, value) in figures {
            self.piece(format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(&value)));
        }
        self.piece(format_args!("</dl>\n"))
    }

    /// Text as it is, in a face of one width.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.piece(format_args!("<pre>{}</pre>\n", escaped(text)))
    }

    /// A table; the first column names the row.
    pub fn table<'a>(&mut self, head: &[&str], rows: impl IntoIterator<Item = &'a [String]>) -> &mut Self {
        self.body.push_str("<div class=\"table\" tabindex=\"0\"><table>\n<thead><tr>");
        for name in head {
            self.piece(format_args!("<th scope=\"col\">{}</th>", escaped(name)));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for (number, cell) in row.iter().enumerate() {
                let cell = escaped(cell);
                if number == 0 {
                    self.piece(format_args!("<th scope=\"row\">{cell}</th>"));
                } else {
                    self.piece(format_args!("<td>{cell}</td>"));
                }
            }
            self.body.push_str("</tr>\n");
        }
        self.piece(format_args!("</tbody></table></div>\n"))
    }

    /// A plot with its heading, its legend, and what it shows in words.
    pub fn plot(&mut self, plot: &Plot) -> &mut Self {
        let description = escaped(&plot.description);
        self.piece(format_args!("<figure>\n<h2>{}</h2>\n", escaped(&plot.heading)));
        if !plot.legend.is_empty() {
            self.body.push_str("<p class=\"legend\">");
            for (name, colour) in &plot.legend {
                self.piece(format_args!("<span><i style=\"background:{colour}\"></i>{}</span> ", escaped(name)));
            }
            self.body.push_str("</p>\n");
        }
        let svg = plot.svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{description}\" "), 1);
        self.piece(format_args!(
            "<div tabindex=\"0\">{svg}</div>\n<figcaption>{description}.</figcaption>\n</figure>\n"
        ))
    }

    /// The whole page.
    #[must_use]
    pub fn html(&self) -> String {
        let Self { title, body } = self;
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</html>\n"
        )
    }

    fn piece(&mut self, piece: std::fmt::Arguments<'_>) -> &mut Self {
        // Writing to a String can't fail.
        let _ = self.body.write_fmt(piece);
        self
    }
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
    fn the_page_is_whole_asks_for_nothing_and_shows_text_as_text() {
        let mut page = Page::new("A <b> & c");
        let rows = [vec!["<one>".to_owned(), "1".to_owned()], vec!["two".to_owned(), "2".to_owned()]];
        page.heading("Why & how")
            .paragraph("Run `lab <it>` now")
            .figures([("p95", "1 < 2".to_owned())])
            .text("a < b")
            .table(&["name", "number"], rows.iter().map(Vec::as_slice));
        let html = page.html();
        for expected in [
            "<title>A &lt;b&gt; &amp; c</title>",
            "<h2>Why &amp; how</h2>",
            "Run <code>lab &lt;it&gt;</code> now",
            "<dd>1 &lt; 2</dd>",
            "<pre>a &lt; b</pre>",
            "<tr><th scope=\"row\">&lt;one&gt;</th><td>1</td></tr>",
            "prefers-color-scheme: dark",
        ] {
            assert!(html.contains(expected), "{expected} is not in\n{html}");
        }
        for outside in ["src=", "href=", "url(", "@import", "<script", "http://", "https://"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
