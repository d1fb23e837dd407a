//! The sentences in which EC2 Auto Scaling and CloudWatch give their reasons.

use demand::Why;
use target_tracking::{Alarm, AlarmState, ComparisonOperator, Evaluation};

/// Why the desired capacity changes, as a scaling activity tells it. `at` is RFC 3339.
///
/// Behind what AWS says stands, where it is known, the line that a person understands.
pub(super) fn of_scaling(at: &str, alarm: &str, policy: &str, from: u32, to: u32, why: Option<Why>) -> String {
    let said = format!(
        "At {at} a monitor alarm {alarm} in state ALARM triggered policy {policy} changing the desired capacity from \
         {from} to {to}"
    );
    match why {
        Some(why) => format!("{said} ({why})."),
        None => format!("{said}."),
    }
}

/// Why an alarm is in its state.
pub(super) fn of_state(alarm: &Alarm, evaluation: &Evaluation) -> String {
    let than = match alarm.comparison_operator {
        ComparisonOperator::GreaterThanThreshold => "greater than",
        ComparisonOperator::LessThanThreshold => "less than",
    };
    let points: Vec<String> = evaluation.datapoints.iter().map(|value| format!("{value:.1}")).collect();
    let (points, count, threshold) = (points.join(", "), evaluation.datapoints.len(), alarm.threshold);
    match evaluation.state {
        AlarmState::InsufficientData => {
            format!("Insufficient Data: {} datapoints were unknown.", alarm.evaluation_range())
        }
        AlarmState::Alarm => {
            format!("Threshold Crossed: {count} datapoints [{points}] were {than} the threshold ({threshold:.1}).")
        }
        AlarmState::Ok => {
            let within = evaluation.datapoints.iter().filter(|value| !alarm.breaches(**value)).count();
            format!(
                "Threshold Crossed: {within} of {count} datapoints [{points}] were not {than} the threshold \
                 ({threshold:.1})."
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_which_points_decided() {
        let high = Alarm::high(10.0);
        let said = |points: &[Option<f64>]| of_state(&high, &high.evaluate(points, AlarmState::Ok));
        assert_eq!(
            said(&[Some(12.0), Some(20.25), Some(31.0)]),
            "Threshold Crossed: 3 datapoints [12.0, 20.2, 31.0] were greater than the threshold (10.0)."
        );
        assert_eq!(
            said(&[Some(12.0), Some(9.0), Some(31.0)]),
            "Threshold Crossed: 1 of 3 datapoints [12.0, 9.0, 31.0] were not greater than the threshold (10.0)."
        );
        assert_eq!(said(&[None]), "Insufficient Data: 5 datapoints were unknown.");
    }
}
