//! Which module of a program uses which, and the circles among them. The workspace's rule, held by this crate's test: of the
//! modules with one parent, each with all below it, none uses another that, directly or by way of others, uses it. So each can be
//! read, tested and moved without those that use it.
//!
//! It reads the sources, not what a compiler made of them: `mod`, `use`, paths, and the paths in macros and attributes. A name is
//! followed through `use`, re-exports and globs to the module that defines it. What only tests use does not count.

mod circle;
mod module;
mod program;

pub use circle::{Circle, circles};
pub use program::{Program, Use};
