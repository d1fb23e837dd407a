//! The sum of two maps, where it could not be folded into a convolution.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, blocked_op, shape_of};
use crate::engine::{Element, Isa, buffers};

/// Adds two maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Add {
    pub(in crate::engine) isa: Isa,
    /// As many as `others`.
    pub(in crate::engine) planes: Vec<PlaneId>,
    pub(in crate::engine) others: Vec<PlaneId>,
}

blocked_op!(Add, "PolybotAdd");

impl BlockedOp for Add {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(shape_of(self.planes.len(), inputs[0]))
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let plane = shape[2..].iter().product();
        buffers::filled(&shape, |output| {
            let mut outputs = output.chunks_exact_mut(plane);
            for image in 0..shape[0] {
                for ((id, other), output) in self.planes.iter().zip(&self.others).zip(&mut outputs) {
                    let plane = inputs[id.input].plane(image, id.block);
                    let other = inputs[other.input].plane(image, other.block);
                    for ((sum, a), b) in output.iter_mut().zip(plane).zip(other) {
                        *sum = E::from_f32(a.to_f32() + b.to_f32());
                    }
                }
            }
        })
    }
}
