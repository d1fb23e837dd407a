//! What arrives, as it is asked for on the command line.

use std::path::Path;
use std::time::Duration;

use load::{Rate, Shape, Spacing};
use serde::Serialize;

use crate::LabError;

/// What arrives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// For people.
    pub name: String,
    /// How many photos a second, over time.
    pub shape: Shape,
    /// How they lie within that.
    pub spacing: Spacing,
}

impl Load {
    /// A load with Poisson arrivals, named by its shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { name: shape.to_string(), shape, spacing: Spacing::Poisson }
    }

    /// What a text says: `steady:RATE:TIME`, `step:FROM:TO:TIME`, `ramp:FROM:TO:TIME`, `spike:BASE:PEAK:TIME`,
    /// `day:LOW:HIGH:TIME`, `onoff:RATE:ON:OFF:TIME`, or the path of a CSV file with the columns seconds and rate.
    ///
    /// # Errors
    /// A sentence, if the text is not a load, or the file is not a trace or has a gap.
    pub fn parse(text: &str) -> Result<Self, LabError> {
        let parts: Vec<&str> = text.split(':').collect();
        let number = |text: &str| {
            text.parse::<f64>().map_err(|_| LabError::setting(format!("the rate {text:?} in a load is not a number")))
        };
        let time = |text: &str| duration::parse(text).map_err(LabError::Setting);
        let shape = match parts[..] {
            ["steady", rate, duration] => Shape::Constant { rate: number(rate)?, duration: time(duration)? },
            ["step", from, to, duration] => {
                Shape::Step { from: number(from)?, to: number(to)?, duration: time(duration)? }
            }
            ["ramp", from, to, duration] => {
                Shape::Ramp { from: number(from)?, to: number(to)?, duration: time(duration)? }
            }
            ["spike", base, peak, duration] => {
                Shape::Spike { base: number(base)?, peak: number(peak)?, duration: time(duration)? }
            }
            ["day", low, high, duration] => {
                let day = Duration::from_secs(24 * 3600);
                Shape::Day { low: number(low)?, high: number(high)?, day, duration: time(duration)? }
            }
            ["onoff", rate, on, off, duration] => {
                Shape::OnOff { rate: number(rate)?, on: time(on)?, off: time(off)?, duration: time(duration)? }
            }
            _ if Path::new(text).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) => {
                return Self::trace(Path::new(text));
            }
            _ => {
                return Err(LabError::setting(format!(
                    "{text:?} is not a load: expected steady:RATE:TIME, step:FROM:TO:TIME, ramp:FROM:TO:TIME, \
                     spike:BASE:PEAK:TIME, day:LOW:HIGH:TIME, onoff:RATE:ON:OFF:TIME or a FILE.csv"
                )));
            }
        };
        Rate::of(&shape)?;
        Ok(Self { name: text.to_owned(), ..Self::new(shape) })
    }

    /// A trace from a CSV file, as the flood reads it, and without gaps.
    ///
    /// # Errors
    /// If the file can't be read, is not a trace, or has a gap.
    pub fn trace(path: &Path) -> Result<Self, LabError> {
        let shape = Shape::trace(path)?;
        if let Shape::Trace { points } = &shape
            && let Some((from, to)) = gap(points)
        {
            return Err(LabError::File {
                path: path.to_owned(),
                reason: format!(
                    "there is a gap: nothing is said of the time from {from} s to {to} s; add a line, or cut the file there"
                ),
            });
        }
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
        Ok(Self { name, ..Self::new(shape) })
    }

    /// The same with every rate multiplied, and all of it in less time.
    #[must_use]
    pub fn scaled(self, factor: f64, faster: f64) -> Self {
        let shape = self.shape.scaled(factor).faster(faster);
        Self { shape, ..self }
    }

    /// The rate over time.
    ///
    /// # Errors
    /// If it has none.
    pub fn rate(&self) -> Result<Rate, LabError> {
        Rate::of(&self.shape)?.ok_or_else(|| LabError::setting("a count has no rate"))
    }
}

/// A step between two lines that is more than five times as long as most are, where most are alike: nobody wrote that by
/// hand, and a measurement is missing.
fn gap(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let mut steps: Vec<f64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|step| *step > 0.0).collect();
    if steps.len() < 10 {
        return None;
    }
    steps.sort_unstable_by(f64::total_cmp);
    let usual = steps[steps.len() / 2];
    let alike = steps.iter().filter(|step| (*step / usual - 1.0).abs() < 0.01).count();
    if alike * 10 < steps.len() * 9 {
        return None;
    }
    let wide = |pair: &&[(f64, f64)]| pair[1].0 - pair[0].0 > 5.0 * usual;
    points.windows(2).find(wide).map(|pair| (pair[0].0, pair[1].0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_asked_for() {
        for text in [
            "steady:25:150s",
            "step:8:20:10m",
            "ramp:0:100:120s",
            "spike:2:50:60s",
            "day:2:40:2d",
            "onoff:20:5m:10m:2h",
        ] {
            let load = Load::parse(text).expect(text);
            assert_eq!(load.name, text);
            assert!(load.rate().expect("a rate").jobs() > 0.0);
        }
    }

    #[test]
    fn what_is_no_load_is_one_sentence() {
        for (text, expected) in [
            ("flat:3:4s", "is not a load"),
            ("steady:x:4s", "\"x\" in a load is not a number"),
            ("steady:3:soon", "is not a time"),
            ("steady:-3:4s", "-3 jobs a second is not a rate"),
            ("steady:3:0s", "duration of 0"),
            ("missing.csv", "can't read missing.csv"),
        ] {
            let error = Load::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_gap_in_a_trace_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.csv");
        let lines = |skip: std::ops::Range<u32>| {
            (0..60)
                .filter(|minute| !skip.contains(minute))
                .map(|minute| format!("{},5\n", minute * 60))
                .collect::<String>()
        };
        std::fs::write(&path, lines(20..30)).expect("written");
        let error = Load::trace(&path).expect_err("a gap").to_string();
        assert!(error.contains("from 1140 s to 1800 s"), "{error}");
        std::fs::write(&path, lines(20..22)).expect("written");
        Load::trace(&path).expect("two lines less are none");
        std::fs::write(&path, "0,1\n60,1\n60,9\n3600,9\n").expect("written");
        Load::trace(&path).expect("written by hand");
    }
}
