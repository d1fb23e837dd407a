//! The image to the type that the network computes in, and what leaves the network back to `f32`.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::{BlockedOp, Map, blocked_op};
use crate::engine::kernels::convert::{narrow, widen};
use crate::engine::{Element, Isa, Precision, buffers};

/// `f32` to bf16; any shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Narrow {
    pub(in crate::engine) isa: Isa,
}

impl Op for Narrow {
    fn name(&self) -> StaticName {
        "PolybotNarrow".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Narrow {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(self.isa.precision() == Precision::Bf16, "{:?} computes in f32", self.isa);
        let values = inputs[0].try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let narrowed = buffers::filled::<u16>(inputs[0].shape(), |output| narrow(self.isa, values, output))?;
        Ok(tvec!(narrowed.into_tvalue()))
    }
}

impl TypedOp for Narrow {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(u16::fact(inputs[0].shape.clone())))
    }
}

/// A blocked map to `f32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Widen {
    pub(in crate::engine) isa: Isa,
}

blocked_op!(Widen, "PolybotWiden");

impl BlockedOp for Widen {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        Ok(inputs[0].into())
    }

    fn is_wide(&self) -> bool {
        true
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        buffers::filled(inputs[0].shape, |output| widen(self.isa, inputs[0].values, output))
    }
}
