//! An ONNX file, checked and rewritten into one form.

mod normalisation;
mod quantised;

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto};

use crate::layout::{EXPORT_A_DETECTOR, Unknown};
use crate::metadata::Metadata;

/// The type and range of an image's values in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    /// Floating point, `0..=1`.
    Unit,
    /// Bytes.
    Bytes,
}

/// The one input of a detector, as the file declares it.
#[derive(Clone, Debug)]
struct Input {
    name: String,
    values: Values,
    /// Channels are the last axis, not the second.
    channels_last: bool,
    /// Height and width.
    size: [usize; 2],
}

/// Height and width where neither the file's shape nor its metadata tell them.
const USUAL_SIDE: usize = 640;

/// The most nodes of a file; beside a network's own those that quantise it.
const MOST_NODES: usize = 20_000;

/// The most nodes that are left of them, and the most constants: the largest YOLO has two thousand. tract compares each constant with all
/// others, and walks through all nodes for each, so its time grows with the square of it.
const MOST_KEPT: usize = 4000;

/// The most inputs of a node. tract counts them up to each of them.
const MOST_INPUTS: usize = 1000;

/// The most pixels of an input: a network for larger ones needs more memory than a worker has.
const MOST_PIXELS: usize = 2560 * 2560;

/// The most taps of a window, and the largest of its other numbers: tract makes a list of all taps, and no map is so wide.
const MOST_TAPS: i64 = 1 << 20;

/// Rewrites what exporters write in many ways into one: all weights inside the file and in `f32`; an input
/// `[1, 3, height, width]` of `f32`; no shapes but those of the input. Returns the input's height and width.
pub(crate) fn normalise(proto: &mut ModelProto, folder: &Path, metadata: &Metadata) -> Result<[usize; 2], Unknown> {
    let Some(graph) = &mut proto.graph else {
        return Err(Unknown::new("it has no graph", "export it again"));
    };
    if graph.node.len() > MOST_NODES {
        let found = format!("it has {} nodes, more than {MOST_NODES}", graph.node.len());
        return Err(Unknown::new(found, EXPORT_A_DETECTOR));
    }
    let input = declared_input(graph, metadata)?;
    let broken = |reason: String| Unknown::new(reason, "keep the files of one export together, or export it again");
    each_tensor(graph, 0, &mut |tensor| {
        inline(tensor, folder)?;
        widen(tensor)
    })
    .map_err(broken)?;
    each_node(graph, 0, &mut |node| {
        if node.op_type == "Cast" {
            for to in
                node.attribute.iter_mut().filter(|attribute| attribute.name == "to" && is_half(attribute.i as i32))
            {
                to.i = DataType::Float as i64;
            }
        }
    });
    let mut odd = None;
    each_node(graph, 0, &mut |node| {
        if !permutes(node) {
            odd = Some(format!("its Transpose {} has axes that are not a permutation", node.name));
        } else if !has_a_possible_window(node) {
            odd = Some(format!("its {} {} has a window larger than any map", node.op_type, node.name));
        }
    });
    if let Some(found) = odd {
        return Err(Unknown::new(found, "export it again"));
    }
    quantised::dequantise(graph);
    normalisation::fold(graph);
    let (mut nodes, mut constants, mut inputs, mut read) = (0, 0, 0, HashSet::new());
    each_node(graph, 0, &mut |node| {
        nodes += 1;
        constants += usize::from(node.op_type == "Constant");
        inputs = inputs.max(node.input.len());
        read.extend(node.input.iter().cloned());
    });
    read.extend(graph.output.iter().map(|output| output.name.clone()));
    graph.initializer.retain(|tensor| read.contains(&tensor.name));
    constants += graph.initializer.len();
    for (count, most, what) in
        [(nodes, MOST_KEPT, "nodes"), (constants, MOST_KEPT, "constants"), (inputs, MOST_INPUTS, "inputs of one node")]
    {
        if count > most {
            return Err(Unknown::new(format!("it has {count} {what}, more than {most}"), EXPORT_A_DETECTOR));
        }
    }
    // They were made for the exporter's sizes, or name sides that are bound here; shapes follow from the operators.
    graph.value_info.clear();
    for output in &mut graph.output {
        output.r#type = None;
    }
    bind(graph, &input);
    Ok(input.size)
}

/// Whether this type has less than 32 bits of floating point.
fn is_half(data_type: i32) -> bool {
    data_type == DataType::Float16 as i32 || data_type == DataType::Bfloat16 as i32
}

fn declared_input(graph: &GraphProto, metadata: &Metadata) -> Result<Input, Unknown> {
    // Before IR version 4, weights are inputs, too.
    let is_weight = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs: Vec<_> = graph.input.iter().filter(|input| !is_weight(&input.name)).collect();
    let [input] = inputs[..] else {
        let names: Vec<&str> = inputs.iter().map(|input| &*input.name).collect();
        let found = format!("it has {} inputs ({})", names.len(), names.join(", "));
        return Err(Unknown::new(found, EXPORT_A_DETECTOR));
    };
    let Some(Type::TensorType(tensor)) = input.r#type.as_ref().and_then(|declared| declared.value.as_ref()) else {
        return Err(Unknown::new(format!("its input {} is not a tensor", input.name), EXPORT_A_DETECTOR));
    };
    let values = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float | DataType::Float16 | DataType::Bfloat16) => Values::Unit,
        Ok(DataType::Uint8) => Values::Bytes,
        other => {
            let other = other.map_or_else(|_| tensor.elem_type.to_string(), |other| format!("{other:?}"));
            let found = format!("its input {} is of type {other}", input.name);
            return Err(Unknown::new(found, "export it with an input of float32, float16 or uint8"));
        }
    };
    let open = [None; 4];
    let sides = tensor.shape.as_ref().map_or_else(
        || open.to_vec(),
        |shape| {
            let side = |side: &Option<Side>| match side {
                Some(Side::DimValue(side)) if *side > 0 => usize::try_from(*side).ok(),
                _ => None,
            };
            shape.dim.iter().map(|dim| side(&dim.value)).collect()
        },
    );
    let shown: Vec<String> =
        sides.iter().map(|side| side.map_or_else(|| "?".into(), |side| side.to_string())).collect();
    let shown = format!("its input {} is [{}]", input.name, shown.join(","));
    let &[images, second, third, fourth] = &sides[..] else {
        return Err(Unknown::new(shown, "it has to be [1,3,height,width] or [1,height,width,3]"));
    };
    if images.is_some_and(|images| images != 1) {
        return Err(Unknown::new(
            format!("{shown}: {} images at once", images.unwrap_or_default()),
            "export it with batch=1",
        ));
    }
    let channels_last = second != Some(3) && fourth == Some(3);
    let [height, width, channels] = if channels_last { [second, third, fourth] } else { [third, fourth, second] };
    if channels.is_some_and(|channels| channels != 3) {
        let instead = "only models for RGB images can be used: [1,3,height,width] or [1,height,width,3]";
        return Err(Unknown::new(shown, instead));
    }
    let [usual_height, usual_width] = metadata.image_size.unwrap_or([USUAL_SIDE; 2]);
    let size = [height.unwrap_or(usual_height), width.unwrap_or(usual_width)];
    if size[0].saturating_mul(size[1]) > MOST_PIXELS {
        let instead = format!("export it with an imgsz of at most {MOST_PIXELS} pixels");
        return Err(Unknown::new(format!("{shown}, so {}x{} pixels", size[1], size[0]), instead));
    }
    Ok(Input { name: input.name.clone(), values, channels_last, size })
}

/// How deep graphs within graphs are read.
const DEEPEST: usize = 8;

/// Calls `change` on every tensor of the graph: initializers and attributes.
fn each_tensor(
    graph: &mut GraphProto,
    depth: usize,
    change: &mut impl FnMut(&mut TensorProto) -> Result<(), String>,
) -> Result<(), String> {
    if depth > DEEPEST {
        return Err("it has graphs within graphs without end".into());
    }
    graph.initializer.iter_mut().try_for_each(&mut *change)?;
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *change)?;
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            each_tensor(graph, depth + 1, change)?;
        }
    }
    Ok(())
}

/// Calls `change` on every node of the graph. [`each_tensor`] has checked how deep it is.
fn each_node(graph: &mut GraphProto, depth: usize, change: &mut impl FnMut(&mut NodeProto)) {
    for node in &mut graph.node {
        change(node);
        for attribute in node.attribute.iter_mut().filter(|_| depth < DEEPEST) {
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                each_node(graph, depth + 1, change);
            }
        }
    }
}

/// Whether a Transpose names each axis once. tract takes that for granted; otherwise it loops for ever.
fn permutes(node: &NodeProto) -> bool {
    let perm = node.attribute.iter().find(|attribute| node.op_type == "Transpose" && attribute.name == "perm");
    let Some(perm) = perm else { return true };
    let mut axes = perm.ints.clone();
    axes.sort_unstable();
    axes.iter().enumerate().all(|(index, &axis)| axis == index as i64)
}

/// Whether the window of a convolution or a pool has no more taps, and is no wider, than any detector's.
fn has_a_possible_window(node: &NodeProto) -> bool {
    let taps = |sides: &[i64]| sides.iter().try_fold(1_i64, |taps, &side| taps.checked_mul(side));
    node.attribute.iter().all(|attribute| match &*attribute.name {
        "kernel_shape" => taps(&attribute.ints).is_some_and(|taps| (0..=MOST_TAPS).contains(&taps)),
        "strides" | "dilations" | "output_padding" => attribute.ints.iter().all(|side| (0..=MOST_TAPS).contains(side)),
        "pads" => attribute.ints.iter().all(|side| (-MOST_TAPS..=MOST_TAPS).contains(side)),
        _ => true,
    })
}

/// Reads a tensor's values from the file beside the model that has them.
fn inline(tensor: &mut TensorProto, folder: &Path) -> Result<(), String> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
    let number = |key: &str| {
        let wrong = |_| format!("the {key} of its weights {} is not a number", tensor.name);
        value(key).map(|value| value.parse::<u64>().map_err(wrong)).transpose()
    };
    let location = value("location").ok_or_else(|| format!("its weights {} are nowhere", tensor.name))?;
    let location = Path::new(location);
    if location.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("its weights {} are outside its folder, in {}", tensor.name, location.display()));
    }
    let path = folder.join(location);
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(u64::MAX);
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("its weights can't be read from {}: {error}", path.display()))?;
    if length != u64::MAX && bytes.len() as u64 != length {
        return Err(format!("its weights {} are not all in {}", tensor.name, path.display()));
    }
    tensor.raw_data = bytes;
    tensor.data_location = None;
    tensor.external_data.clear();
    Ok(())
}

/// Converts 16 bits of floating point to 32. tract computes in the file's type, and processors compute in 16 bits by conversions
/// back and forth: hundreds of times slower than in 32.
fn widen(tensor: &mut TensorProto) -> Result<(), String> {
    if !is_half(tensor.data_type) {
        return Ok(());
    }
    if !tensor.raw_data.len().is_multiple_of(2) {
        return Err(format!("half a value is missing from its weights {}", tensor.name));
    }
    let is_bf16 = tensor.data_type == DataType::Bfloat16 as i32;
    let wide = |bits: u16| if is_bf16 { f32::from_bits(u32::from(bits) << 16) } else { wide_half(bits) };
    tensor.float_data = if tensor.raw_data.is_empty() {
        std::mem::take(&mut tensor.int32_data).into_iter().map(|bits| wide(bits as u16)).collect()
    } else {
        tensor.raw_data.as_chunks::<2>().0.iter().map(|&bytes| wide(u16::from_le_bytes(bytes))).collect()
    };
    tensor.raw_data.clear();
    tensor.data_type = DataType::Float as i32;
    Ok(())
}

/// An IEEE half as `f32`. Without branches, so that the compiler takes several at once.
fn wide_half(bits: u16) -> f32 {
    /// 2^112, by which the exponent's biases differ: what is denormal in 16 bits is normal behind it.
    const BIAS: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let is_finite = bits & 0x7c00 != 0x7c00;
    let finite = (f32::from_bits(magnitude) * BIAS).to_bits();
    let wide = if is_finite { finite } else { magnitude | 0x7f80_0000 };
    f32::from_bits(wide | u32::from(bits & 0x8000) << 16)
}

/// Makes the input `[1, 3, height, width]` of `f32`, and adds the nodes from that to what the graph reads.
fn bind(graph: &mut GraphProto, input: &Input) {
    let [height, width] = input.size;
    let mut source = input.name.clone();
    let mut first = Vec::new();
    if input.channels_last || input.values == Values::Bytes {
        // The graph goes on reading what it read; it is made of a new input.
        source = format!("{source}, as polybot gives it");
        let mut last = source.clone();
        let mut add = |op_type: &str, others: &[&str], attribute: Vec<AttributeProto>, output: String| {
            first.push(NodeProto {
                name: output.clone(),
                op_type: op_type.into(),
                input: [&[&*last], others].concat().into_iter().map(str::to_owned).collect(),
                output: vec![output.clone()],
                attribute,
                ..NodeProto::default()
            });
            last = output;
        };
        if input.values == Values::Bytes {
            let name = format!("{}, 255", input.name);
            add("Mul", &[&name], vec![], format!("{}, scaled", input.name));
            add("Round", &[], vec![], format!("{}, rounded", input.name));
            let to = AttributeProto {
                name: "to".into(),
                r#type: attribute_proto::AttributeType::Int as i32,
                i: DataType::Uint8 as i64,
                ..AttributeProto::default()
            };
            let output = if input.channels_last { format!("{}, bytes", input.name) } else { input.name.clone() };
            add("Cast", &[], vec![to], output);
            graph.initializer.push(TensorProto {
                name,
                data_type: DataType::Float as i32,
                float_data: vec![255.0],
                ..TensorProto::default()
            });
        }
        if input.channels_last {
            let perm = AttributeProto {
                name: "perm".into(),
                r#type: attribute_proto::AttributeType::Ints as i32,
                ints: vec![0, 2, 3, 1],
                ..AttributeProto::default()
            };
            add("Transpose", &[], vec![perm], input.name.clone());
        }
    }
    graph.node.splice(0..0, first);
    let sides = [1, 3, height as i64, width as i64].map(|side| tract_onnx::pb::tensor_shape_proto::Dimension {
        value: Some(Side::DimValue(side)),
        ..Default::default()
    });
    for declared in graph.input.iter_mut().filter(|declared| declared.name == input.name) {
        declared.name.clone_from(&source);
        declared.r#type = Some(tract_onnx::pb::TypeProto {
            value: Some(Type::TensorType(tract_onnx::pb::type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(tract_onnx::pb::TensorShapeProto { dim: sides.to_vec() }),
            })),
            ..Default::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_to_its_value() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (wide_half(bits), tract_onnx::prelude::f16::from_bits(bits).to_f32());
            assert!(
                found == expected || found.is_nan() && expected.is_nan(),
                "{bits:#x}: {found} instead of {expected}"
            );
            assert_eq!(found.is_sign_negative(), expected.is_sign_negative(), "{bits:#x}");
        }
    }
}
