//! What networks are made of between the image and the head, as exporters write it.

use tract_onnx::pb::{AttributeProto, attribute_proto};

use crate::graph::{Graph, Random, integer, integers};

/// Channels of the map that comes in and of the one that goes out.
pub(crate) const CHANNELS: usize = 16;

/// An operator, or several that belong together, with convolutions around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Silu,
    Relu,
    Relu6,
    LeakyRelu,
    HardSwish,
    Mish,
    Depthwise,
    Grouped,
    Padded,
    Transposed,
    Focus,
    MaxPool,
    AveragePool,
    AveragePoolOfWhatIsThere,
    Nearest,
    Sum,
    Split,
    BatchNormalization,
    Tanh,
}

impl Body {
    /// The stem and this: a map a quarter as high and wide as `images`. The answer is its name.
    pub(crate) fn add(self, graph: &mut Graph, random: &mut Random) -> String {
        if self == Self::Focus {
            let mut parts = Vec::new();
            for (row, column) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let rows = every_other(graph, "images", 2, row);
                parts.push(every_other(graph, &rows, 3, column));
            }
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            graph.node("Concat", &parts, &["focus"], vec![integer("axis", 1)]);
            graph.convolution(random, "focus", "stem", [12, CHANNELS, 2]);
            return "stem".into();
        }
        graph.convolution(random, "images", "stem", [3, CHANNELS, 4]);
        if self == Self::Silu {
            return "stem".into();
        }
        graph.convolution(random, "stem", "inner", [CHANNELS, CHANNELS, 1]);
        let sides = |name: &str, side: usize| integers(name, &[side, side]);
        match self {
            Self::Silu | Self::Focus => {}
            Self::Relu => drop(graph.step("Relu", &["inner"], "active", vec![])),
            Self::Relu6 => {
                graph.floats("0", &[], vec![0.0]);
                graph.floats("6", &[], vec![6.0]);
                graph.step("Clip", &["inner", "0", "6"], "active", vec![]);
            }
            Self::LeakyRelu => drop(graph.step("LeakyRelu", &["inner"], "active", vec![float("alpha", 0.1)])),
            Self::HardSwish => drop(graph.step("HardSwish", &["inner"], "active", vec![])),
            Self::Mish => {
                graph.step("Softplus", &["inner"], "plus", vec![]);
                graph.step("Tanh", &["plus"], "curved", vec![]);
                graph.step("Mul", &["inner", "curved"], "active", vec![]);
            }
            Self::Tanh => drop(graph.step("Tanh", &["inner"], "active", vec![])),
            Self::Depthwise | Self::Grouped => {
                let groups = if self == Self::Grouped { 4 } else { CHANNELS };
                let inputs = CHANNELS / groups;
                graph.floats("group weights", &[CHANNELS, inputs, 3, 3], random.values(CHANNELS * inputs * 9, 0.3));
                let attributes = vec![sides("kernel_shape", 3), integers("pads", &[1; 4]), integer("group", groups)];
                graph.node("Conv", &["inner", "group weights"], &["active"], attributes);
            }
            Self::Padded => {
                graph.shape("pads", &[0, 0, 0, 0, 0, 0, 1, 1]);
                graph.step("Pad", &["inner", "pads"], "padded", vec![]);
                graph.floats("weights of 2", &[CHANNELS, CHANNELS, 2, 2], random.values(CHANNELS * CHANNELS * 4, 0.2));
                graph.node("Conv", &["padded", "weights of 2"], &["active"], vec![sides("kernel_shape", 2)]);
            }
            Self::Transposed => {
                graph.floats("apart", &[CHANNELS, CHANNELS, 2, 2], random.values(CHANNELS * CHANNELS * 4, 0.3));
                graph.floats("apart bias", &[CHANNELS], random.values(CHANNELS, 0.3));
                let attributes = vec![sides("kernel_shape", 2), sides("strides", 2)];
                graph.node("ConvTranspose", &["inner", "apart", "apart bias"], &["larger"], attributes);
                graph.convolution(random, "larger", "active", [CHANNELS, CHANNELS, 2]);
            }
            Self::MaxPool => {
                let attributes = vec![sides("kernel_shape", 13), integers("pads", &[6; 4]), sides("strides", 1)];
                graph.node("MaxPool", &["inner"], &["active"], attributes);
            }
            Self::AveragePool | Self::AveragePoolOfWhatIsThere => {
                let counts = usize::from(self == Self::AveragePool);
                let attributes = vec![
                    sides("kernel_shape", 3),
                    integers("pads", &[1; 4]),
                    sides("strides", 1),
                    integer("count_include_pad", counts),
                ];
                graph.node("AveragePool", &["inner"], &["active"], attributes);
            }
            Self::Nearest => {
                graph.floats("scales", &[4], vec![1.0, 1.0, 2.0, 2.0]);
                let attributes = vec![
                    text("mode", "nearest"),
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ];
                graph.floats("roi", &[0], vec![]);
                graph.step("Resize", &["inner", "roi", "scales"], "larger", attributes);
                graph.convolution(random, "larger", "active", [CHANNELS, CHANNELS, 2]);
            }
            Self::Sum => drop(graph.step("Add", &["inner", "stem"], "active", vec![])),
            Self::Split => {
                let split = vec![integer("axis", 1), integers("split", &[6, 10])];
                graph.node("Split", &["inner"], &["first", "second"], split);
                graph.step("Concat", &["second", "stem", "first"], "active", vec![integer("axis", 1)]);
                graph.convolution(random, "active", "narrow", [2 * CHANNELS, CHANNELS, 1]);
                return "narrow".into();
            }
            Self::BatchNormalization => {
                for (name, offset) in [("gain", 1.0), ("shift", 0.0), ("mean", 0.0), ("variance", 1.5)] {
                    let values = random.values(CHANNELS, 0.5).iter().map(|value| value + offset).collect();
                    graph.floats(name, &[CHANNELS], values);
                }
                let inputs = ["inner", "gain", "shift", "mean", "variance"];
                graph.step("BatchNormalization", &inputs, "active", vec![]);
            }
        }
        "active".into()
    }
}

/// Every other row (axis 2) or column (axis 3).
fn every_other(graph: &mut Graph, input: &str, axis: i64, start: i64) -> String {
    let name = |what: &str| format!("{input}, {axis} from {start}, {what}");
    for (what, value) in [("start", start), ("end", i64::MAX), ("axis", axis), ("step", 2)] {
        graph.shape(&name(what), &[value]);
    }
    let inputs = [input.to_owned(), name("start"), name("end"), name("axis"), name("step")];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    graph.step("Slice", &inputs, &name("slice"), vec![])
}

fn float(name: &str, f: f32) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::Float as i32;
    AttributeProto { name: name.into(), r#type, f, ..AttributeProto::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::String as i32;
    AttributeProto { name: name.into(), r#type, s: s.as_bytes().to_vec(), ..AttributeProto::default() }
}
