//! Why a fleet's size changes, in a line.

use std::fmt;
use std::time::Duration;

/// A change of capacity, with what was seen when it was made. Displayed, it is a line that a person understands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Why {
    /// The number of workers before.
    pub from: u32,
    /// The number after.
    pub to: u32,
    /// Photos that arrive in a second.
    pub arrivals: f64,
    /// Workers that these need.
    pub keeping_up: f64,
    /// Photos that wait.
    pub waiting: u64,
    /// Within how long what waits is to be worked off.
    pub promise: Duration,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, arrivals, keeping_up, waiting, promise } = self;
        write!(f, "{from} -> {to}: {arrivals:.1} photos/s need {keeping_up:.1} workers, ")?;
        match waiting {
            0 => write!(f, "none waits, ")?,
            1 => write!(f, "1 waits, ")?,
            some => write!(f, "{some} wait, ")?,
        }
        write!(f, "promise {} s", (promise.as_secs_f64() * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_why() {
        let promise = Duration::from_secs(10);
        let why = Why { from: 2, to: 4, arrivals: 25.13, keeping_up: 2.5, waiting: 103, promise };
        assert_eq!(why.to_string(), "2 -> 4: 25.1 photos/s need 2.5 workers, 103 wait, promise 10 s");
        let fewer = Why { from: 4, to: 3, waiting: 0, promise: promise / 6, ..why };
        assert_eq!(fewer.to_string(), "4 -> 3: 25.1 photos/s need 2.5 workers, none waits, promise 1.7 s");
    }
}
