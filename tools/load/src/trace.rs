//! A file of rates.

use std::path::Path;

use crate::{LoadError, Shape};

impl Shape {
    /// A trace from a CSV file with two columns, seconds and rate; a heading, empty lines and lines that begin with `#` are
    /// passed over.
    ///
    /// # Errors
    /// If the file can't be read, or a line is not such a pair of numbers.
    pub fn trace(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::reading(path, error))?;
        let points = points(&text).map_err(|reason| LoadError::Trace { path: path.to_owned(), reason })?;
        let shape = Self::Trace { points };
        match crate::rate::Rate::of(&shape) {
            Ok(_) => Ok(shape),
            Err(error) => Err(LoadError::Trace { path: path.to_owned(), reason: error.to_string() }),
        }
    }
}

fn points(text: &str) -> Result<Vec<(f64, f64)>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut begun = false;
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |field: &str| field.parse::<f64>();
        let is_heading = !begun && record.iter().all(|field| number(field).is_err());
        begun = true;
        if is_heading {
            continue;
        }
        if record.len() != 2 {
            return Err(format!("line {line}: expected two numbers (seconds, rate), found {} fields", record.len()));
        }
        let second =
            number(&record[0]).map_err(|_| format!("line {line}: the second {:?} is not a number", &record[0]))?;
        let rate = number(&record[1]).map_err(|_| format!("line {line}: the rate {:?} is not a number", &record[1]))?;
        if !second.is_finite() || second < 0.0 {
            return Err(format!("line {line}: the second {second} is not 0 or more"));
        }
        if !rate.is_finite() || rate < 0.0 {
            return Err(format!("line {line}: the rate {rate} is not 0 or more"));
        }
        if points.last().is_some_and(|(last, _)| second < *last) {
            return Err(format!("line {line}: the seconds go back, to {second}; put the lines in order"));
        }
        points.push((second, rate));
    }
    match points.len() {
        0 => Err("there are no rates in it; expected lines like `0,5`: seconds, jobs a second".into()),
        1 => Err("there is only one rate in it; the last line says when it ends".into()),
        _ => Ok(points),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headings_comments_and_empty_lines_are_passed_over() {
        let expected = vec![(0.0, 1.0), (10.0, 5.5)];
        for text in ["0,1\n10,5.5\n", "seconds,rate\n0,1\n\n10,5.5", "# from production\r\n0 , 1\r\n 10, 5.5\r\n"] {
            assert_eq!(points(text).as_ref(), Ok(&expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("", "no rates"),
            ("seconds,rate\n", "no rates"),
            ("0,1\n", "only one rate"),
            ("0,1\n5,x\n", "line 2: the rate \"x\" is not a number"),
            ("0,1\ny,2\n", "line 2: the second \"y\" is not a number"),
            ("0,1\n5,-2\n", "line 2: the rate -2 is not 0 or more"),
            ("0,1\n5,NaN\n", "line 2: the rate NaN"),
            ("-1,1\n5,2\n", "line 1: the second -1"),
            ("0,1\n5,2\n4,2\n", "line 3: the seconds go back"),
            ("0,1\n5\n", "line 2: expected two numbers"),
            ("0,1,2\n5,1\n", "line 1: expected two numbers"),
            ("0;1\n5;1\n", "expected two numbers"),
        ] {
            let error = points(text).expect_err("refused");
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_points_or_a_reason(text in ".{0,200}") {
            match points(&text) {
                Ok(points) => prop_assert!(points.is_sorted_by(|a, b| a.0 <= b.0) && points.len() > 1),
                Err(reason) => prop_assert!(!reason.is_empty()),
            }
        }

        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec((0.0..9.0_f64, 0.0..99.0_f64), 2..20)) {
            let mut second = 0.0;
            let written: Vec<_> = steps.iter().map(|&(step, rate)| { second += step; (second, rate) }).collect();
            let text: String = written.iter().map(|(second, rate)| format!("{second},{rate}\n")).collect();
            prop_assert_eq!(points(&text), Ok(written));
        }
    }
}
