//! A CloudWatch alarm on the last points of a metric.

use std::fmt;

/// How many periods more than its evaluation periods an alarm looks back, to make up for missing points. CloudWatch's
/// documentation shows two in its example (an evaluation range of 5 for 3 evaluation periods) and says no more.
const LOOK_BACK: usize = 2;

/// What an alarm says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmState {
    /// Within the threshold.
    Ok,
    /// Beyond the threshold for long enough.
    Alarm,
    /// Too few points to tell.
    InsufficientData,
}

impl AlarmState {
    /// The name that AWS gives the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

impl fmt::Display for AlarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// On which side of the threshold a point breaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOperator {
    /// Above it.
    GreaterThanThreshold,
    /// Below it.
    LessThanThreshold,
}

/// An alarm whose evaluation periods must all breach, and that treats missing points as missing: the two kinds that
/// target tracking makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// On which side a point breaches.
    pub comparison_operator: ComparisonOperator,
    /// The limit; a point that equals it does not breach.
    pub threshold: f64,
    /// How many periods are looked at, all of which must breach.
    pub evaluation_periods: usize,
}

/// What an alarm found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What the alarm says now.
    pub state: AlarmState,
    /// The points that decided, the oldest first; at most as many as the evaluation periods.
    pub datapoints: Vec<f64>,
    /// Whether the latest period has a point.
    pub is_current: bool,
}

impl Alarm {
    /// The alarm that scales out: three minutes above the target.
    #[must_use]
    pub fn high(target_value: f64) -> Self {
        Self {
            comparison_operator: ComparisonOperator::GreaterThanThreshold,
            threshold: target_value,
            evaluation_periods: 3,
        }
    }

    /// The alarm that scales in: a quarter of an hour below nine tenths of the target.
    #[must_use]
    pub fn low(target_value: f64) -> Self {
        Self {
            comparison_operator: ComparisonOperator::LessThanThreshold,
            threshold: target_value * 0.9,
            evaluation_periods: 15,
        }
    }

    /// How many periods it looks back at most, where points are missing.
    #[must_use]
    pub fn evaluation_range(&self) -> usize {
        self.evaluation_periods + LOOK_BACK
    }

    /// Whether a point lies beyond the threshold.
    #[must_use]
    pub fn breaches(&self, value: f64) -> bool {
        match self.comparison_operator {
            ComparisonOperator::GreaterThanThreshold => value > self.threshold,
            ComparisonOperator::LessThanThreshold => value < self.threshold,
        }
    }

    /// Evaluate the alarm, which was in `state`, on the points of the last periods, the oldest first and `None` where a
    /// period has no point.
    ///
    /// As CloudWatch's "Configuring how CloudWatch alarms treat missing data" tells it.
    #[must_use]
    pub fn evaluate(&self, points: &[Option<f64>], state: AlarmState) -> Evaluation {
        let range = &points[points.len().saturating_sub(self.evaluation_range())..];
        let mut datapoints: Vec<f64> =
            range.iter().rev().filter_map(|point| *point).take(self.evaluation_periods).collect();
        datapoints.reverse();
        let state = if datapoints.is_empty() {
            AlarmState::InsufficientData
        } else if !datapoints.iter().all(|&value| self.breaches(value)) {
            AlarmState::Ok
        } else if datapoints.len() == self.evaluation_periods || self.is_old_enough(range) {
            AlarmState::Alarm
        } else {
            // Only breaching points, but too few and too recent: the next one may not breach.
            state
        };
        let is_current = points.last().is_some_and(Option::is_some);
        Evaluation { state, datapoints, is_current }
    }

    /// Whether the oldest point is as old as the evaluation periods: waiting for more points would not tell more.
    fn is_old_enough(&self, range: &[Option<f64>]) -> bool {
        range.iter().position(Option::is_some).is_some_and(|oldest| range.len() - oldest >= self.evaluation_periods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As AWS's tables write points: `0` within the threshold, `X` beyond it, `-` missing.
    fn points(written: &str) -> Vec<Option<f64>> {
        let point = |sign: &str| match sign {
            "0" => Some(10.0),
            "X" => Some(90.0),
            _ => None,
        };
        written.split(' ').map(point).collect()
    }

    fn state(written: &str, before: AlarmState) -> AlarmState {
        Alarm::high(50.0).evaluate(&points(written), before).state
    }

    /// The first table of "Configuring how CloudWatch alarms treat missing data" (CloudWatch user guide), 3 of 3 points,
    /// column MISSING.
    #[test]
    fn missing_points_are_treated_as_in_the_documented_table() {
        for before in [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData] {
            assert_eq!(state("0 - X - X", before), AlarmState::Ok);
            assert_eq!(state("0 - - - -", before), AlarmState::Ok);
            assert_eq!(state("- - - - -", before), AlarmState::InsufficientData);
            assert_eq!(state("0 X X - X", before), AlarmState::Alarm);
            assert_eq!(state("- - X - -", before), AlarmState::Alarm);
        }
    }

    /// "Avoiding premature transitions to alarm state" on the same page.
    #[test]
    fn it_does_not_alarm_prematurely() {
        for few in ["- - - - X", "- - - X -"] {
            assert_eq!(state(few, AlarmState::Ok), AlarmState::Ok);
            assert_eq!(state(few, AlarmState::InsufficientData), AlarmState::InsufficientData);
        }
        assert_eq!(state("- - - X 0", AlarmState::Ok), AlarmState::Ok);
        assert_eq!(state("- - X - 0", AlarmState::Ok), AlarmState::Ok);
    }

    #[test]
    fn a_point_on_the_threshold_is_within_it() {
        assert!(!Alarm::high(50.0).breaches(50.0));
        assert!(Alarm::high(50.0).breaches(50.1));
        assert!(!Alarm::low(50.0).breaches(45.0));
        assert!(Alarm::low(50.0).breaches(44.9));
    }

    #[test]
    fn the_latest_points_decide() {
        let high = Alarm::high(50.0);
        let found = high.evaluate(&points("0 0 0 X X X"), AlarmState::Ok);
        assert_eq!(found, Evaluation { state: AlarmState::Alarm, datapoints: vec![90.0; 3], is_current: true });
        assert_eq!(state("X X X X 0", AlarmState::Alarm), AlarmState::Ok);
        assert!(!high.evaluate(&points("X X X -"), AlarmState::Ok).is_current);
        assert_eq!(high.evaluate(&[], AlarmState::Alarm).state, AlarmState::InsufficientData);
    }

    #[test]
    fn the_low_alarm_takes_fifteen_points() {
        let low = Alarm::low(50.0);
        let mut points = vec![Some(0.0); 14];
        assert_eq!(low.evaluate(&points, AlarmState::Ok).state, AlarmState::Ok);
        points.push(Some(44.0));
        assert_eq!(low.evaluate(&points, AlarmState::Ok).state, AlarmState::Alarm);
        points.push(Some(46.0));
        assert_eq!(low.evaluate(&points, AlarmState::Alarm).state, AlarmState::Ok);
    }
}
