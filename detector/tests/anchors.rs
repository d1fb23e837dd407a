//! YOLOv5's head, cut off and decoded in Rust, against the same graph run whole on tract's operators.
//!
//! The model is made here, as Ultralytics' exporter writes it: a few convolutions and the head of YOLOv5.

use detector::{Isa, Model, Options, Precision};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto, tensor_shape_proto, type_proto,
};

const WIDTH: usize = 96;
const HEIGHT: usize = 64;
const CLASSES: usize = 7;
/// Channels of the maps that the head reads.
const CHANNELS: usize = 16;
/// Three for each level, in input pixels.
const ANCHORS: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];

/// The same values in every run.
struct Random(u32);

impl Random {
    /// In `-1..1`.
    fn value(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.value() * scale).collect()
    }
}

#[derive(Default)]
struct Graph(GraphProto);

impl Graph {
    fn node(&mut self, op_type: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.0.node.push(NodeProto {
            name: outputs[0].into(),
            op_type: op_type.into(),
            input: owned(inputs),
            output: owned(outputs),
            attribute,
            ..NodeProto::default()
        });
    }

    fn floats(&mut self, name: &str, dims: &[usize], float_data: Vec<f32>) {
        let dims = dims.iter().map(|&dim| dim as i64).collect();
        self.0.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type: 1,
            float_data,
            ..TensorProto::default()
        });
    }

    fn integers(&mut self, name: &str, int64_data: &[usize]) {
        let int64_data: Vec<i64> = int64_data.iter().map(|&value| value as i64).collect();
        let dims = vec![int64_data.len() as i64];
        self.0.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type: 7,
            int64_data,
            ..TensorProto::default()
        });
    }

    /// A convolution whose windows lie beside each other, with SiLU unless it is one by one.
    fn convolution(&mut self, random: &mut Random, input: &str, output: &str, [from, to, side]: [usize; 3]) {
        let (weights, bias) = (format!("{output}.weight"), format!("{output}.bias"));
        let scale = 2.0 / ((from * side * side) as f32).sqrt();
        self.floats(&weights, &[to, from, side, side], random.values(to * from * side * side, scale));
        self.floats(&bias, &[to], random.values(to, 1.0));
        let attributes = vec![integers("kernel_shape", &[side, side]), integers("strides", &[side, side])];
        let inputs = [input, &weights, &bias];
        if side == 1 {
            self.node("Conv", &inputs, &[output], attributes);
        } else {
            let [raw, sigmoid] = ["raw", "sigmoid"].map(|part| format!("{output}.{part}"));
            self.node("Conv", &inputs, &[&raw], attributes);
            self.node("Sigmoid", &[&raw], &[&sigmoid], vec![]);
            self.node("Mul", &[&raw, &sigmoid], &[output], vec![]);
        }
    }

    fn step(&mut self, op_type: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> String {
        self.node(op_type, inputs, &[output], attributes);
        output.into()
    }

    /// One level of the head: raw logits to rows of boxes in input pixels. `offset` is -0.5 in YOLOv5.
    fn level(&mut self, map: &str, level: usize, offset: f32) -> String {
        let stride = 8 << level;
        let (height, width) = (HEIGHT / stride, WIDTH / stride);
        let outputs = 5 + CLASSES;
        let name = |part: &str| format!("level {level}, {part}");
        self.integers(&name("split up"), &[1, 3, outputs, height, width]);
        self.integers(&name("rows"), &[1, 3 * height * width, outputs]);
        let places = (0..3 * height * width).flat_map(|i| {
            let pixel = i % (height * width);
            [(pixel % width) as f32 + offset, (pixel / width) as f32 + offset]
        });
        self.floats(&name("places"), &[1, 3, height, width, 2], places.collect());
        let sizes = (0..3 * height * width).flat_map(|i| ANCHORS[level][i / (height * width)]);
        self.floats(&name("anchors"), &[1, 3, height, width, 2], sizes.collect());
        self.floats(&name("stride"), &[], vec![stride as f32]);
        let two = name("two");
        self.floats(&two, &[], vec![2.0]);

        let parts = self.step("Reshape", &[map, &name("split up")], &name("parts"), vec![]);
        let last = self.step("Transpose", &[&parts], &name("channels last"), vec![integers("perm", &[0, 1, 3, 4, 2])]);
        let sigmoid = self.step("Sigmoid", &[&last], &name("sigmoid"), vec![]);
        let [centre, size, scores] = ["centre", "size", "scores"].map(name);
        let split = vec![integer("axis", 4), integers("split", &[2, 2, 1 + CLASSES])];
        self.node("Split", &[&sigmoid], &[&centre, &size, &scores], split);
        let doubled = self.step("Mul", &[&centre, &two], &name("doubled centre"), vec![]);
        let placed = self.step("Add", &[&doubled, &name("places")], &name("placed centre"), vec![]);
        let centre = self.step("Mul", &[&placed, &name("stride")], &name("centre in pixels"), vec![]);
        let doubled = self.step("Mul", &[&size, &two], &name("doubled size"), vec![]);
        let squared = self.step("Pow", &[&doubled, &two], &name("squared size"), vec![]);
        let size = self.step("Mul", &[&squared, &name("anchors")], &name("size in pixels"), vec![]);
        let boxes = self.step("Concat", &[&centre, &size, &scores], &name("boxes"), vec![integer("axis", 4)]);
        self.step("Reshape", &[&boxes, &name("rows")], &name("output"), vec![])
    }
}

fn integer(name: &str, i: usize) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::Int as i32;
    AttributeProto { name: name.into(), r#type, i: i as i64, ..AttributeProto::default() }
}

fn integers(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    let r#type = attribute_proto::AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints, ..AttributeProto::default() }
}

/// Rows of the output.
fn boxes() -> usize {
    (0..3).map(|level| 3 * (HEIGHT >> (3 + level)) * (WIDTH >> (3 + level))).sum()
}

/// A file of the network, for images of [`WIDTH`] x [`HEIGHT`].
fn model(offset: f32) -> tempfile::NamedTempFile {
    let mut random = Random(7);
    let mut graph = Graph::default();
    graph.convolution(&mut random, "images", "stem", [3, CHANNELS, 4]);
    let mut rows = Vec::new();
    let mut input = "stem".to_owned();
    for level in 0..3 {
        let (map, logits) = (format!("map {level}"), format!("logits {level}"));
        graph.convolution(&mut random, &input, &map, [CHANNELS, CHANNELS, 2]);
        graph.convolution(&mut random, &map, &logits, [CHANNELS, 3 * (5 + CLASSES), 1]);
        rows.push(graph.level(&logits, level, offset));
        input = map;
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    graph.node("Concat", &rows, &["output0"], vec![integer("axis", 1)]);
    let value = |name: &str, dims: &[usize]| {
        let dim = dims.iter().map(|&dim| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(dim as i64)),
            ..tensor_shape_proto::Dimension::default()
        });
        let shape = Some(TensorShapeProto { dim: dim.collect() });
        let tensor = type_proto::Value::TensorType(type_proto::Tensor { elem_type: 1, shape });
        let r#type = Some(TypeProto { value: Some(tensor), ..TypeProto::default() });
        ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
    };
    graph.0.input = vec![value("images", &[1, 3, HEIGHT, WIDTH])];
    graph.0.output = vec![value("output0", &[1, boxes(), 5 + CLASSES])];
    let model = ModelProto {
        ir_version: 7,
        opset_import: vec![OperatorSetIdProto { version: 12, ..OperatorSetIdProto::default() }],
        graph: Some(graph.0),
        ..ModelProto::default()
    };
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().expect("a file");
    std::fs::write(file.path(), model.encode_to_vec()).expect("written");
    file
}

fn image() -> Vec<f32> {
    Random(3).values(3 * WIDTH * HEIGHT, 1.0).into_iter().map(f32::abs).collect()
}

#[test]
fn the_cut_head_agrees_with_the_whole_graph_on_tracts_operators() {
    const LEAST: f32 = 0.2;
    let file = model(-0.5);
    let whole = Options { own_operators: false, ..Options::default() };
    let whole = Model::load_with(file.path(), &whole).expect("load");
    let output = whole.run(image(), WIDTH as u32, HEIGHT as u32).expect("run");
    let expected = output.candidates(LEAST).expect("candidates");
    // Of every size that an anchor makes, and not simply all there are.
    assert!((20..boxes() - 20).contains(&expected.len()), "{}", expected.len());
    for isa in Isa::available().filter(|isa| isa.precision() == Precision::F32) {
        let cut = Model::load_with(file.path(), &Options { isa, ..Options::default() }).expect("load");
        assert_eq!(cut.fallback_reason(), None);
        let output = cut.run(image(), WIDTH as u32, HEIGHT as u32).expect("run");
        let found = output.candidates(LEAST).expect("candidates");
        assert_eq!(found.len(), expected.len(), "{isa:?}");
        // Both go through levels, anchors, rows and columns.
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.class_id, expected.class_id, "{isa:?}");
            assert!((found.confidence - expected.confidence).abs() < 1e-4, "{isa:?}: {found:?} {expected:?}");
            let iou = found.bounding_box.iou(&expected.bounding_box);
            assert!(iou > 0.999, "{isa:?}: {found:?} {expected:?}");
        }
    }
}

/// A head that looks like YOLOv5's but places its boxes otherwise must not be decoded as YOLOv5's.
#[test]
fn a_head_of_other_constants_is_left_to_tract() {
    let file = model(0.0);
    let model = Model::load(file.path()).expect("load");
    assert!(model.fallback_reason().is_some());
    let output = model.run(image(), WIDTH as u32, HEIGHT as u32).expect("run");
    assert!(!output.candidates(0.2).expect("candidates").is_empty());
}
