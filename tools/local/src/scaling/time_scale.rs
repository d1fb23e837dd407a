//! How much faster than in AWS time goes by.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A minute of AWS takes a minute divided by this. Alarms keep periods that CloudWatch offers: see [`TimeScale::period`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeScale(u32);

const POSSIBLE: [u32; 7] = [1, 2, 3, 6, 10, 12, 60];
/// The periods below a minute that CloudWatch offers, in seconds.
const PERIODS: [u64; 5] = [1, 5, 10, 20, 30];

impl TimeScale {
    /// As in AWS.
    pub const REAL: Self = Self(1);
    /// Ten seconds a second: the least period of target tracking in AWS becomes the least one of CloudWatch.
    pub const TEN_A_SECOND: Self = Self(10);
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

    /// What a period of AWS's becomes here: the next one that CloudWatch offers. There is none below a second, so where time
    /// passes more than ten times as fast, alarms of ten seconds are slower than all else.
    #[must_use]
    pub fn period(self, real: Duration) -> Duration {
        let here = self.shorten(real);
        let offered = PERIODS.map(Duration::from_secs).into_iter().find(|period| *period >= here);
        offered.unwrap_or_else(|| Duration::from_secs(here.as_secs().div_ceil(60) * 60))
    }

    /// What a minute takes here.
    #[must_use]
    pub fn minute(self) -> Duration {
        self.shorten(Duration::from_secs(60))
    }
}

/// Ten times as fast as AWS, so that people who start the fleet on one machine see it scale.
impl Default for TimeScale {
    fn default() -> Self {
        Self::TEN_A_SECOND
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
        times.map(Self).ok_or_else(|| "expected 1 (as in AWS), 2, 3, 6, 10, 12 or 60 (a minute a second)".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_becomes_a_period_of_cloudwatch() {
        for (text, seconds) in [("1", 60), ("2", 30), ("3", 20), ("6", 10), ("12", 5), ("60", 1)] {
            let scale: TimeScale = text.parse().expect("possible");
            assert_eq!(scale.period(Duration::from_secs(60)), Duration::from_secs(seconds));
            assert_eq!(scale.to_string(), text);
        }
        let ten = |scale: TimeScale| scale.period(Duration::from_secs(10)).as_secs();
        assert_eq!([TimeScale::REAL, TimeScale(2), TimeScale::TEN_A_SECOND, TimeScale(60)].map(ten), [10, 5, 1, 1]);
        for wrong in ["", "0", "4", "61", "-1", "1.5", "fast"] {
            assert!(wrong.parse::<TimeScale>().is_err(), "{wrong}");
        }
        assert_eq!(TimeScale::MINUTE_A_SECOND.shorten(Duration::from_secs(30)), Duration::from_millis(500));
    }
}
