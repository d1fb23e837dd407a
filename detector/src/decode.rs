//! The network's raw output to candidate boxes.

use crate::BoundingBox;

/// How a model lays out its one output. Both hold, for each of `boxes` predictions, a box as centre and size in input
/// pixels and a score for each of `classes` classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// YOLOv5 (also v6, v7): `[1, boxes, 5 + classes]`; a row is `cx, cy, width, height, objectness, scores...` and the
    /// confidence is objectness times score.
    RowsWithObjectness {
        /// Number of predictions.
        boxes: usize,
        /// Number of classes.
        classes: usize,
    },
    /// YOLOv8 and later: `[1, 4 + classes, boxes]`; a column is `cx, cy, width, height, scores...` and the confidence is
    /// the score.
    Columns {
        /// Number of predictions.
        boxes: usize,
        /// Number of classes.
        classes: usize,
    },
}

impl Layout {
    /// The layout of an output of this shape, or nothing if it is neither. Told apart by which axis is the short one:
    /// a detector predicts many more boxes than it has classes.
    #[must_use]
    pub fn of_shape(shape: &[usize]) -> Option<Self> {
        let &[1, middle, last] = shape else { return None };
        if middle > last && last > 5 {
            Some(Self::RowsWithObjectness { boxes: middle, classes: last - 5 })
        } else if last > middle && middle > 4 {
            Some(Self::Columns { boxes: last, classes: middle - 4 })
        } else {
            None
        }
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        match *self {
            Self::RowsWithObjectness { classes, .. } | Self::Columns { classes, .. } => classes,
        }
    }
}

/// One box that the network believes in, before NMS; in input pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The class with the highest score.
    pub class_id: usize,
    /// Its confidence, `0..=1`.
    pub confidence: f32,
    /// Where, in input pixels.
    pub bounding_box: BoundingBox,
}

/// The candidates of at least this confidence, each with its best class, in the output's order.
///
/// # Panics
/// If `output` is smaller than `layout` says.
#[must_use]
pub fn candidates(output: &[f32], layout: Layout, min_confidence: f32) -> Vec<Candidate> {
    match layout {
        Layout::RowsWithObjectness { boxes, classes } => {
            from_rows(&output[..boxes * (5 + classes)], classes, min_confidence)
        }
        Layout::Columns { boxes, classes } => from_columns(&output[..boxes * (4 + classes)], boxes, min_confidence),
    }
}

fn from_rows(output: &[f32], classes: usize, min_confidence: f32) -> Vec<Candidate> {
    output
        .chunks_exact(5 + classes)
        // No score exceeds 1, so neither does a confidence exceed its objectness.
        .filter(|row| row[4] >= min_confidence)
        .filter_map(|row| {
            let (class_id, score) = best(row[5..].iter().copied())?;
            let confidence = row[4] * score;
            (confidence >= min_confidence).then(|| Candidate {
                class_id,
                confidence,
                bounding_box: BoundingBox::from_centre(row[0], row[1], row[2], row[3]),
            })
        })
        .collect()
}

fn from_columns(output: &[f32], boxes: usize, min_confidence: f32) -> Vec<Candidate> {
    // Class by class through memory, not box by box: a column's scores lie `boxes` values apart.
    let mut best_score = vec![f32::NEG_INFINITY; boxes];
    let mut best_class = vec![0_usize; boxes];
    for (class_id, scores) in output.chunks_exact(boxes).skip(4).enumerate() {
        for ((&score, best), class) in scores.iter().zip(&mut best_score).zip(&mut best_class) {
            if score > *best {
                (*best, *class) = (score, class_id);
            }
        }
    }
    let at = |row: usize, column: usize| output[row * boxes + column];
    (0..boxes)
        .filter(|&i| best_score[i] >= min_confidence)
        .map(|i| Candidate {
            class_id: best_class[i],
            confidence: best_score[i],
            bounding_box: BoundingBox::from_centre(at(0, i), at(1, i), at(2, i), at(3, i)),
        })
        .collect()
}

fn best(scores: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    scores.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes, ten boxes, of which box 3 is a confident class 1 and box 7 a weaker class 0.
    fn columns() -> Vec<f32> {
        let mut output = vec![0.0; 6 * 10];
        let mut set = |column: usize, values: [f32; 6]| {
            for (row, value) in values.into_iter().enumerate() {
                output[row * 10 + column] = value;
            }
        };
        set(3, [20.0, 30.0, 10.0, 8.0, 0.2, 0.9]);
        set(7, [5.0, 6.0, 4.0, 4.0, 0.3, 0.1]);
        output
    }

    #[test]
    fn the_short_axis_tells_the_layout() {
        assert_eq!(Layout::of_shape(&[1, 84, 8400]), Some(Layout::Columns { boxes: 8400, classes: 80 }));
        assert_eq!(Layout::of_shape(&[1, 25200, 85]), Some(Layout::RowsWithObjectness { boxes: 25200, classes: 80 }));
        assert_eq!(Layout::of_shape(&[1, 5, 2100]), Some(Layout::Columns { boxes: 2100, classes: 1 }));
        assert_eq!(Layout::of_shape(&[1, 1000]), None);
        assert_eq!(Layout::of_shape(&[2, 84, 8400]), None);
        assert_eq!(Layout::of_shape(&[1, 3, 640]), None);
    }

    #[test]
    fn columns_give_the_best_class_of_each_box() {
        let found = candidates(&columns(), Layout::Columns { boxes: 10, classes: 2 }, 0.25);
        let summary: Vec<_> = found.iter().map(|c| (c.class_id, c.confidence)).collect();
        assert_eq!(summary, [(1, 0.9), (0, 0.3)]);
        let expected = BoundingBox { left: 15.0, top: 26.0, right: 25.0, bottom: 34.0 };
        assert_eq!(found[0].bounding_box, expected);
    }

    #[test]
    fn both_layouts_give_the_same_candidates() {
        let columns = columns();
        let mut rows = Vec::new();
        for i in 0..10 {
            let at = |row: usize| columns[row * 10 + i];
            // Objectness 0.5 with doubled scores is the same confidence.
            rows.extend([at(0), at(1), at(2), at(3), 0.5, at(4) * 2.0, at(5) * 2.0]);
        }
        assert_eq!(
            candidates(&rows, Layout::RowsWithObjectness { boxes: 10, classes: 2 }, 0.25),
            candidates(&columns, Layout::Columns { boxes: 10, classes: 2 }, 0.25),
        );
    }

    #[test]
    fn not_a_number_is_no_candidate() {
        let output = vec![f32::NAN; 6 * 10];
        assert!(candidates(&output, Layout::Columns { boxes: 10, classes: 2 }, 0.25).is_empty());
    }
}
