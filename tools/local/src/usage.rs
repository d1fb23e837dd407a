//! What the fleet's processes used of this machine: what bounds a flood of a whole fleet on one machine is most often the
//! machine.

use std::time::{Duration, Instant};

use crate::LocalFleet;

/// Clock ticks a second, in which Linux counts: fixed for programs, whatever the kernel's own clock is.
const TICKS: f64 = 100.0;

/// CPU time of each process so far, in seconds, at one moment.
pub(crate) struct Usage {
    at: Instant,
    /// This program first: AWS, Telegram and what it does itself. Then the services.
    processes: Vec<(String, f64)>,
    calls: u64,
}

impl Usage {
    /// Until now.
    pub(crate) fn of(stack: &LocalFleet) -> Self {
        let mut processes = vec![("AWS and the flood itself".to_owned(), cpu(std::process::id()))];
        for (child, _) in stack.children() {
            processes.push((child.name().to_owned(), child.id().map_or(0.0, cpu)));
        }
        Self { at: Instant::now(), processes, calls: stack.aws.calls().all().values().sum() }
    }

    /// What was used between then and now, for people.
    pub(crate) fn since(&self, before: &Self) -> String {
        let elapsed = (self.at - before.at).max(Duration::from_millis(1)).as_secs_f64();
        let used = |(now, before): (&(String, f64), &(String, f64))| (now.0.clone(), (now.1 - before.1) / elapsed);
        let used: Vec<(String, f64)> = self.processes.iter().zip(&before.processes).map(used).collect();
        let all: f64 = used.iter().map(|(_, cores)| cores).sum();
        let each: Vec<String> = used.iter().map(|(name, cores)| format!("{name} {cores:.2}")).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let calls = self.calls - before.calls;
        format!(
            "cores      {all:.2} of {cores} used: {}\nAWS calls  {calls}, {:.0} a second",
            each.join(", "),
            calls as f64 / elapsed
        )
    }
}

/// CPU seconds of a process, of user and system; 0 if it is gone.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may have spaces in it. After it `utime` and `stime` are the 12th and 13th field.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let before = cpu(std::process::id());
        let begun = Instant::now();
        while cpu(std::process::id()) < before + 0.05 {
            assert!(begun.elapsed() < Duration::from_secs(60), "work, and no time is counted");
        }
        assert_eq!(cpu(u32::MAX), 0.0, "there is no such process");
    }
}
