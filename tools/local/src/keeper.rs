//! Keeps a service running: one that ends is started again, later each time it ends soon.

use std::time::{Duration, Instant};

use crate::{Child, LogLine};

/// Waits before a service is started again; the last one stays.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// What ran for so long is started again as if it ended for the first time.
const LONG: Duration = Duration::from_secs(300);

/// For ever: when the service ends, say so and put another one in its place.
pub(crate) async fn keep(child: &mut Child, tell: &impl Fn(&str), start: impl Fn() -> anyhow::Result<Child>) {
    let mut pauses = Pauses::default();
    loop {
        let since = Instant::now();
        let status = match child.ended().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let name = child.name().to_owned();
        let pause = pauses.after(since.elapsed());
        // One that was killed had no time to say why.
        let last = child.log().into_iter().rev().find(LogLine::is_trouble);
        let last = last.map(|line| format!(" Its last trouble: {}", line.in_words())).unwrap_or_default();
        tell(&format!("{name} ended ({status}); it is started again in {} s.{last}", pause.as_secs()));
        tokio::time::sleep(pause).await;
        *child = loop {
            match started(&start).await {
                Ok(child) => break child,
                Err(error) => {
                    let pause = pauses.after(Duration::ZERO);
                    tell(&format!("{name} was not started again, which is tried in {} s: {error:#}", pause.as_secs()));
                    tokio::time::sleep(pause).await;
                }
            }
        };
        tell(&format!("{name} runs again (process {})", child.id().unwrap_or_default()));
    }
}

async fn started(start: &impl Fn() -> anyhow::Result<Child>) -> anyhow::Result<Child> {
    let child = start()?;
    child.ready().await?;
    Ok(child)
}

/// How long to wait.
#[derive(Debug, Default)]
struct Pauses {
    failures: usize,
}

impl Pauses {
    /// After one that ran for so long.
    fn after(&mut self, ran: Duration) -> Duration {
        if ran >= LONG {
            self.failures = 0;
        }
        let pause = PAUSES[self.failures.min(PAUSES.len() - 1)];
        self.failures += 1;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_soon_again_waits_longer() {
        let mut pauses = Pauses::default();
        let mut after = |seconds| pauses.after(Duration::from_secs(seconds)).as_secs();
        assert_eq!([1000, 0, 10, 0, 0, 0, 299].map(&mut after), [1, 2, 5, 15, 60, 60, 60]);
        assert_eq!((after(300), after(0)), (1, 2));
    }
}
