//! What is found in an image.

use std::sync::Arc;

use crate::BoundingBox;

/// One object in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The class's number in the model.
    pub class_id: usize,
    /// The class's name.
    pub class: Arc<str>,
    /// `0..=1`.
    pub confidence: f32,
    /// In pixels of the image.
    pub bounding_box: BoundingBox,
}
