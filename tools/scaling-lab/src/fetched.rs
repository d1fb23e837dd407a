//! What CloudWatch knows of a real fleet's past, as files: `load.csv` (seconds, rate), which is a load like any other, and
//! `seen.csv` (seconds, workers, waiting), to compare a simulation with.

use std::path::Path;

use load::Shape;
use report::{BLUE, Line, RED};

use crate::{LabError, Load};

/// One period of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// When it begins, in seconds since the first.
    pub second: f64,
    /// Messages sent in it.
    pub sent: Option<f64>,
    /// Instances in service, on average.
    pub workers: Option<f64>,
    /// Messages that waited, on average.
    pub waiting: Option<f64>,
}

/// A fleet's past.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Seconds from one to the next.
    pub period: f64,
    /// In order.
    pub periods: Vec<Period>,
}

impl Fetched {
    /// What arrived, as steps: a period's photos came evenly.
    ///
    /// # Errors
    /// If there is nothing, or a gap.
    pub fn shape(&self) -> Result<Shape, LabError> {
        let mut points = Vec::with_capacity(self.periods.len() * 2);
        for period in &self.periods {
            let Some(sent) = period.sent else {
                return Err(LabError::setting(format!(
                    "CloudWatch knows of no messages in the {} s from second {} on: SQS reports nothing of a queue that nobody \
                     used for six hours; fetch a shorter time",
                    self.period, period.second
                )));
            };
            let rate = sent / self.period;
            points.extend([(period.second, rate), (period.second + self.period, rate)]);
        }
        if points.is_empty() {
            return Err(LabError::setting("CloudWatch knows nothing of this queue in this time"));
        }
        Ok(Shape::Trace { points })
    }

    /// Write both files into a folder that exists.
    ///
    /// # Errors
    /// If there is a gap, or a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), LabError> {
        let mut rates = String::from("seconds,rate\n");
        if let Shape::Trace { points } = self.shape()? {
            points.iter().for_each(|(second, rate)| rates.push_str(&format!("{second},{rate}\n")));
        }
        let mut seen = String::from("seconds,workers,waiting\n");
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        for period in &self.periods {
            seen.push_str(&format!("{},{},{}\n", period.second, number(period.workers), number(period.waiting)));
        }
        for (name, text) in [("load.csv", rates), ("seen.csv", seen)] {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| LabError::Writing { path, source })?;
        }
        Ok(())
    }
}

/// A fetched folder: what arrived, and what was seen.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// What arrived.
    pub(crate) load: Load,
    /// Workers in service, as (seconds, workers).
    pub(crate) workers: Vec<(f64, f64)>,
    /// Messages that waited, as (seconds, messages).
    pub(crate) waiting: Vec<(f64, f64)>,
}

impl Past {
    /// Of a folder that `lab fetch` wrote.
    ///
    /// # Errors
    /// If a file can't be read, or is not what was written.
    pub(crate) fn read(folder: &Path) -> Result<Self, LabError> {
        let load = Load::trace(&folder.join("load.csv"))?;
        let path = folder.join("seen.csv");
        let text = std::fs::read_to_string(&path).map_err(|error| LabError::reading(&path, error))?;
        let (mut workers, mut waiting) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate().skip(1) {
            let wrong = || LabError::File {
                path: path.clone(),
                reason: format!("line {}: expected seconds,workers,waiting, found {line:?}", number + 1),
            };
            let fields: Vec<&str> = line.split(',').collect();
            let [second, in_service, waits] = fields[..] else { return Err(wrong()) };
            let second: f64 = second.parse().map_err(|_| wrong())?;
            for (field, points) in [(in_service, &mut workers), (waits, &mut waiting)] {
                if !field.is_empty() {
                    points.push((second, field.parse().map_err(|_| wrong())?));
                }
            }
        }
        Ok(Self { load, workers, waiting })
    }

    /// Instances in service on average, if any were seen.
    #[must_use]
    pub(crate) fn mean_workers(&self) -> Option<f64> {
        let sum: f64 = self.workers.iter().map(|(_, workers)| workers).sum();
        (!self.workers.is_empty()).then(|| sum / self.workers.len() as f64)
    }

    /// The most messages that were seen waiting.
    #[must_use]
    pub(crate) fn most_waiting(&self) -> f64 {
        self.waiting.iter().map(|(_, waiting)| *waiting).fold(0.0, f64::max)
    }

    /// For the plots.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<Line> {
        vec![
            Line { name: "workers that there were".into(), colour: RED, points: self.workers.clone() },
            Line { name: "waiting that there were".into(), colour: BLUE, points: self.waiting.clone() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_is_written_and_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let period = |number: u32, sent: Option<f64>| Period {
            second: f64::from(number) * 60.0,
            sent,
            workers: (number != 1).then_some(2.0),
            waiting: Some(f64::from(number)),
        };
        let fetched = Fetched { period: 60.0, periods: (0..3).map(|number| period(number, Some(120.0))).collect() };
        fetched.write(folder.path()).expect("written");
        let past = Past::read(folder.path()).expect("read");
        assert_eq!(past.load.rate().expect("a rate").jobs(), 360.0);
        assert_eq!((past.workers.len(), past.mean_workers(), past.most_waiting()), (2, Some(2.0), 2.0));
        let gap = Fetched { period: 60.0, periods: vec![period(0, Some(1.0)), period(1, None)] };
        assert!(gap.write(folder.path()).expect_err("a gap").to_string().contains("from second 60 on"));
        std::fs::write(folder.path().join("seen.csv"), "seconds,workers,waiting\n0,1\n").expect("written");
        assert!(Past::read(folder.path()).expect_err("short").to_string().contains("line 2"));
    }
}
