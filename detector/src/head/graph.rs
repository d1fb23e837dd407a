//! From an outlet of tract's typed graph back to its inputs.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, StridedSlice, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::Sigmoid;

/// The inputs of `outlet`, if it is a concatenation along `axis`.
pub(super) fn concatenated(model: &TypedModel, outlet: OutletId, axis: usize) -> Option<&[OutletId]> {
    let node = model.node(outlet.node);
    (node.op.downcast_ref::<TypedConcat>()?.axis == axis).then_some(&*node.inputs)
}

/// The input of `outlet`, if it is a sigmoid.
pub(super) fn sigmoid_of(model: &TypedModel, outlet: OutletId) -> Option<OutletId> {
    let node = model.node(outlet.node);
    node.op.downcast_ref::<ElementWiseOp>()?.0.is::<Sigmoid>().then(|| node.inputs[0])
}

/// The input of `outlet`, if it is its part `start..end` along `axis`.
pub(super) fn sliced(model: &TypedModel, outlet: OutletId, axis: usize) -> Option<(OutletId, usize, usize)> {
    let node = model.node(outlet.node);
    if let Some(slice) = node.op.downcast_ref::<StridedSlice>() {
        let index = |input: usize| {
            let tensor = model.outlet_fact(*node.inputs.get(input)?).ok()?.konst.as_ref()?.cast_to::<i64>().ok()?;
            match *tensor.as_plain_ram()?.as_slice::<i64>().ok()? {
                [index] => usize::try_from(index).ok(),
                _ => None,
            }
        };
        let has_step = slice.optional_steps_input.is_some();
        return (!has_step && index(slice.optional_axes_input?)? == axis)
            .then(|| Some((node.inputs[0], index(1)?, index(2)?)))?;
    }
    let slice = node.op.downcast_ref::<Slice>().filter(|slice| slice.axis == axis)?;
    Some((node.inputs[0], slice.start.to_usize().ok()?, slice.end.to_usize().ok()?))
}

/// The two inputs of `outlet`, if it is this operation.
pub(super) fn binary<Op: BinMiniOp>(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, OutletId)> {
    let node = model.node(outlet.node);
    let is_op = node.op.downcast_ref::<TypedBinOp>()?.0.is::<Op>();
    is_op.then(|| (node.inputs[0], node.inputs[1]))
}

/// The input of `outlet` that varies and the one that is constant, if it is this operation on such.
pub(super) fn with_constant<Op: BinMiniOp>(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, Vec<f32>)> {
    let (a, b) = binary::<Op>(model, outlet)?;
    constant(model, b).map(|values| (a, values)).or_else(|| constant(model, a).map(|values| (b, values)))
}

/// [`with_constant`] where the constant is one number.
pub(super) fn with_number<Op: BinMiniOp>(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, f32)> {
    match with_constant::<Op>(model, outlet)? {
        (input, values) if values.len() == 1 => Some((input, values[0])),
        _ => None,
    }
}

/// The values of a constant, whatever axes of length 1 it has.
pub(super) fn constant(model: &TypedModel, mut outlet: OutletId) -> Option<Vec<f32>> {
    while let Some((input, AxisOp::Add(_) | AxisOp::Rm(_))) = axes_changed(model, outlet) {
        outlet = input;
    }
    let tensor: &Arc<Tensor> = model.outlet_fact(outlet).ok()?.konst.as_ref()?;
    Some(tensor.as_plain_ram()?.as_slice::<f32>().ok()?.to_vec())
}

/// The input of `outlet` and the change of axes, if it is one.
pub(super) fn axes_changed(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, &AxisOp)> {
    let node = model.node(outlet.node);
    let change = node.op.downcast_ref::<AxisOp>()?;
    Some((*node.inputs.first()?, change))
}

/// The shape of `outlet`.
pub(super) fn shape(model: &TypedModel, outlet: OutletId) -> Option<Vec<usize>> {
    model.outlet_fact(outlet).ok()?.shape.as_concrete().map(<[usize]>::to_vec)
}

/// Height and width of the model's input.
pub(super) fn input_size(model: &TypedModel) -> Option<[usize; 2]> {
    match shape(model, *model.input_outlets().ok()?.first()?)?[..] {
        [1, 3, height, width] => Some([height, width]),
        _ => None,
    }
}

/// Input pixels for each pixel of a map of this size, if it is the same whole number both ways.
pub(super) fn stride(model: &TypedModel, height: usize, width: usize) -> Option<usize> {
    let [input_height, input_width] = input_size(model)?;
    let stride = input_height.checked_div(height)?;
    (stride * height == input_height && stride * width == input_width).then_some(stride)
}
