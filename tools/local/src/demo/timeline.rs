//! What happened when, printed as it happens and kept for the report.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_autoscaling::types::Activity;
use aws_sdk_cloudwatch::types::StateValue;

use super::look::Look;

/// The lines so far.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    lines: Vec<String>,
    /// The activities that were told, and their reasons.
    told: HashSet<String>,
}

impl Timeline {
    pub(super) fn line(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }

    pub(super) fn head(&mut self) {
        self.line(
            "    s   waiting  in flight  needed  WorkerDemand  desired  in service  AlarmHigh          AlarmLow".into(),
        );
    }

    pub(super) fn look(&mut self, at: Duration, look: &Look) {
        let needed = look.needed.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let demand = look.demand.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} %"));
        let alarm = |number: usize| look.alarms.get(number).map_or("-", StateValue::as_str);
        self.line(format!(
            "{:>5.1}  {:>8}  {:>9}  {needed:>6}  {demand:>12}  {:>7}  {:>10}  {:<17}  {}",
            at.as_secs_f64(),
            look.depth.visible,
            look.depth.in_flight,
            look.desired,
            look.in_service,
            alarm(0),
            alarm(1),
        ));
    }

    /// Tell the activities that were not told before. What several have in common is told once.
    pub(super) fn activities(&mut self, activities: &[Activity]) {
        for activity in activities {
            if !self.told.insert(activity.activity_id().unwrap_or_default().to_owned()) {
                continue;
            }
            // "At ... an alarm ... from 1 to 4. At ... an instance was started ...": the group's reason comes first.
            let cause = activity.cause().unwrap_or_default();
            let reason = cause.split_once(". At ").map_or(cause, |(reason, _)| reason).trim_end_matches('.');
            if self.told.insert(reason.to_owned()) {
                self.line(format!("       > {reason}:"));
            }
            self.line(format!("         {}", activity.description().unwrap_or_default()));
        }
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = self.lines.join("\n") + "\n";
        std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    }
}
