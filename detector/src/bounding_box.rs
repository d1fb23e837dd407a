//! An axis-aligned box.

/// A box by its edges, in pixels; `left <= right` and `top <= bottom` for every box this crate makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    /// Distance of the left edge from the image's left edge.
    pub left: f32,
    /// Distance of the top edge from the image's top edge.
    pub top: f32,
    /// Distance of the right edge from the image's left edge.
    pub right: f32,
    /// Distance of the bottom edge from the image's top edge.
    pub bottom: f32,
}

impl BoundingBox {
    /// The box with this centre and size.
    #[must_use]
    pub fn from_centre(cx: f32, cy: f32, width: f32, height: f32) -> Self {
        Self { left: cx - width / 2.0, top: cy - height / 2.0, right: cx + width / 2.0, bottom: cy + height / 2.0 }
    }

    /// Its width.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// Its height.
    #[must_use]
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Its area; 0 for a degenerate box.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Intersection over union with `other`, in `0..=1`; 0 where both are degenerate.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let intersection = Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
        .area();
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part of it inside an image of this size.
    #[must_use]
    pub fn clipped(&self, width: f32, height: f32) -> Self {
        Self {
            left: self.left.clamp(0.0, width),
            top: self.top.clamp(0.0, height),
            right: self.right.clamp(0.0, width),
            bottom: self.bottom.clamp(0.0, height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_of_known_boxes() {
        let a = BoundingBox { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };
        let half = BoundingBox { left: 5.0, top: 0.0, right: 15.0, bottom: 10.0 };
        let apart = BoundingBox { left: 20.0, top: 20.0, right: 30.0, bottom: 30.0 };
        assert_eq!(a.iou(&a), 1.0);
        assert!((a.iou(&half) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(&apart), 0.0);
    }

    #[test]
    fn degenerate_boxes_have_no_iou() {
        let point = BoundingBox { left: 1.0, top: 1.0, right: 1.0, bottom: 1.0 };
        assert_eq!(point.iou(&point), 0.0);
    }
}
