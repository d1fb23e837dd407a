//! Our own operators for what tract computes slowly.
//!
//! [`lower`](lower::lower) reads tract's typed graph and returns a [`Recipe`]: the same computation as a list of our
//! operators on blocked maps (NCHWc). The recipe then builds a graph of them for any input size, which tract plans and runs.

mod buffers;
mod isa;
pub(crate) mod kernels;
mod lower;
mod ops;
mod recipe;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use buffers::Buffers;
pub use isa::{Isa, Precision, UnknownIsa, UnknownPrecision};
pub(crate) use kernels::Element;
pub(crate) use lower::{lower, lower_whole};
pub(crate) use recipe::{Piece, Produced, Recipe};
