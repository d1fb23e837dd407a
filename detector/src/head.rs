//! The last part of a detector's graph, recognised and taken over.
//!
//! YOLO's graphs end by turning the raw maps into boxes and scores for every place in the image, nearly all of which are
//! thrown away next. [`Head::find`] recognises that end by its structure and constants; the graph is then cut before it,
//! and [`Head::candidates`] does the same arithmetic only where a class logit is high enough.

mod anchors;
mod distribution;
mod graph;

use tract_onnx::prelude::*;

use crate::decode::Candidate;
use crate::raw_map::RawMap;

/// How the raw maps become boxes.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// YOLOv8 and later: distances to the four edges, each as a distribution.
    Distribution(distribution::Distribution),
    /// YOLOv5: centre and size relative to anchors.
    Anchors(anchors::Anchors),
}

impl Head {
    /// The head of this graph and the outlets of the raw maps, one for each stride; nothing if it is none that is known.
    pub(crate) fn find(model: &TypedModel) -> Option<(Self, Vec<OutletId>)> {
        distribution::find(model)
            .map(|(head, maps)| (Self::Distribution(head), maps))
            .or_else(|| anchors::find(model).map(|(head, maps)| (Self::Anchors(head), maps)))
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Distribution(head) => head.classes,
            Self::Anchors(head) => head.classes,
        }
    }

    /// The candidates of at least this confidence, each with its best class, in the order of the uncut output.
    pub(crate) fn candidates(&self, maps: &[RawMap<'_>], min_confidence: f32) -> Vec<Candidate> {
        match self {
            Self::Distribution(head) => head.candidates(maps, min_confidence),
            Self::Anchors(head) => head.candidates(maps, min_confidence),
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
