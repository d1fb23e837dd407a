//! How much faster than in AWS time goes by.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A minute of AWS takes a minute divided by this. CloudWatch has periods of 1, 5, 10, 20 and 30 seconds and of whole
/// minutes, so only these are possible: a scaled group is still one that CloudWatch could have alarms for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeScale(u32);

const POSSIBLE: [u32; 6] = [1, 2, 3, 6, 12, 60];

impl TimeScale {
    /// As in AWS.
    pub const REAL: Self = Self(1);
    /// A minute a second.
    pub const MINUTE_A_SECOND: Self = Self(60);

    /// How many times faster.
    #[must_use]
    pub fn times(self) -> u32 {
        self.0
    }

    /// What a stretch of AWS's time takes here.
    #[must_use]
    pub fn shorten(self, real: Duration) -> Duration {
        real / self.0
    }

    /// What a minute takes here: the period of the alarms.
    #[must_use]
    pub fn period(self) -> Duration {
        self.shorten(Duration::from_secs(60))
    }
}

/// A minute a second: whoever starts the fleet on one machine wants to see it scale.
impl Default for TimeScale {
    fn default() -> Self {
        Self::MINUTE_A_SECOND
    }
}

impl fmt::Display for TimeScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TimeScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = text.parse().ok().filter(|times| POSSIBLE.contains(times));
        times.map(Self).ok_or_else(|| {
            "expected 1 (as in AWS), 2, 3, 6, 12 or 60 (a minute a second): the periods that CloudWatch offers".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_becomes_a_period_of_cloudwatch() {
        for (text, seconds) in [("1", 60), ("2", 30), ("3", 20), ("6", 10), ("12", 5), ("60", 1)] {
            let scale: TimeScale = text.parse().expect("possible");
            assert_eq!(scale.period(), Duration::from_secs(seconds));
            assert_eq!(scale.to_string(), text);
        }
        for wrong in ["", "0", "4", "61", "-1", "1.5", "fast"] {
            assert!(wrong.parse::<TimeScale>().is_err(), "{wrong}");
        }
        assert_eq!(TimeScale::MINUTE_A_SECOND.shorten(Duration::from_secs(30)), Duration::from_millis(500));
    }
}
