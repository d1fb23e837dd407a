//! Pixels of several maps moved apart, between each other: the second half of a transposed convolution.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, blocked_op};
use crate::engine::{Element, Isa, buffers};

/// Puts the pixels of `factors[0] * factors[1]` maps between each other. The maps are one input, behind each other: first the one
/// whose pixels go to the upper left of each group of pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Interleave {
    pub(in crate::engine) isa: Isa,
    /// Output pixels for each input pixel, down and across.
    pub(in crate::engine) factors: [usize; 2],
    /// Rows and columns that are left out at the bottom and at the right.
    pub(in crate::engine) cropped: [usize; 2],
}

blocked_op!(Interleave, "PolybotInterleave");

impl BlockedOp for Interleave {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        let [down, across] = self.factors;
        let side = |axis: usize| (inputs[0][2 + axis] * self.factors[axis]).saturating_sub(self.cropped[axis]);
        Ok(tvec![inputs[0][0], inputs[0][1] / (down * across), side(0), side(1), self.isa.lanes()])
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let input = &inputs[0];
        let shape = self.output_shape(&[input.shape])?;
        let ([down, across], lanes, from_width) = (self.factors, self.isa.lanes(), input.shape[3]);
        buffers::filled(&shape, |output| {
            let mut rows = output.chunks_exact_mut((shape[3] * lanes).max(1));
            for image in 0..shape[0] {
                for block in 0..shape[1] {
                    for (y, row) in rows.by_ref().take(shape[2]).enumerate() {
                        for phase in 0..across {
                            let plane = input.plane(image, (y % down * across + phase) * shape[1] + block);
                            let from = plane[y / down * from_width * lanes..].chunks_exact(lanes);
                            let to = row.chunks_exact_mut(lanes).skip(phase).step_by(across);
                            for (to, from) in to.zip(from) {
                                to.copy_from_slice(from);
                            }
                        }
                    }
                }
            }
        })
    }
}
