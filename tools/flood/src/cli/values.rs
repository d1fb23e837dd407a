//! Values of flags.

use std::time::Duration;

use crate::Shape;

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
    let rate = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is not a number; expected {expected}"));
    Ok((rate(first)?, rate(second)?, duration::parse(time)?))
}
