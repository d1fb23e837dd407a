//! Durations as people write them in settings, and as JSON has them.
//!
//! A crate of its own, because the scaling lab reads the same durations as the services and uses no AWS SDK.

pub mod seconds;

use std::time::Duration;

/// Units of time, in seconds.
const UNITS: [(&str, f64); 8] =
    [("", 1.0), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0), ("w", 604_800.0)];

/// Parses `90` or `0.5` (seconds), `500ms`, `10s`, `2m`, `6h`, `14d`, `1w`.
///
/// # Errors
/// A sentence, if it is not a time.
pub fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let seconds = number.trim().parse::<f64>().ok().zip(unit).map(|(number, (_, seconds))| number * seconds);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .ok_or_else(|| format!("{text:?} is not a time; expected seconds, or for example 500ms, 10s, 2m, 6h or 14d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [
            ("30", 30_000),
            ("0.5", 500),
            ("0.5s", 500),
            ("500ms", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1.5h", 5_400_000),
            ("14d", 1_209_600_000),
            ("1w", 604_800_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "s", "-1", "-5s", "soon", "5 parsecs", "NaN", "inf", "1e400s", "1e300d", "5s5"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
