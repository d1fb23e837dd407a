//! Values of flags.

use std::time::Duration;

use crate::Shape;

/// `60s`, `2m`, `1.5h`, `500ms`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is no duration; expected for example 60s, 2m or 500ms");
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let in_seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(refuse()),
    };
    let number: f64 = number.trim().parse().map_err(|_| refuse())?;
    Duration::try_from_secs_f64(number * in_seconds).map_err(|_| refuse())
}

pub(super) fn ramp(text: &str) -> Result<Shape, String> {
    let (from, to, duration) = rates_and_time(text, "FROM:TO:TIME, for example 0:100:120s")?;
    Ok(Shape::Ramp { from, to, duration })
}

pub(super) fn spike(text: &str) -> Result<Shape, String> {
    let (base, peak, duration) = rates_and_time(text, "BASE:PEAK:TIME, for example 2:50:60s")?;
    Ok(Shape::Spike { base, peak, duration })
}

fn rates_and_time(text: &str, expected: &str) -> Result<(f64, f64, Duration), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [first, second, time] = parts[..] else { return Err(format!("expected {expected}")) };
    let rate = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is no number; expected {expected}"));
    Ok((rate(first)?, rate(second)?, duration(time)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in [("60s", 60_000), ("2m", 120_000), ("1.5h", 5_400_000), ("500ms", 500), ("7", 7_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-5s", "5 parsecs", "NaN", "1e400s", "5s5"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
