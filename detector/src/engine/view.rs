//! Reshapes, transpositions and slices of a map, followed without moving a value.

use tract_onnx::tract_core::internal::*;

use super::Piece;

/// A part of an axis: how many values, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor {
    pub(super) length: usize,
    pub(super) stride: usize,
}

/// Values of a map `[channels, pixels]`, addressed by other axes. The value at an index lies at `offset` plus each axis's
/// share; an axis is a mixed-radix number of its factors, the last of which runs fastest.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The map's channels.
    pub(super) pieces: Vec<Piece>,
    /// The map's height and width.
    pub(super) size: [usize; 2],
    pub(super) offset: usize,
    pub(super) axes: Vec<Vec<Factor>>,
}

impl View {
    /// A map as it is: `[1, channels, height, width]`.
    pub(super) fn of_map(pieces: &[Piece], size: [usize; 2]) -> Self {
        let channels = pieces.iter().map(|piece| piece.count).sum();
        let [height, width] = size;
        let factor = |length, stride| vec![Factor { length, stride }];
        Self {
            pieces: pieces.to_vec(),
            size,
            offset: 0,
            axes: vec![factor(1, 0), factor(channels, height * width), factor(height, width), factor(width, 1)],
        }
    }

    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// This view after a change of axes; `None` if the change can't be followed.
    pub(super) fn changed(&self, change: &AxisOp) -> Option<Self> {
        let mut view = self.clone();
        match change {
            AxisOp::Add(axis) => view.axes.insert(*axis, Vec::new()),
            AxisOp::Rm(axis) => {
                view.axes.remove(*axis);
            }
            AxisOp::Move(from, to) => {
                let axis = view.axes.remove(*from);
                view.axes.insert(*to, axis);
            }
            AxisOp::Reshape(at, from, to) => {
                let mut factors: Vec<Factor> = view.axes.drain(*at..at + from.len()).flatten().collect();
                let mut axes = Vec::new();
                for length in to.iter().rev() {
                    axes.push(split_off(&mut factors, length.to_usize().ok()?)?);
                }
                if factors.iter().any(|factor| factor.length != 1) {
                    return None;
                }
                for axis in axes {
                    view.axes.insert(*at, axis);
                }
            }
        }
        Some(view)
    }

    /// Indices `start..end` of an axis; `None` if they are not a run of one factor.
    pub(super) fn sliced(&self, axis: usize, start: usize, end: usize) -> Option<Self> {
        let mut view = self.clone();
        let factor = view.single(axis)?;
        view.offset += start * factor.stride;
        view.axes[axis] = vec![Factor { length: end - start, ..factor }];
        Some(view)
    }

    /// The one factor of an axis.
    pub(super) fn single(&self, axis: usize) -> Option<Factor> {
        match merged(&self.axes[axis])[..] {
            [] => Some(Factor { length: 1, stride: 0 }),
            [factor] => Some(factor),
            _ => None,
        }
    }

    /// The channels, if this is `[1, channels, height, width]` with every pixel in its own place.
    pub(super) fn as_map(&self) -> Option<Vec<Piece>> {
        let [image, channels, rows, columns] = &self.axes[..] else { return None };
        let pixels = self.pixels();
        let plane: Vec<Factor> = rows.iter().chain(columns).copied().collect();
        let length = |factors: &[Factor]| factors.iter().map(|factor| factor.length).product::<usize>();
        if length(image) != 1
            || [length(rows), length(columns)] != self.size
            || (merged(&plane) != [Factor { length: pixels, stride: 1 }] && pixels != 1)
            || !self.offset.is_multiple_of(pixels)
        {
            return None;
        }
        let mut first = vec![self.offset / pixels];
        for factor in channels {
            if factor.stride % pixels != 0 {
                return None;
            }
            first = first
                .into_iter()
                .flat_map(|channel| (0..factor.length).map(move |i| channel + i * factor.stride / pixels))
                .collect();
        }
        let mut pieces = Vec::new();
        for channel in first {
            push(&mut pieces, channel_of(&self.pieces, channel)?);
        }
        Some(pieces)
    }
}

/// Channel `channel` of a map made of these pieces, as a piece of one channel.
pub(super) fn channel_of(pieces: &[Piece], channel: usize) -> Option<Piece> {
    let mut left = channel;
    for piece in pieces {
        if left < piece.count {
            return Some(Piece { step: piece.step, first: piece.first + left, count: 1 });
        }
        left -= piece.count;
    }
    None
}

/// Adds a piece; if it continues the last one, that one grows.
pub(super) fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.step == piece.step && last.first + last.count == piece.first => last.count += piece.count,
        _ => pieces.push(piece),
    }
}

/// The same axis in as few factors as possible.
fn merged(factors: &[Factor]) -> Vec<Factor> {
    let mut merged: Vec<Factor> = Vec::new();
    for &factor in factors.iter().filter(|factor| factor.length != 1) {
        match merged.last_mut() {
            Some(last) if last.stride == factor.stride * factor.length => {
                *last = Factor { length: last.length * factor.length, stride: factor.stride };
            }
            _ => merged.push(factor),
        }
    }
    merged
}

/// The fastest factors that make up `length`, taken from the end.
fn split_off(factors: &mut Vec<Factor>, length: usize) -> Option<Vec<Factor>> {
    let mut taken = Vec::new();
    let mut left = length;
    while left > 1 {
        let factor = factors.pop()?;
        if left.is_multiple_of(factor.length) {
            left /= factor.length;
            taken.insert(0, factor);
        } else if factor.length % left == 0 {
            taken.insert(0, Factor { length: left, stride: factor.stride });
            factors.push(Factor { length: factor.length / left, stride: factor.stride * left });
            left = 1;
        } else {
            return None;
        }
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reshape(at: usize, from: &[usize], to: &[usize]) -> AxisOp {
        let dims = |sides: &[usize]| sides.iter().map(|side| side.to_dim()).collect();
        AxisOp::Reshape(at, dims(from), dims(to))
    }

    #[test]
    fn heads_come_back_as_runs_of_channels() {
        // What yolo12n does to get at the values of two heads: 2 * (4 queries, 4 keys, 4 values) channels.
        let pieces = [Piece { step: 7, first: 0, count: 24 }];
        let view = View::of_map(&pieces, [4, 6])
            .changed(&reshape(2, &[4, 6], &[24]))
            .and_then(|view| view.changed(&AxisOp::Move(1, 2)))
            .and_then(|view| view.changed(&reshape(1, &[24], &[2, 12])))
            .and_then(|view| view.changed(&reshape(3, &[24], &[2, 12])))
            .and_then(|view| view.sliced(4, 8, 12))
            .and_then(|view| view.changed(&reshape(1, &[2, 12], &[4, 6])))
            .and_then(|view| view.changed(&reshape(3, &[2, 4], &[8])))
            .and_then(|view| view.changed(&AxisOp::Move(3, 1)))
            .expect("followed");
        let expected = [Piece { step: 7, first: 8, count: 4 }, Piece { step: 7, first: 20, count: 4 }];
        assert_eq!(view.as_map().expect("a map"), expected);
    }

    #[test]
    fn a_transposed_image_is_no_map() {
        let pieces = [Piece { step: 1, first: 0, count: 3 }];
        let view = View::of_map(&pieces, [4, 4]).changed(&AxisOp::Move(2, 3)).expect("followed");
        assert!(view.as_map().is_none());
    }
}
