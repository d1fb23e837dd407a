//! Networks of 8 bits, as quantisers write them (QDQ), computed in 32.
//!
//! Such a file is one in `f32` with pairs of QuantizeLinear and DequantizeLinear around its operators. They tell a runtime
//! with kernels for integers where to use them. This crate has no such kernels. So it dequantises the weights once, when
//! loading, and leaves out what only rounds activations: the network then runs in `f32`, without the noise that 8 bits add
//! to every map.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// The most bytes of dequantised weights, beside those of each constant once; the others stay to be computed, within the bounds of
/// [`bounded`](crate::bounded).
const MOST_REPEATED: usize = 64 << 20;

/// A tensor's scales and zero points, and the axis that they run along where there are several.
struct Steps {
    scales: Vec<f32>,
    zeros: Vec<i64>,
    axis: i64,
    /// The least and the greatest value of the type of the zero points.
    bounds: [i64; 2],
}

/// Leaves out of the graph what only quantises and dequantises. Pairs that are written otherwise stay as they are.
pub(super) fn dequantise(graph: &mut GraphProto) {
    if !graph.node.iter().any(|node| node.op_type == "DequantizeLinear") {
        return;
    }
    let constants = constants(graph);
    let made_by: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (&**output, node))).collect();
    let outputs: HashSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
    let (mut weights, mut same, mut replaced) = (Vec::new(), HashMap::new(), HashMap::new());
    let in_f32 = |tensor: &TensorProto| size_of::<f32>() * tensor.raw_data.len().max(tensor.int32_data.len());
    let mut room = MOST_REPEATED + constants.values().map(|tensor| in_f32(tensor)).sum::<usize>();
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "DequantizeLinear") {
        let (Some(input), Some(output), Some(steps)) =
            (node.input.first(), node.output.first(), Steps::of(node, &constants))
        else {
            continue;
        };
        if let Some(quantised) = constants.get(&**input) {
            // Many nodes may read one constant, and each makes another.
            let bytes = in_f32(quantised);
            if bytes <= room
                && let Some(tensor) = steps.dequantised(quantised, output)
            {
                room -= bytes;
                weights.push(tensor);
                replaced.insert(index, vec![]);
            }
            continue;
        }
        let Some(quantise) = made_by.get(&**input).filter(|node| node.op_type == "QuantizeLinear") else { continue };
        let (Some(from), Some(other)) = (quantise.input.first(), Steps::of(quantise, &constants)) else { continue };
        if steps.scales != other.scales || steps.zeros != other.zeros {
            continue;
        }
        // Quantisers leave out a ReLU before steps that begin at 0, which cut off what is below; and one that is clipped at 6, say,
        // before steps that end there, which cut off what is above.
        let cuts = |made: &&&NodeProto| {
            ["Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul"].contains(&&*made.op_type)
        };
        // What is dequantised is of the type that was quantised to.
        let [least, most] = other.bounds;
        let begins_at_zero = steps.zeros.iter().all(|&zero| zero == least);
        let with = |op_type: &str, input: &[&String], output: &String| NodeProto {
            // Without a name it is called by its output, of which there is one.
            name: String::new(),
            op_type: op_type.into(),
            input: input.iter().map(|&name| name.clone()).collect(),
            output: vec![output.clone()],
            attribute: vec![],
            ..node.clone()
        };
        let nodes = if begins_at_zero && made_by.get(&**from).filter(cuts).is_some() {
            if let ([scale], [zero]) = (&steps.scales[..], &steps.zeros[..]) {
                let [above, bound] = ["above 0", "the most"].map(|what| format!("{output}, {what}"));
                weights.push(TensorProto {
                    name: bound.clone(),
                    data_type: DataType::Float as i32,
                    float_data: vec![(most - zero) as f32 * scale],
                    ..TensorProto::default()
                });
                vec![with("Relu", &[from], &above), with("Min", &[&above, &bound], output)]
            } else {
                vec![with("Relu", &[from], output)]
            }
        } else if outputs.contains(&**output) {
            vec![with("Identity", &[from], output)]
        } else {
            // Where it leads in the end, so that a long chain is not gone along for each of its nodes.
            let origin = same.get(from).unwrap_or(from).clone();
            same.insert(output.clone(), origin);
            replaced.insert(index, vec![]);
            continue;
        };
        replaced.insert(index, nodes);
    }
    let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
    graph.node = nodes.flat_map(|(index, node)| replaced.remove(&index).unwrap_or_else(|| vec![node])).collect();
    graph.initializer.extend(weights);
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        // Each leads to what stands before it in the graph, so this ends; in a damaged file after as many steps as there are.
        for _ in 0..same.len() {
            let Some(from) = same.get(name) else { break };
            name.clone_from(from);
        }
    }
    let read: HashSet<String> = graph.node.iter().flat_map(|node| &node.input).cloned().collect();
    let is_wanted = |name: &String| read.contains(name) || graph.output.iter().any(|output| output.name == *name);
    graph.node.retain(|node| node.op_type != "QuantizeLinear" || node.output.iter().any(is_wanted));
}

/// The constants of a graph by name: initializers and Constant nodes.
pub(super) fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let initializers = graph.initializer.iter().map(|tensor| (&*tensor.name, tensor));
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        let value = node.attribute.iter().find(|attribute| attribute.name == "value")?.t.as_ref()?;
        Some((&**node.output.first()?, value))
    });
    initializers.chain(nodes).collect()
}

impl Steps {
    /// The steps of a node that quantises or dequantises.
    fn of(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<Self> {
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        // Blocks within an axis.
        if attribute("block_size").is_some_and(|size| size.i != 0) {
            return None;
        }
        let scales = floats(constants.get(&**node.input.get(1)?)?)?;
        let (zeros, bounds) = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => {
                let zeros = constants.get(&**name)?;
                (integers(zeros)?, bounds(zeros.data_type)?)
            }
            None => {
                let said = attribute("output_dtype").map(|said| said.i as i32).filter(|&said| said != 0);
                (vec![0; scales.len()], bounds(said.unwrap_or(DataType::Uint8 as i32))?)
            }
        };
        let axis = attribute("axis").map_or(1, |axis| axis.i);
        (scales.len() == zeros.len() && !scales.is_empty()).then_some(Self { scales, zeros, axis, bounds })
    }

    /// A constant in `f32`, under this name; `None` if steps and values don't fit each other.
    fn dequantised(&self, tensor: &TensorProto, name: &str) -> Option<TensorProto> {
        let values = integers(tensor)?;
        let sides: Vec<usize> = tensor.dims.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<_>>()?;
        let count = sides.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))?;
        // Values from one step's to the next one's.
        let stride = if self.scales.len() == 1 {
            count.max(1)
        } else {
            let axis = if self.axis < 0 { self.axis + sides.len() as i64 } else { self.axis };
            let axis = usize::try_from(axis).ok()?;
            if *sides.get(axis)? != self.scales.len() {
                return None;
            }
            sides[axis + 1..].iter().product()
        };
        if values.len() != count || stride == 0 {
            return None;
        }
        let step = |index: usize| index / stride % self.scales.len();
        let value =
            |(index, &value): (usize, &i64)| (value - self.zeros[step(index)]) as f32 * self.scales[step(index)];
        Some(TensorProto {
            name: name.into(),
            dims: tensor.dims.clone(),
            data_type: DataType::Float as i32,
            float_data: values.iter().enumerate().map(value).collect(),
            ..TensorProto::default()
        })
    }
}

/// The least and the greatest value of a type that networks are quantised to.
fn bounds(data_type: i32) -> Option<[i64; 2]> {
    Some(match DataType::try_from(data_type).ok()? {
        DataType::Int8 => [i8::MIN.into(), i8::MAX.into()],
        DataType::Int16 => [i16::MIN.into(), i16::MAX.into()],
        DataType::Int32 => [i32::MIN.into(), i32::MAX.into()],
        DataType::Uint8 => [0, u8::MAX.into()],
        DataType::Uint16 => [0, u16::MAX.into()],
        _ => return None,
    })
}

/// The values of a tensor of such a type.
fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = &tensor.raw_data;
    Some(match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int8 | DataType::Uint8 | DataType::Int16 | DataType::Uint16 | DataType::Int32 if raw.is_empty() => {
            tensor.int32_data.iter().map(|&value| value.into()).collect()
        }
        DataType::Int8 => raw.iter().map(|&byte| byte.cast_signed().into()).collect(),
        DataType::Uint8 => raw.iter().map(|&byte| byte.into()).collect(),
        DataType::Int16 => raw.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]).into()).collect(),
        DataType::Uint16 => raw.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]).into()).collect(),
        DataType::Int32 => {
            let value = |bytes: &[u8]| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into();
            raw.chunks_exact(4).map(value).collect()
        }
        _ => return None,
    })
}

/// The values of a tensor of `f32`.
pub(super) fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    if tensor.raw_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Some(tensor.raw_data.chunks_exact(4).map(value).collect())
}
