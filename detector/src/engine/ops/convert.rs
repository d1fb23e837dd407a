//! Conversion of the image to the type that the network computes in, and of the outputs back to `f32`.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::{BlockedOp, Map, blocked_op};
use crate::engine::kernels::convert::{to_bf16, to_f32};
use crate::engine::{Element, Isa, Precision, buffers};

/// Converts `f32` of any shape to bf16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ToBf16 {
    pub(in crate::engine) isa: Isa,
}

impl Op for ToBf16 {
    fn name(&self) -> StaticName {
        "PolybotToBf16".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToBf16 {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(self.isa.precision() == Precision::Bf16, "{:?} computes in f32", self.isa);
        let values = inputs[0].try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let converted = buffers::filled::<u16>(inputs[0].shape(), |output| to_bf16(self.isa, values, output))?;
        Ok(tvec!(converted.into_tvalue()))
    }
}

impl TypedOp for ToBf16 {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(u16::fact(inputs[0].shape.clone())))
    }
}

/// Converts a blocked map to `f32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ToF32 {
    pub(in crate::engine) isa: Isa,
}

blocked_op!(ToF32, "PolybotToF32");

impl BlockedOp for ToF32 {
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
        buffers::filled(inputs[0].shape, |output| to_f32(self.isa, inputs[0].values, output))
    }
}
