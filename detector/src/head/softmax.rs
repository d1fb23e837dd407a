//! Softmax over one axis, wherever that lies in memory.
//!
//! tract's goes along single values of a view, which takes longer than all the rest of loading a model.

use tract_onnx::tract_core::internal::*;

/// The operator, on `f32`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Softmax {
    pub(super) axis: usize,
}

impl Op for Softmax {
    fn name(&self) -> StaticName {
        "PolybotSoftmax".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let mut output = input.into_tensor();
        let shape: TVec<usize> = output.shape().into();
        ensure!(self.axis < shape.len(), "an axis that is not there");
        let (length, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product::<usize>());
        let mut values = output.try_as_plain_ram_mut()?;
        for part in values.as_slice_mut::<f32>()?.chunks_exact_mut((length * inner).max(1)) {
            let mut greatest = vec![f32::NEG_INFINITY; inner];
            for row in part.chunks_exact(inner) {
                greatest.iter_mut().zip(row).for_each(|(greatest, &value)| *greatest = greatest.max(value));
            }
            let mut sums = vec![0.0; inner];
            for row in part.chunks_exact_mut(inner) {
                for ((value, greatest), sum) in row.iter_mut().zip(&greatest).zip(&mut sums) {
                    *value = (*value - greatest).exp();
                    *sum += *value;
                }
            }
            for row in part.chunks_exact_mut(inner) {
                row.iter_mut().zip(&sums).for_each(|(value, sum)| *value /= sum);
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Softmax {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type(), "a softmax of {:?}", inputs[0].datum_type);
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::ops::nn;

    use super::*;

    #[test]
    fn it_is_what_tract_computes() {
        let values: Vec<f32> = (0..2 * 3 * 5 * 7).map(|i| (i * 37 % 101) as f32 * 0.1 - 5.0).collect();
        let input = Tensor::from_shape(&[2, 3, 5, 7], &values).expect("a tensor");
        for axis in 0..4 {
            let theirs = nn::Softmax { axes: tvec!(axis), quant_output_dt: None, kind: nn::SoftmaxKind::default() };
            let eval = |op: &dyn EvalOp| op.eval_out_of_plan(tvec!(input.clone().into_tvalue())).expect("computed");
            let [expected, found] = [eval(&theirs), eval(&Softmax { axis })].map(|outputs| outputs.expect("outputs"));
            found[0].close_enough(&expected[0], Approximation::Close).expect("the same");
        }
    }
}
