//! Softmax attention within areas of the image, one head beside the other.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::{BlockedOp, Map, PlaneId, blocked_op, planes};
use crate::engine::kernels::attention::{AttentionHead, Scratch, attend};
use crate::engine::{Element, Isa, buffers};

/// Where one head's inputs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct HeadPlanes {
    pub(in crate::engine) queries: Vec<PlaneId>,
    /// As many as the queries.
    pub(in crate::engine) keys: Vec<PlaneId>,
    /// As many for each head.
    pub(in crate::engine) values: Vec<PlaneId>,
}

/// Softmax attention. The output has the heads' values behind each other.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Attention {
    pub(in crate::engine) isa: Isa,
    /// The pixels, row by row, are cut into this many areas of equal length; each attends to itself only.
    pub(in crate::engine) areas: usize,
    /// The factor of the products of queries and keys; above 0.
    pub(in crate::engine) scale: f32,
    pub(in crate::engine) heads: Vec<HeadPlanes>,
}

// The scale is not NaN: it is checked to be above 0.
impl Eq for Attention {}

blocked_op!(Attention, "PolybotAttention");

impl BlockedOp for Attention {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn output_shape(&self, inputs: &[&[usize]]) -> TractResult<TVec<usize>> {
        let (height, width) = (inputs[0][2], inputs[0][3]);
        ensure!(height * width % self.areas == 0, "{height} x {width} pixels can't be cut into {} areas", self.areas);
        let blocks = self.heads.iter().map(|head| head.values.len()).sum();
        Ok(tvec![inputs[0][0], blocks, height, width, self.isa.lanes()])
    }

    fn run<E: Element>(&self, inputs: &[Map<'_, E>]) -> TractResult<Arc<Tensor>> {
        let shape = self.output_shape(&[inputs[0].shape])?;
        let plane: usize = shape[2..].iter().product();
        let area = plane / self.areas;
        let tokens = area / self.isa.lanes();
        let mut scratch = Scratch::default();
        buffers::filled(&shape, |output| {
            let mut outputs = output.chunks_exact_mut(plane);
            for image in 0..shape[0] {
                for head in &self.heads {
                    let [queries, keys, values] =
                        [&head.queries, &head.keys, &head.values].map(|ids| planes(inputs, image, ids));
                    let mut outputs: Vec<&mut [E]> = outputs.by_ref().take(values.len()).collect();
                    for first in (0..plane).step_by(area.max(1)) {
                        let cut = |plane: &mut &[E]| *plane = &plane[first..first + area];
                        let (mut queries, mut keys, mut values) = (queries.clone(), keys.clone(), values.clone());
                        queries.iter_mut().chain(&mut keys).chain(&mut values).for_each(cut);
                        let call = AttentionHead {
                            tokens,
                            scale: self.scale,
                            queries: &queries,
                            keys: &keys,
                            values: &values,
                        };
                        let mut outputs: Vec<&mut [E]> =
                            outputs.iter_mut().map(|plane| &mut plane[first..first + area]).collect();
                        attend(self.isa, &call, &mut scratch, &mut outputs);
                    }
                }
            }
        })
    }
}
