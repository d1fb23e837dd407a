//! Time in the lab: nanoseconds since the start inside, durations at its edges.

use std::time::Duration;

use serde::Serializer;

/// Nanoseconds since the start. 584 years of them are enough.
pub(crate) type Nanos = u64;

/// A second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn in_seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// In JSON: seconds, as a number.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// The same where there may be none.
pub(crate) fn optional_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

/// `90s`, `500ms`, `2m`, `6h`, `14d`; a bare number is seconds.
///
/// # Errors
/// A sentence, if it is not a duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, unit) = found.unwrap_or((text, 1.0));
    let number = number.trim().parse::<f64>().ok();
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number * unit).ok());
    duration.ok_or_else(|| format!("{text:?} is not a duration: expected for example 90s, 500ms, 2m, 6h or 14d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let parsed = |text| parse_duration(text).expect(text).as_secs_f64();
        assert_eq!(
            ["90s", "500ms", "2m", "6h", "14d", "1.5"].map(parsed),
            [90.0, 0.5, 120.0, 21_600.0, 1_209_600.0, 1.5]
        );
        for wrong in ["", "s", "-1s", "soon", "NaN", "inf", "1e300d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
