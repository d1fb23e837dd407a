//! The last part of a detector's graph, recognised and taken over.
//!
//! YOLO's graphs end by turning the raw maps into boxes and scores for every place in the image, nearly all of which are
//! thrown away next. [`Head::find`] recognises that end by its structure and constants, or by what it computes
//! ([`probe`]); the graph is then cut before it, and [`Head::candidates`] does the same arithmetic only where a class logit is
//! high enough.

mod anchors;
mod distribution;
mod graph;
mod points;
mod probe;
mod softmax;

use tract_onnx::prelude::*;

use crate::decode::Candidate;
use crate::layout::{Layout, LayoutName};
use crate::raw_map::RawMap;

/// How the raw maps become boxes.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// YOLOv8 and later, YOLOv6: distances to the four edges, each as a distribution or as it is.
    Distribution(distribution::Distribution),
    /// YOLOv5 and v7: centre and size relative to anchors.
    Anchors(anchors::Anchors),
    /// YOLOX: centre and size relative to places.
    Points(points::Points),
}

impl Head {
    /// Returns the head of this graph, the outlets of the raw maps, and which of the possible layouts its output has; `None` if the
    /// head is not known.
    pub(crate) fn find(model: &TypedModel, possible: &[Layout]) -> Option<(Self, Vec<OutletId>, Layout)> {
        let known = distribution::find(model)
            .map(|(head, maps)| (Self::Distribution(head), maps, LayoutName::Columns))
            .or_else(|| {
                anchors::find(model).map(|(head, maps)| (Self::Anchors(head), maps, LayoutName::RowsWithObjectness))
            });
        if let Some((head, maps, name)) = known {
            let is_it = |layout: &&Layout| layout.name() == name && layout.classes() == head.classes();
            return possible.iter().find(is_it).map(|&layout| (head, maps, layout));
        }
        possible.iter().find_map(|&layout| probe::find(model, layout).map(|(head, maps)| (head, maps, layout)))
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Distribution(head) => head.classes,
            Self::Anchors(head) => head.classes,
            Self::Points(head) => head.classes,
        }
    }

    /// Returns the candidates of at least this confidence, each with its best class, in the order of the uncut output; for an
    /// end-to-end model its detections.
    pub(crate) fn candidates(&self, maps: &[RawMap<'_>], min_confidence: f32, layout: Layout) -> Vec<Candidate> {
        match (self, layout) {
            (Self::Distribution(head), Layout::EndToEnd { boxes, .. }) => head.detections(maps, min_confidence, boxes),
            (Self::Distribution(head), _) => head.candidates(maps, min_confidence),
            (Self::Anchors(head), _) => head.candidates(maps, min_confidence),
            (Self::Points(head), _) => head.candidates(maps, min_confidence),
        }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Distribution(head) if head.bins == 1 => f.write_str("distances to the edges (YOLO26, YOLOv6)"),
            Self::Distribution(head) => write!(f, "distances to the edges in {} bins (YOLOv8 and later)", head.bins),
            Self::Anchors(_) => f.write_str("anchors (YOLOv5, YOLOv7)"),
            Self::Points(_) => f.write_str("points (YOLOX)"),
        }
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// A logit below which the sigmoid is certainly below `confidence`.
fn logit_below(confidence: f32) -> f32 {
    const SLACK: f32 = 1e-3;
    if confidence <= 0.0 {
        f32::NEG_INFINITY
    } else if confidence >= 1.0 {
        // The sigmoid rounds to 1 from about here.
        16.0
    } else {
        (confidence / (1.0 - confidence)).ln() - SLACK
    }
}
