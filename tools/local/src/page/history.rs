//! The last minutes, for the charts of a browser that has just come.

use std::collections::VecDeque;

use serde::Serialize;

use super::fleet_state::FleetState;

/// Five minutes of a look a second.
const KEPT: usize = 300;

/// What the charts show of one moment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Point {
    at_ms: u64,
    visible: Option<u64>,
    in_flight: Option<u64>,
    in_service: Option<usize>,
    desired: Option<i32>,
    followed: Option<f64>,
    needed: Option<f64>,
    target: Option<f64>,
    photos_per_second: f64,
    p50_ms: Option<u64>,
    p95_ms: Option<u64>,
}

impl From<&FleetState> for Point {
    fn from(state: &FleetState) -> Self {
        let cloud = &state.cloud;
        Self {
            at_ms: state.at_ms,
            visible: cloud.queue.map(|queue| queue.visible),
            in_flight: cloud.queue.map(|queue| queue.in_flight),
            in_service: cloud.group.as_ref().map(|group| group.in_service()),
            desired: cloud.group.as_ref().map(|group| group.desired),
            followed: cloud.metric.map(|metric| metric.value),
            needed: cloud.needed,
            target: cloud.target,
            photos_per_second: state.pace.photos_per_second,
            p50_ms: state.pace.p50_ms,
            p95_ms: state.pace.p95_ms,
        }
    }
}

/// The oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
}

impl History {
    pub(super) fn push(&mut self, point: Point) {
        if self.points.len() == KEPT {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    pub(super) fn points(&self) -> &VecDeque<Point> {
        &self.points
    }
}
