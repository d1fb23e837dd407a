//! Models that the tests make themselves, as exporters write them.

mod anchors;
mod declarations;
mod graph;
mod heads;
