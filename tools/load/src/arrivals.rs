//! When each job is due.

use std::time::Duration;

use crate::rate::{Moments, Rate};
use crate::{LoadError, Shape, Spacing};

/// The moments at which jobs are due, since the start, in order.
#[derive(Clone, Debug)]
pub enum Arrivals {
    /// So many, as fast as they go.
    AtOnce(u64),
    /// At a rate.
    Timed(Timed),
}

/// Arrivals at a rate.
#[derive(Clone, Debug)]
pub struct Timed {
    moments: Moments,
    spacing: Spacing,
    random: fastrand::Rng,
    /// How many jobs are due until the next one.
    next: f64,
}

impl Arrivals {
    /// Of this shape. Poisson arrivals with the same seed are the same arrivals.
    ///
    /// # Errors
    /// If the rate is invalid, or by chance nothing arrives.
    pub fn of(shape: &Shape, spacing: Spacing, seed: u64) -> Result<Self, LoadError> {
        let rate = match (shape, Rate::of(shape)?) {
            (Shape::Count { jobs }, _) => return Ok(Self::AtOnce(*jobs)),
            (_, Some(rate)) => rate,
            (_, None) => return Err(LoadError::Shape("there is no rate at all".into())),
        };
        let mut timed =
            Timed { moments: Moments::new(rate), spacing, random: fastrand::Rng::with_seed(seed), next: 0.0 };
        if spacing == Spacing::Poisson {
            timed.next = timed.gap();
        }
        let arrivals = Self::Timed(timed);
        if arrivals.clone().next().is_none() {
            return Err(LoadError::Shape(
                "by chance not one job arrives under this rate and seed; give a higher rate, a longer time or another seed"
                    .into(),
            ));
        }
        Ok(arrivals)
    }

    /// How many there are.
    #[must_use]
    pub fn planned(&self) -> u64 {
        match self {
            Self::AtOnce(jobs) => *jobs,
            Self::Timed(timed) => timed.clone().count() as u64,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        match self {
            Self::AtOnce(left) => {
                *left = left.checked_sub(1)?;
                Some(Duration::ZERO)
            }
            Self::Timed(timed) => timed.next(),
        }
    }
}

impl Timed {
    /// How many jobs are due, on average, from one arrival to the next.
    fn gap(&mut self) -> f64 {
        match self.spacing {
            Spacing::Even => 1.0,
            // Of a Poisson process of rate 1. `f64` is in [0, 1), so the logarithm is of no zero.
            Spacing::Poisson => -(1.0 - self.random.f64()).ln(),
        }
    }
}

impl Iterator for Timed {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = self.moments.when(self.next)?;
        self.next += self.gap();
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrivals(rate: f64, seconds: u64, spacing: Spacing, seed: u64) -> Result<Arrivals, LoadError> {
        Arrivals::of(&Shape::Constant { rate, duration: Duration::from_secs(seconds) }, spacing, seed)
    }

    #[test]
    fn even_arrivals_lie_at_equal_gaps() {
        let arrivals = arrivals(4.0, 1, Spacing::Even, 0).expect("a load");
        assert_eq!(arrivals.planned(), 4);
        let at: Vec<_> = arrivals.map(|at| at.as_millis()).collect();
        assert_eq!(at, [0, 250, 500, 750]);
    }

    #[test]
    fn a_count_is_due_at_once() {
        let arrivals = Arrivals::of(&Shape::Count { jobs: 3 }, Spacing::Poisson, 1).expect("a load");
        assert_eq!(arrivals.planned(), 3);
        assert_eq!(arrivals.collect::<Vec<_>>(), [Duration::ZERO; 3]);
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let arrivals = arrivals(100.0, 1000, Spacing::Poisson, 7).expect("a load");
        let at: Vec<f64> = arrivals.map(|at| at.as_secs_f64()).collect();
        // 100 000 expected, standard deviation 316.
        assert!((98_500..101_500).contains(&at.len()), "{}", at.len());
        let gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential distribution the deviation is the mean, and 1 - 1/e of it lies below the mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{mean} {variance}");
        let below = gaps.iter().filter(|gap| **gap < mean).count() as f64 / gaps.len() as f64;
        assert!((below - 0.632).abs() < 0.01, "{below}");
    }

    #[test]
    fn no_arrival_by_chance_is_said() {
        let none = (0..200).find_map(|seed| arrivals(0.1, 1, Spacing::Poisson, seed).err());
        assert!(none.expect("most seeds have none").to_string().contains("another seed"));
    }

    proptest! {
        #[test]
        fn arrivals_are_in_order_as_many_as_planned_and_the_same_each_time(
            rate in 0.5..500.0_f64, seconds in 1_u64..20, seed: u64, even: bool,
        ) {
            let spacing = if even { Spacing::Even } else { Spacing::Poisson };
            let Ok(arrivals) = arrivals(rate, seconds, spacing, seed) else { return Ok(()) };
            let at: Vec<_> = arrivals.clone().collect();
            let planned = arrivals.planned();
            prop_assert_eq!(at.len() as u64, planned);
            prop_assert!(at.is_sorted());
            prop_assert!(at.iter().all(|at| *at <= Duration::from_secs(seconds)));
            prop_assert_eq!(at, arrivals.collect::<Vec<_>>());
            if even {
                let expected = rate * seconds as f64;
                prop_assert!((planned as f64 - expected).abs() <= 1.0);
            }
        }
    }
}
