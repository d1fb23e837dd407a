//! Models that the tests make themselves, as exporters write them.

mod anchors;
mod bodies;
mod declarations;
mod graph;
mod heads;
mod hostile;
mod row_heads;
mod supported;
