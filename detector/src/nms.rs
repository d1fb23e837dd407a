//! Candidates to detections: greedy non-maximum suppression within each class.

use crate::decode::Candidate;

/// Returns the candidates that no more confident one of the same class overlaps by more than `max_iou`; at most `limit`, the
/// most confident first.
#[must_use]
pub fn suppress(mut candidates: Vec<Candidate>, max_iou: f32, limit: usize) -> Vec<Candidate> {
    by_confidence(&mut candidates);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() == limit {
            break;
        }
        let overlapped = kept.iter().any(|better| {
            better.class_id == candidate.class_id && better.bounding_box.iou(&candidate.bounding_box) > max_iou
        });
        if !overlapped {
            kept.push(candidate);
        }
    }
    kept
}

/// Returns the `limit` most confident candidates, the most confident first.
#[must_use]
pub fn most_confident(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    by_confidence(&mut candidates);
    candidates.truncate(limit);
    candidates
}

fn by_confidence(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoundingBox;

    fn candidate(class_id: usize, confidence: f32, left: f32) -> Candidate {
        let bounding_box = BoundingBox { left, top: 0.0, right: left + 10.0, bottom: 10.0 };
        Candidate { class_id, confidence, bounding_box }
    }

    #[test]
    fn the_better_of_two_overlapping_boxes_stays() {
        let weak = candidate(0, 0.5, 1.0);
        let strong = candidate(0, 0.9, 0.0);
        assert_eq!(suppress(vec![weak, strong], 0.45, 300), [strong]);
    }

    #[test]
    fn other_classes_and_other_places_stay() {
        let all = [candidate(0, 0.9, 0.0), candidate(1, 0.8, 0.0), candidate(0, 0.7, 8.0)];
        assert_eq!(suppress(all.to_vec(), 0.45, 300), all);
    }

    #[test]
    fn detections_that_overlap_stay() {
        let (weak, strong) = (candidate(0, 0.5, 1.0), candidate(0, 0.9, 0.0));
        assert_eq!(most_confident(vec![weak, strong], 2), [strong, weak]);
        assert_eq!(most_confident(vec![weak, strong], 1), [strong]);
    }

    #[test]
    fn the_limit_keeps_the_most_confident() {
        let far_apart: Vec<_> = (0..5).map(|i| candidate(0, 0.3 + 0.1 * i as f32, 100.0 * i as f32)).collect();
        let kept = suppress(far_apart, 0.45, 2);
        assert_eq!(kept.iter().map(|c| c.bounding_box.left).collect::<Vec<_>>(), [400.0, 300.0]);
    }
}
