//! A report as one file for a browser: percentiles of many durations, plots as SVG, and the page that holds them. It
//! fetches nothing from anywhere, and is read on dark paper as well as on light.

mod durations;
mod page;
mod plots;

pub use durations::{Bucket, Durations, Percentiles, quantile, seconds};
pub use page::Page;
pub use plots::{BLUE, Colour, Dot, Failure, GREEN, Line, ORANGE, Plot, RED, VIOLET};
