//! A detector without a network, for load and fault tests of everything around it.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use crate::{BoundingBox, Detection};

/// The class of its detections, so that nobody takes them for real ones; also the name in the `MODEL` setting.
pub(crate) const NAME: &str = "stand-in";

/// Finds one object of class `stand-in` in the middle of every image, after a pause as long as a network might take. The
/// pause uses no CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// How long each detection takes.
    pub pause: Duration,
}

impl StandIn {
    /// Parses the `MODEL` setting `stand-in` or `stand-in:MILLISECONDS`; `None` if it names something else.
    #[must_use]
    pub fn from_setting(model: &str) -> Option<Self> {
        let rest = model.strip_prefix(NAME)?;
        let milliseconds = if rest.is_empty() { 0 } else { rest.strip_prefix(':')?.parse().ok()? };
        Some(Self { pause: Duration::from_millis(milliseconds) })
    }

    /// The middle half of the image.
    pub(crate) fn detect(self, image: &RgbImage) -> Vec<Detection> {
        std::thread::sleep(self.pause);
        let (width, height) = (image.width() as f32, image.height() as f32);
        vec![Detection {
            class_id: 0,
            class: Arc::from(NAME),
            confidence: 1.0,
            bounding_box: BoundingBox {
                left: width / 4.0,
                top: height / 4.0,
                right: width * 3.0 / 4.0,
                bottom: height * 3.0 / 4.0,
            },
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_asked_for_by_name_with_a_pause_or_without() {
        let pause = |milliseconds| Some(StandIn { pause: Duration::from_millis(milliseconds) });
        assert_eq!(StandIn::from_setting("stand-in"), pause(0));
        assert_eq!(StandIn::from_setting("stand-in:250"), pause(250));
        for other in ["yolo12n", "stand-in.onnx", "stand-in:", "stand-in:soon", "/models/stand-in"] {
            assert_eq!(StandIn::from_setting(other), None, "{other}");
        }
    }
}
