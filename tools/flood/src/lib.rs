//! Open-loop load on a fleet, with every job accounted for.
