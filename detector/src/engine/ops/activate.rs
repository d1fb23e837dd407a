//! An activation by itself, where it could not be folded into what made its input.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, blocked_op, shape_of};
use crate::engine::kernels::epilogue::{Activation, activate};
use crate::engine::{Element, Isa, buffers};

/// Applies an activation to a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Activate {
    pub(in crate::engine) isa: Isa,
    pub(in crate::engine) planes: Vec<PlaneId>,
    pub(in crate::engine) activation: Activation,
}

blocked_op!(Activate, "PolybotActivate");

impl BlockedOp for Activate {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(shape_of(self.planes.len(), inputs[0]))
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let plane: usize = shape[2..].iter().product();
        buffers::filled(&shape, |output| {
            let mut outputs = output.chunks_exact_mut(plane.max(1));
            for image in 0..shape[0] {
                for (id, output) in self.planes.iter().zip(&mut outputs) {
                    activate(self.isa, self.activation, inputs[id.input].plane(image, id.block), output);
                }
            }
        })
    }
}
