//! What is supported: every kind of model is made, loaded and run, and the table in models/README.md tells what became of it.

use std::fmt::Write;
use std::path::Path;

use detector::Model;
use tract_onnx::pb::TensorProto;

use crate::bodies::{Body, CHANNELS};
use crate::graph::{Graph, image, integer, integers, value};
use crate::heads::{HEIGHT, Spelling, TODAY, WIDTH, agreeing, model, of_16_bits};
use crate::row_heads::{self, RowHead};
use crate::{anchors, declarations};

/// Kinds of models that are run.
fn run() -> Vec<(&'static str, Graph)> {
    let head = row_heads::model;
    let body = |body: Body| model(Spelling { body, ..TODAY });
    vec![
        ("YOLOv5 up to 6.1", head(RowHead::V5Until61)),
        ("YOLOv5 7.0", anchors::model(-0.5)),
        ("YOLOv6, plain distances", head(RowHead::V6)),
        ("YOLOv6, distances in bins", head(RowHead::V6InBins)),
        ("YOLOv7", head(RowHead::V7)),
        ("YOLOX, `--decode_in_inference`", head(RowHead::Yolox)),
        ("YOLOv8, 9, 11, 12 (Ultralytics 8.4)", model(TODAY)),
        ("the same by Ultralytics 8.3", model(Spelling { apart: false, ..TODAY })),
        ("the same, opset 12", model(Spelling { softmax_last: true, ..TODAY })),
        ("YOLO26, `end2end=False`", model(Spelling { bins: 1, ..TODAY })),
        ("YOLO26 end to end", model(Spelling { bins: 1, end_to_end: true, ..TODAY })),
        ("YOLOv10 end to end", model(Spelling { end_to_end: true, ..TODAY })),
        ("weights in fp16 (`half=True`)", of_16_bits(model(TODAY))),
        ("int8 (QDQ)", quantised(model(TODAY))),
        ("open sides (`dynamic=True`)", declared(model(TODAY), 1, &[0, 3, 0, 0])),
        ("input declared as uint8", declared(model(TODAY), 2, &[1, 3, HEIGHT, WIDTH])),
        ("input declared as fp16", declared(model(TODAY), 10, &[1, 3, HEIGHT, WIDTH])),
        ("input `[1,height,width,3]`", declared(model(TODAY), 1, &[1, HEIGHT, WIDTH, 3])),
        ("ReLU", body(Body::Relu)),
        ("ReLU6", body(Body::Relu6)),
        ("LeakyReLU", body(Body::LeakyRelu)),
        ("Hardswish", body(Body::HardSwish)),
        ("Mish", body(Body::Mish)),
        ("Tanh", body(Body::Tanh)),
        ("depthwise convolution", body(Body::Depthwise)),
        ("grouped convolution", body(Body::Grouped)),
        ("transposed convolution", body(Body::Transposed)),
        ("batch normalisation that was not folded", body(Body::BatchNormalization)),
        ("padding by itself, on two sides only", body(Body::Padded)),
        ("Focus (pixels as channels)", body(Body::Focus)),
        ("max pool of 13", body(Body::MaxPool)),
        ("average pool", body(Body::AveragePool)),
        ("average pool, padding not counted", body(Body::AveragePoolOfWhatIsThere)),
        ("nearest-neighbour enlargement", body(Body::Nearest)),
        ("sum of maps", body(Body::Sum)),
        ("split and concatenation", body(Body::Split)),
    ]
}

/// The network's convolutions as a static quantiser writes them: weights of 8 bits, and pairs of Q and DQ around.
fn quantised(mut graph: Graph) -> Graph {
    let convolutions: Vec<(String, String)> = graph
        .proto
        .node
        .iter()
        .filter(|node| node.op_type == "Conv" && node.input.len() == 3)
        .map(|node| (node.input[0].clone(), node.input[1].clone()))
        .collect();
    graph.floats("step", &[], vec![0.05]);
    graph.proto.initializer.push(TensorProto {
        name: "middle".into(),
        data_type: 2,
        int32_data: vec![128],
        ..TensorProto::default()
    });
    let mut first = Vec::new();
    for (input, weights) in convolutions {
        let tensor = graph.proto.initializer.iter_mut().find(|tensor| tensor.name == weights).expect("weights");
        let outputs = tensor.dims[0] as usize;
        let values = std::mem::take(&mut tensor.float_data);
        let of_output: Vec<&[f32]> = values.chunks(values.len() / outputs).collect();
        let greatest = |values: &[f32]| values.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
        let steps: Vec<f32> = of_output.iter().map(|values| greatest(values) / 127.0).collect();
        let quantised = of_output.iter().zip(&steps).flat_map(|(values, step)| {
            values.iter().map(move |value| (value / step).round() as i8 as u8).collect::<Vec<u8>>()
        });
        (tensor.raw_data, tensor.data_type, tensor.name) = (quantised.collect(), 3, format!("{weights}, bytes"));
        graph.floats(&format!("{weights}, steps"), &[outputs], steps);
        let before = graph.proto.node.len();
        let bytes = [format!("{weights}, bytes"), format!("{weights}, steps")];
        graph.node("DequantizeLinear", &[&bytes[0], &bytes[1]], &[&weights], vec![integer("axis", 0)]);
        let [rounded, restored] = ["rounded", "restored"].map(|what| format!("{input}, {what} for {weights}"));
        if input != "images" {
            graph.node("QuantizeLinear", &[&input, "step", "middle"], &[&rounded], vec![]);
            graph.node("DequantizeLinear", &[&rounded, "step", "middle"], &[&restored], vec![]);
            let reader = graph.proto.node.iter_mut().find(|node| node.input.get(1) == Some(&weights));
            reader.expect("a convolution").input[0] = restored;
        }
        first.extend(graph.proto.node.split_off(before));
    }
    graph.proto.node.splice(0..0, first);
    graph
}

/// The network with an input of another type or shape, and what leads from it to what it reads.
fn declared(mut graph: Graph, elem_type: i32, dims: &[usize]) -> Graph {
    for name in graph.proto.node.iter_mut().flat_map(|node| &mut node.input).filter(|name| *name == "images") {
        *name = "planes".into();
    }
    let before = graph.proto.node.len();
    let mut last = graph.step("Cast", &["images"], "numbers", vec![integer("to", 1)]);
    if elem_type == 2 {
        graph.floats("255", &[], vec![255.0]);
        last = graph.step("Div", &[&last, "255"], "parts", vec![]);
    }
    let order = if dims[3] == 3 { [0, 3, 1, 2] } else { [0, 1, 2, 3] };
    graph.step("Transpose", &[&last], "planes", vec![integers("perm", &order)]);
    let first = graph.proto.node.split_off(before);
    graph.proto.node.splice(0..0, first);
    graph.proto.input = vec![value("images", elem_type, dims)];
    graph.metadata.push(("imgsz", format!("[{HEIGHT}, {WIDTH}]")));
    graph
}

/// What the README says, of what is run here.
fn markdown() -> String {
    let mut table = String::from("| what | output | head | on our operators |\n|---|---|---|---|\n");
    for (what, graph) in run() {
        let models = agreeing(graph, what);
        let model: &Model = models.first().expect("an instruction set");
        for other in &models {
            assert_eq!(other.fallback_reason(), model.fallback_reason(), "{what}");
        }
        let head = model.head().unwrap_or_else(|| "run as it is".into());
        let ours = match model.fallback_reason() {
            None => "all of it".to_owned(),
            Some(reason) => {
                let operator = reason.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
                let operator = operator.unwrap_or(reason);
                match reason.split_once(" nodes") {
                    Some((count, _)) => format!("all but {count} nodes, the first of them {operator}"),
                    None => format!("all but {operator}"),
                }
            }
        };
        writeln!(table, "| {what} | `{}` | {head} | {ours} |", model.layout().name()).expect("written");
    }
    table.push_str("\nRefused, with these words:\n\n| what | what is said |\n|---|---|\n");
    for (what, graph) in declarations::refused() {
        let said = Model::load(graph.file().path()).expect_err(what).to_string();
        let said = said.split_once("decode: ").map_or(&*said, |(_, said)| said);
        writeln!(table, "| {what} | {} |", said.replace('|', "\\|")).expect("written");
    }
    table
}

/// The table in the documentation is this one. `UPDATE=1 cargo test -p detector --test models` writes it.
#[test]
fn the_documentation_has_this_table() {
    const FROM: &str = "<!-- made by detector/tests/models/supported.rs; UPDATE=1 cargo test -p detector --test models writes it -->\n";
    const TO: &str = "<!-- end of what is made -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/README.md");
    let document = std::fs::read_to_string(&path).expect("models/README.md is there");
    let (before, rest) = document.split_once(FROM).expect("the table's first line is there");
    let (table, after) = rest.split_once(TO).expect("the table's last line is there");
    let expected = format!("\n{}\n", markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{FROM}{expected}{TO}{after}")).expect("models/README.md can be written");
    } else {
        assert!(
            table == expected,
            "models/README.md is out of date; UPDATE=1 cargo test -p detector --test models writes it"
        );
    }
}

/// Weights of 8 bits are as near to those of 32 as 8 bits are.
#[test]
fn networks_of_8_bits_find_what_their_weights_find() {
    let detections = |graph: Graph| {
        let model = Model::load(graph.file().path()).expect("load");
        assert_eq!(model.fallback_reason(), None);
        let output = model.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
        output.candidates(0.3).expect("candidates")
    };
    let (exact, of_8_bits) = (detections(model(TODAY)), detections(quantised(model(TODAY))));
    let near = |a: &detector::decode::Candidate| {
        of_8_bits.iter().any(|b| b.bounding_box.iou(&a.bounding_box) > 0.8 && (a.confidence - b.confidence).abs() < 0.1)
    };
    let found = exact.iter().filter(|candidate| near(candidate)).count();
    assert!(found * 10 >= exact.len() * 9 && exact.len() >= 10, "{found} of {}", exact.len());
}

/// What a network finds with these nodes, from the map of the first name to that of the second, in the place of a ReLU.
fn found_with(nodes: impl FnOnce(&mut Graph, &str, &str)) -> Vec<detector::decode::Candidate> {
    let mut graph = model(Spelling { body: Body::Relu, ..TODAY });
    let relu = graph.proto.node.iter().position(|node| node.op_type == "Relu").expect("a ReLU");
    let input = graph.proto.node[relu].input[0].clone();
    let before = graph.proto.node.len();
    nodes(&mut graph, &input, "active");
    let nodes = graph.proto.node.split_off(before);
    graph.proto.node.splice(relu..=relu, nodes);
    // Names are left to the exporter, and some have none.
    graph.proto.node.iter_mut().for_each(|node| node.name.clear());
    let model = Model::load(graph.file().path()).expect("load");
    assert_eq!(model.fallback_reason(), None);
    let output = model.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
    let found = output.candidates(0.1).expect("candidates");
    assert!(found.len() >= 10);
    found
}

/// A zero point of 0, of this type.
fn zero(graph: &mut Graph, data_type: i32) {
    let zero = TensorProto { name: "zero".into(), data_type, int32_data: vec![0], ..TensorProto::default() };
    graph.proto.initializer.push(zero);
}

#[track_caller]
fn assert_same(found: &[detector::decode::Candidate], expected: &[detector::decode::Candidate]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.confidence - expected.confidence).abs() < 1e-4, "{found:?} instead of {expected:?}");
    }
}

/// A ReLU, or one that is clipped, that a quantiser left out, as its steps begin at 0 and end at the bound, is one all the same.
#[test]
fn steps_that_begin_at_zero_are_a_relu() {
    let mut all_expected = Vec::new();
    for most in [200.0, 0.25] {
        let expected = found_with(|graph, from, to| {
            graph.floats("most", &[], vec![most]);
            graph.node("Relu", &[from], &["above"], vec![]);
            graph.node("Min", &["above", "most"], &[to], vec![]);
        });
        let found = found_with(|graph, from, to| {
            zero(graph, 2);
            graph.floats("fine", &[], vec![most / 255.0]);
            graph.floats("ones", &[CHANNELS, 1, 1, 1], vec![1.0; CHANNELS]);
            graph.node("QuantizeLinear", &[from, "fine", "zero"], &["bytes"], vec![]);
            graph.node("DequantizeLinear", &["bytes", "fine", "zero"], &["first"], vec![]);
            graph.node("Conv", &["first", "ones"], &["again"], vec![integer("group", CHANNELS)]);
            graph.node("QuantizeLinear", &["again", "fine", "zero"], &["other bytes"], vec![]);
            graph.node("DequantizeLinear", &["other bytes", "fine", "zero"], &[to], vec![]);
        });
        assert_same(&found, &expected);
        all_expected.push(expected);
    }
    assert_ne!(all_expected[0], all_expected[1]);
}

/// The steps are of the type that is quantised to; where they are dequantised, it need not be said again.
#[test]
fn signed_steps_are_no_relu() {
    let expected = found_with(|graph, from, to| graph.node("Identity", &[from], &[to], vec![]));
    let found = found_with(|graph, from, to| {
        zero(graph, 3);
        graph.floats("fine", &[], vec![0.5]);
        graph.node("QuantizeLinear", &[from, "fine", "zero"], &["bytes"], vec![]);
        graph.node("DequantizeLinear", &["bytes", "fine"], &[to], vec![]);
    });
    assert_same(&found, &expected);
    let found = found_with(|graph, from, to| {
        graph.floats("fine", &[], vec![0.5]);
        graph.node("QuantizeLinear", &[from, "fine"], &["bytes"], vec![integer("output_dtype", 3)]);
        graph.node("DequantizeLinear", &["bytes", "fine"], &[to], vec![]);
    });
    assert_same(&found, &expected);
}
