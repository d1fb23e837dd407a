//! When an alarm that lasts asks its policy to scale.

use std::time::Duration;

use crate::AlarmState;

/// The action of an alarm that scales: invoked when the alarm begins, and then once a minute for as long as it lasts,
/// "regardless of the configured time period" of the alarm (AWS re:Post, "Why doesn't my CloudWatch alarm's state change
/// invoke my Amazon EC2 Auto Scaling policy?").
///
/// So an alarm with a period of 10 seconds begins sooner than one with a period of a minute, and repeats no more often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmAction {
    last: Option<Duration>,
}

impl AlarmAction {
    /// Whether the action is invoked at `now`, in which the alarm was found in `state`. `now` counts from any moment that
    /// is the same for all calls; `minute` is how long a minute takes, where time is shortened.
    pub fn is_invoked(&mut self, state: AlarmState, now: Duration, minute: Duration) -> bool {
        if state != AlarmState::Alarm {
            self.last = None;
            return false;
        }
        // Evaluations come once a period, some a little early: a tenth of a minute must not cost a whole period.
        let invoked = self.last.is_none_or(|last| now.saturating_sub(last) >= minute.mul_f64(0.9));
        if invoked {
            self.last = Some(now);
        }
        invoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_that_lasts_acts_once_a_minute() {
        let minute = Duration::from_secs(60);
        let mut action = AlarmAction::default();
        let mut at = |seconds, state| action.is_invoked(state, Duration::from_secs(seconds), minute);
        assert!(!at(0, AlarmState::Ok));
        let acted: Vec<u64> = (1..=20).map(|number| number * 10).filter(|now| at(*now, AlarmState::Alarm)).collect();
        assert_eq!(acted, [10, 70, 130, 190]);
        // Every new one acts at once.
        assert!(!at(210, AlarmState::InsufficientData));
        assert!(at(220, AlarmState::Alarm));
    }
}
