//! Each pixel repeated.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, blocked_op};
use crate::engine::{Element, Isa, buffers};

/// Repeats each pixel of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Upsample {
    pub(in crate::engine) isa: Isa,
    pub(in crate::engine) planes: Vec<PlaneId>,
    /// Output pixels for each input pixel, down and across.
    pub(in crate::engine) factors: [usize; 2],
}

blocked_op!(Upsample, "PolybotUpsample");

impl BlockedOp for Upsample {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        let [down, across] = self.factors;
        let (height, width) = (inputs[0][2] * down, inputs[0][3] * across);
        Ok(tvec![inputs[0][0], self.planes.len(), height, width, self.isa.lanes()])
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let [down, across] = self.factors;
        let lanes = self.isa.lanes();
        let row = shape[3] * lanes;
        buffers::filled(&shape, |output| {
            let mut rows = output.chunks_exact_mut(row * down);
            for image in 0..shape[0] {
                for id in &self.planes {
                    let plane = inputs[id.input].plane(image, id.block);
                    for (from, to) in plane.chunks_exact(row / across).zip(&mut rows) {
                        let (first, others) = to.split_at_mut(row);
                        for (from, to) in from.chunks_exact(lanes).zip(first.chunks_exact_mut(lanes * across)) {
                            for to in to.chunks_exact_mut(lanes) {
                                to.copy_from_slice(from);
                            }
                        }
                        for other in others.chunks_exact_mut(row) {
                            other.copy_from_slice(first);
                        }
                    }
                }
            }
        })
    }
}
