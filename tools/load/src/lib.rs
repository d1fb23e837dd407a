//! When jobs arrive: a rate over time, and the arrivals within it. The flood sends them, the scaling lab simulates them;
//! the same shape, spacing and seed are the same arrivals in both.
//!
//! Pure but for one function, which reads a file of rates.

mod arrivals;
mod error;
mod rate;
mod shape;
mod trace;

pub use arrivals::Arrivals;
pub use error::LoadError;
pub use rate::Rate;
pub use shape::{Shape, Spacing};
