//! The greatest value in a window, or the mean of them.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{BlockedOp, Map, PlaneId, blocked_op, planes, shape_behind};
pub(in crate::engine) use crate::engine::kernels::pool::PoolKind;
use crate::engine::kernels::pool::{self, pool};
use crate::engine::kernels::window::Window;
use crate::engine::{Element, Isa, buffers};

/// Makes one value of each window of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Pool {
    pub(in crate::engine) isa: Isa,
    pub(in crate::engine) window: Window,
    pub(in crate::engine) planes: Vec<PlaneId>,
    pub(in crate::engine) kind: PoolKind,
}

blocked_op!(Pool, "PolybotPool");

impl BlockedOp for Pool {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(shape_behind(&self.window, inputs[0], self.planes.len(), self.isa.lanes()))
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let image_values: usize = shape[1..].iter().product();
        buffers::filled(&shape, |output| {
            for image in 0..shape[0] {
                let planes = planes(inputs, image, &self.planes);
                let call =
                    pool::Pool { kind: self.kind, window: self.window, input: inputs[0].size(), planes: &planes };
                pool(self.isa, &call, &mut output[image * image_values..][..image_values]);
            }
        })
    }
}
