//! When each job of a plan is due.

use std::time::Duration;

use crate::rate::{Moments, Rate};
use crate::{FloodError, Plan, Shape, Spacing};

/// The moments at which a plan's jobs are due, since the start, in order.
#[derive(Clone, Debug)]
pub(crate) enum Arrivals {
    /// So many, as fast as they go.
    AtOnce(u64),
    /// At a rate.
    Timed(Timed),
}

#[derive(Clone, Debug)]
pub(crate) struct Timed {
    moments: Moments,
    spacing: Spacing,
    random: fastrand::Rng,
    /// How many jobs are due until the next one.
    next: f64,
}

impl Arrivals {
    /// Of this plan.
    pub(crate) fn of(plan: &Plan) -> Result<Self, FloodError> {
        let rate = match (&plan.shape, Rate::of(&plan.shape)?) {
            (Shape::Count { jobs }, _) => return Ok(Self::AtOnce(*jobs)),
            (_, Some(rate)) => rate,
            (_, None) => return Err(FloodError::Plan("there is no rate at all".into())),
        };
        let mut timed = Timed {
            moments: Moments::new(rate),
            spacing: plan.spacing,
            random: fastrand::Rng::with_seed(plan.seed),
            next: 0.0,
        };
        if plan.spacing == Spacing::Poisson {
            timed.next = timed.gap();
        }
        let arrivals = Self::Timed(timed);
        if arrivals.clone().next().is_none() {
            return Err(FloodError::Plan(
                "by chance not one job arrives under this rate and seed; give a higher rate, a longer time or another seed"
                    .into(),
            ));
        }
        Ok(arrivals)
    }

    /// How many there are.
    pub(crate) fn planned(&self) -> u64 {
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

    fn plan(rate: f64, seconds: u64, spacing: Spacing, seed: u64) -> Plan {
        let shape = Shape::Constant { rate, duration: Duration::from_secs(seconds) };
        Plan { spacing, seed, ..Plan::new(shape) }
    }

    #[test]
    fn even_arrivals_lie_at_equal_gaps() {
        let arrivals = Arrivals::of(&plan(4.0, 1, Spacing::Even, 0)).expect("a plan");
        assert_eq!(arrivals.planned(), 4);
        let at: Vec<_> = arrivals.map(|at| at.as_millis()).collect();
        assert_eq!(at, [0, 250, 500, 750]);
    }

    #[test]
    fn a_count_is_due_at_once() {
        let arrivals = Arrivals::of(&Plan::new(Shape::Count { jobs: 3 })).expect("a plan");
        assert_eq!(arrivals.planned(), 3);
        assert_eq!(arrivals.collect::<Vec<_>>(), [Duration::ZERO; 3]);
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let arrivals = Arrivals::of(&plan(100.0, 1000, Spacing::Poisson, 7)).expect("a plan");
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
        let none = (0..200).find_map(|seed| Arrivals::of(&plan(0.1, 1, Spacing::Poisson, seed)).err());
        assert!(none.expect("most seeds have none").to_string().contains("another seed"));
    }

    proptest! {
        #[test]
        fn arrivals_are_in_order_as_many_as_planned_and_the_same_each_time(
            rate in 0.5..500.0_f64, seconds in 1_u64..20, seed: u64, even: bool,
        ) {
            let spacing = if even { Spacing::Even } else { Spacing::Poisson };
            let Ok(arrivals) = Arrivals::of(&plan(rate, seconds, spacing, seed)) else { return Ok(()) };
            let at: Vec<_> = arrivals.clone().collect();
            prop_assert_eq!(at.len() as u64, arrivals.planned());
            prop_assert!(at.is_sorted());
            prop_assert!(at.iter().all(|at| *at <= Duration::from_secs(seconds)));
            prop_assert_eq!(at, arrivals.collect::<Vec<_>>());
            if even {
                let expected = rate * seconds as f64;
                prop_assert!((arrivals_len(rate, seconds) as f64 - expected).abs() <= 1.0);
            }
        }
    }

    fn arrivals_len(rate: f64, seconds: u64) -> u64 {
        Arrivals::of(&plan(rate, seconds, Spacing::Even, 0)).expect("a plan").planned()
    }
}
