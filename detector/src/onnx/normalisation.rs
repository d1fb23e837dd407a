//! Batch normalisation that an exporter left behind a convolution, folded into its weights.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::quantised::{constants, floats};

/// A convolution and the normalisation behind it, as one convolution.
struct Folded {
    convolution: usize,
    normalisation: usize,
    weights: TensorProto,
    bias: TensorProto,
}

/// Folds every batch normalisation whose input is the result of a convolution that nothing else reads.
pub(super) fn fold(graph: &mut GraphProto) {
    let found: Vec<Folded> = {
        let constants = constants(graph);
        let mut readers: HashMap<&str, usize> = HashMap::new();
        let read = graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
        for name in read {
            *readers.entry(name).or_default() += 1;
        }
        let made_by = graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "Conv");
        let made_by: HashMap<&str, (usize, &NodeProto)> =
            made_by.filter_map(|(index, node)| Some((&**node.output.first()?, (index, node)))).collect();
        let nodes = graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "BatchNormalization");
        nodes
            .filter_map(|(normalisation, node)| {
                let from = &**node.input.first()?;
                let &(convolution, before) = made_by.get(from)?;
                let (weights, bias) = folded(before, node, &constants)?;
                (readers.get(from) == Some(&1)).then_some(Folded { convolution, normalisation, weights, bias })
            })
            .collect()
    };
    for Folded { convolution, normalisation, weights, bias } in &found {
        let output = graph.node[*normalisation].output[0].clone();
        let node = &mut graph.node[*convolution];
        node.input = vec![node.input[0].clone(), weights.name.clone(), bias.name.clone()];
        node.output = vec![output];
    }
    let mut index = 0;
    graph.node.retain(|_| {
        index += 1;
        !found.iter().any(|folded| folded.normalisation == index - 1)
    });
    graph.initializer.extend(found.into_iter().flat_map(|folded| [folded.weights, folded.bias]));
}

/// Returns weights and bias of both together.
fn folded(
    convolution: &NodeProto,
    node: &NodeProto,
    constants: &HashMap<&str, &TensorProto>,
) -> Option<(TensorProto, TensorProto)> {
    let tensor = |name: &String| constants.get(&**name).copied();
    let weights = tensor(convolution.input.get(1)?)?;
    let mut values = floats(weights)?;
    let outputs = usize::try_from(*weights.dims.first()?).ok()?;
    let of_output = values.len().checked_div(outputs).filter(|&count| count > 0 && count * outputs == values.len())?;
    let parameter = |index: usize| floats(tensor(node.input.get(index)?)?).filter(|values| values.len() == outputs);
    let [gain, shift, mean, variance] = [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
    let before = match convolution.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => floats(tensor(name)?).filter(|values| values.len() == outputs)?,
        None => vec![0.0; outputs],
    };
    let epsilon = node.attribute.iter().find(|attribute| attribute.name == "epsilon").map_or(1e-5, |epsilon| epsilon.f);
    let mut bias = Vec::new();
    for (output, values) in values.chunks_exact_mut(of_output).enumerate() {
        let factor = gain[output] / (variance[output] + epsilon).sqrt();
        values.iter_mut().for_each(|value| *value *= factor);
        bias.push((before[output] - mean[output]) * factor + shift[output]);
    }
    let made = |what: &str, dims: Vec<i64>, float_data: Vec<f32>| TensorProto {
        name: format!("{}, {what}", node.output.first().map_or("", String::as_str)),
        dims,
        data_type: DataType::Float as i32,
        float_data,
        ..TensorProto::default()
    };
    Some((made("weights", weights.dims.clone(), values), made("bias", vec![outputs as i64], bias)))
}
