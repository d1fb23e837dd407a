//! The network's raw output to candidate boxes.

use crate::BoundingBox;
use crate::layout::Layout;

/// One box that the network predicts, before NMS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The class with the highest score.
    pub class_id: usize,
    /// Its confidence, `0..=1`.
    pub confidence: f32,
    /// In input pixels.
    pub bounding_box: BoundingBox,
}

/// A score is not a probability: the network's output is not what it was taken for.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the network gives a score of {0}, which is not a probability: its output is not what it was taken for")]
pub struct NotAProbability(pub f32);

/// What rounding may add to a probability of 1.
const ROUNDING: f32 = 1e-3;

/// The candidates of at least this confidence, each with its best class, in the output's order.
///
/// # Errors
/// [`NotAProbability`] if one has a confidence above 1.
///
/// # Panics
/// If `output` is smaller than `layout` says.
pub fn candidates(output: &[f32], layout: Layout, min_confidence: f32) -> Result<Vec<Candidate>, NotAProbability> {
    let output = &output[..layout.values()];
    let mut found = match layout {
        Layout::RowsWithObjectness { classes, .. } => from_rows(output, classes, min_confidence)?,
        Layout::Rows { classes, .. } => from_bare_rows(output, classes, min_confidence),
        Layout::Columns { boxes, .. } => from_columns(output, boxes, min_confidence),
        Layout::EndToEnd { .. } => from_detections(output, min_confidence),
    };
    for candidate in &mut found {
        if candidate.confidence > 1.0 + ROUNDING {
            return Err(NotAProbability(candidate.confidence));
        }
        candidate.confidence = candidate.confidence.min(1.0);
    }
    Ok(found)
}

/// Rows of left, top, right, bottom, confidence, class.
fn from_detections(output: &[f32], min_confidence: f32) -> Vec<Candidate> {
    output
        .chunks_exact(6)
        .filter(|row| row[4] >= min_confidence && row[5] >= 0.0)
        .map(|row| Candidate {
            class_id: row[5].round() as usize,
            confidence: row[4],
            bounding_box: BoundingBox {
                left: row[0],
                top: row[1],
                right: row[2].max(row[0]),
                bottom: row[3].max(row[1]),
            },
        })
        .collect()
}

fn from_bare_rows(output: &[f32], classes: usize, min_confidence: f32) -> Vec<Candidate> {
    output
        .chunks_exact(4 + classes)
        .filter_map(|row| {
            let (class_id, confidence) = best(row[4..].iter().copied())?;
            (confidence >= min_confidence).then(|| Candidate {
                class_id,
                confidence,
                bounding_box: BoundingBox::from_centre(row[0], row[1], row[2], row[3]),
            })
        })
        .collect()
}

fn from_rows(output: &[f32], classes: usize, min_confidence: f32) -> Result<Vec<Candidate>, NotAProbability> {
    let mut found = Vec::new();
    // No score exceeds 1, so neither does a confidence exceed its objectness.
    for row in output.chunks_exact(5 + classes).filter(|row| row[4] >= min_confidence) {
        let Some((class_id, score)) = best(row[5..].iter().copied()) else { continue };
        if row[4] > 1.0 + ROUNDING || score > 1.0 + ROUNDING {
            return Err(NotAProbability(row[4].max(score)));
        }
        let confidence = row[4] * score;
        if confidence >= min_confidence {
            let bounding_box = BoundingBox::from_centre(row[0], row[1], row[2], row[3]);
            found.push(Candidate { class_id, confidence, bounding_box });
        }
    }
    Ok(found)
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
    fn columns_give_the_best_class_of_each_box() {
        let found = candidates(&columns(), Layout::Columns { boxes: 10, classes: 2 }, 0.25).expect("probabilities");
        let summary: Vec<_> = found.iter().map(|c| (c.class_id, c.confidence)).collect();
        assert_eq!(summary, [(1, 0.9), (0, 0.3)]);
        let expected = BoundingBox { left: 15.0, top: 26.0, right: 25.0, bottom: 34.0 };
        assert_eq!(found[0].bounding_box, expected);
    }

    #[test]
    fn all_layouts_give_the_same_candidates() {
        let columns = columns();
        let mut rows = Vec::new();
        for i in 0..10 {
            let at = |row: usize| columns[row * 10 + i];
            rows.extend([at(0), at(1), at(2), at(3), 1.0, at(4), at(5)]);
        }
        let bare: Vec<f32> =
            (0..10).flat_map(|i| (0..6).map(move |row| (row, i))).map(|(row, i)| columns[row * 10 + i]).collect();
        let expected = candidates(&columns, Layout::Columns { boxes: 10, classes: 2 }, 0.25);
        assert!(expected.is_ok());
        assert_eq!(candidates(&rows, Layout::RowsWithObjectness { boxes: 10, classes: 2 }, 0.25), expected);
        assert_eq!(candidates(&bare, Layout::Rows { boxes: 10, classes: 2 }, 0.25), expected);
    }

    #[test]
    fn detections_are_taken_as_they_are() {
        let output = [[1.0, 2.0, 30.0, 40.0, 0.9, 61.0], [1.0, 2.0, 30.0, 40.0, 0.8, 61.0], [0.0; 6]].concat();
        let found = candidates(&output, Layout::EndToEnd { boxes: 3, classes: 80 }, 0.25).expect("probabilities");
        let bounding_box = BoundingBox { left: 1.0, top: 2.0, right: 30.0, bottom: 40.0 };
        let expected = [0.9, 0.8].map(|confidence| Candidate { class_id: 61, confidence, bounding_box });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_confidence_above_one_is_no_confidence() {
        let mut output = columns();
        output[4 * 10 + 3] = 61.17;
        let error = candidates(&output, Layout::Columns { boxes: 10, classes: 2 }, 0.25).expect_err("no probability");
        assert_eq!(error, NotAProbability(61.17));
        let row = [20.0, 20.0, 9.0, 9.0, 3.0, 0.2];
        let error = candidates(&row, Layout::RowsWithObjectness { boxes: 1, classes: 1 }, 0.25).expect_err("none");
        assert_eq!(error, NotAProbability(3.0));
        // Rounding is tolerated.
        output[4 * 10 + 3] = 1.000_01;
        let found = candidates(&output, Layout::Columns { boxes: 10, classes: 2 }, 0.25).expect("probabilities");
        assert_eq!(found[0].confidence, 1.0);
    }

    #[test]
    fn not_a_number_is_no_candidate() {
        let output = vec![f32::NAN; 6 * 10];
        assert_eq!(candidates(&output, Layout::Columns { boxes: 10, classes: 2 }, 0.25), Ok(vec![]));
    }
}
