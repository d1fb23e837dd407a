//! Heads without anchors, cut off and decoded in Rust, against the same graph run whole on tract's operators.

use detector::{Isa, LayoutName, Model, Options, Precision};

use crate::bodies::Body;
use crate::graph::{Graph, Random, image, integer, integers};

pub(crate) const WIDTH: usize = 96;
pub(crate) const HEIGHT: usize = 64;
pub(crate) const CLASSES: usize = 7;
const CHANNELS: usize = 16;
/// Most detections of an end-to-end model.
const MOST: usize = 40;

/// How a head is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    /// Bins of each distance's distribution; 1 for none, as in YOLO26.
    pub(crate) bins: usize,
    /// Boxes and classes are concatenated each by itself, as Ultralytics 8.4 does, not for each level first.
    pub(crate) apart: bool,
    /// The softmax is over the last axis, as in opset 12.
    pub(crate) softmax_last: bool,
    /// Detections instead of candidates.
    pub(crate) end_to_end: bool,
    /// What is beside a distance's place; 0.5 in YOLO.
    pub(crate) middle: f32,
    /// What the network has before its maps.
    pub(crate) body: Body,
}

pub(crate) const TODAY: Spelling =
    Spelling { bins: 16, apart: true, softmax_last: false, end_to_end: false, middle: 0.5, body: Body::Silu };

/// Places of all maps.
fn places() -> usize {
    (0..3).map(|level| (HEIGHT >> (3 + level)) * (WIDTH >> (3 + level))).sum()
}

/// A network with this head.
pub(crate) fn model(spelling: Spelling) -> Graph {
    let Spelling { bins, apart, softmax_last, end_to_end, middle, body } = spelling;
    let mut random = Random(11);
    let mut graph = Graph::default();
    let mut input = body.add(&mut graph, &mut random);
    let (mut boxes, mut scores, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let joined = 4 * bins + CLASSES;
    for (name, channels) in [("box", 4 * bins), ("class", CLASSES), ("joined", joined)] {
        graph.shape(&format!("{name} rows"), &[1, channels as i64, -1]);
    }
    for level in 0..3 {
        let name = |part: &str| format!("{part} {level}");
        let map = name("map");
        graph.convolution(&mut random, &input, &map, [CHANNELS, CHANNELS, 2]);
        graph.convolution(&mut random, &map, &name("box"), [CHANNELS, 4 * bins, 1]);
        graph.convolution(&mut random, &map, &name("class"), [CHANNELS, CLASSES, 1]);
        if bins == 1 {
            // Distances as they are: such as give boxes.
            let bias = graph.proto.initializer.iter_mut().find(|tensor| tensor.name == format!("box {level}.bias"));
            bias.expect("a bias").float_data.fill(20.0);
        }
        if apart {
            boxes.push(graph.step("Reshape", &[&name("box"), "box rows"], &name("flat box"), vec![]));
            scores.push(graph.step("Reshape", &[&name("class"), "class rows"], &name("flat class"), vec![]));
        } else {
            let map = graph.step("Concat", &[&name("box"), &name("class")], &name("joined"), vec![integer("axis", 1)]);
            both.push(graph.step("Reshape", &[&map, "joined rows"], &name("flat joined"), vec![]));
        }
        input = map;
    }
    let concat = |graph: &mut Graph, parts: &[String], name: &str, axis: usize| {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        graph.step("Concat", &parts, name, vec![integer("axis", axis)])
    };
    if apart {
        concat(&mut graph, &boxes, "boxes", 2);
        concat(&mut graph, &scores, "scores", 2);
    } else {
        concat(&mut graph, &both, "all", 2);
        let split = vec![integer("axis", 1), integers("split", &[4 * bins, CLASSES])];
        graph.node("Split", &["all"], &["boxes", "scores"], split);
    }
    graph.step("Sigmoid", &["scores"], "probabilities", vec![]);

    let count = places();
    let distances = if bins == 1 {
        "boxes"
    } else {
        graph.integers("by edge", &[1, 4, bins, count]);
        graph.integers("edges", &[1, 4, count]);
        let bin_values = (0..bins).map(|bin| bin as f32).collect();
        graph.floats("bins", &[1, bins, 1, 1], bin_values);
        graph.step("Reshape", &["boxes", "by edge"], "logits by edge", vec![]);
        let transposed = |graph: &mut Graph, from: &str, to: &str, perm: &[usize]| {
            graph.step("Transpose", &[from], to, vec![integers("perm", perm)])
        };
        if softmax_last {
            transposed(&mut graph, "logits by edge", "logits last", &[0, 3, 1, 2]);
            graph.step("Softmax", &["logits last"], "weights last", vec![integer("axis", 3)]);
            transposed(&mut graph, "weights last", "weights", &[0, 3, 2, 1]);
        } else {
            transposed(&mut graph, "logits by edge", "logits first", &[0, 2, 1, 3]);
            // In opset 12, softmax over an axis that is not the last is over all that follow.
            graph.step("Exp", &["logits first"], "powers", vec![]);
            let axes = vec![integers("axes", &[1])];
            graph.step("ReduceSum", &["powers"], "sum of powers", axes);
            graph.step("Div", &["powers", "sum of powers"], "weights", vec![]);
        }
        graph.node("Conv", &["weights", "bins"], &["means"], vec![integers("kernel_shape", &[1, 1])]);
        graph.step("Reshape", &["means", "edges"], "distances", vec![]);
        "distances"
    };
    let split = vec![integer("axis", 1), integers("split", &[2, 2])];
    graph.node("Split", &[distances], &["to top left", "to bottom right"], split);
    let (mut grid, mut strides) = (vec![Vec::new(), Vec::new()], Vec::new());
    for level in 0..3 {
        let (height, width) = (HEIGHT >> (3 + level), WIDTH >> (3 + level));
        for place in 0..height * width {
            grid[0].push((place % width) as f32 + middle);
            grid[1].push((place / width) as f32 + middle);
            strides.push((8 << level) as f32);
        }
    }
    graph.floats("grid", &[1, 2, count], grid.concat());
    graph.floats("strides", &[1, count], strides);
    graph.step("Sub", &["grid", "to top left"], "top left", vec![]);
    graph.step("Add", &["grid", "to bottom right"], "bottom right", vec![]);
    let corners = if end_to_end {
        ["top left", "bottom right"]
    } else {
        graph.floats("two", &[], vec![2.0]);
        graph.step("Add", &["top left", "bottom right"], "sum of corners", vec![]);
        graph.step("Div", &["sum of corners", "two"], "centre", vec![]);
        graph.step("Sub", &["bottom right", "top left"], "size", vec![]);
        ["centre", "size"]
    };
    concat(&mut graph, &corners.map(str::to_owned), "corners", 1);
    graph.step("Mul", &["corners", "strides"], "boxes in pixels", vec![]);
    let parts = ["boxes in pixels".to_owned(), "probabilities".to_owned()];
    graph.input("images", &[1, 3, HEIGHT, WIDTH]);
    let names: Vec<String> = (0..CLASSES).map(|class| format!("{class}: 'name {class}'")).collect();
    graph.metadata.push(("names", format!("{{{}}}", names.join(", "))));
    graph.metadata.push(("task", "detect".into()));
    if end_to_end {
        concat(&mut graph, &parts, "candidates", 1);
        detections(&mut graph);
        graph.metadata.push(("end2end", "True".into()));
        graph.output("output0", &[1, MOST, 6]);
    } else {
        concat(&mut graph, &parts, "output0", 1);
        graph.output("output0", &[1, 4 + CLASSES, count]);
    }
    graph
}

/// The end of YOLOv10 and YOLO26: the surest places, then the surest pairs of place and class.
fn detections(graph: &mut Graph) {
    graph.step("Transpose", &["candidates"], "rows", vec![integers("perm", &[0, 2, 1])]);
    let split = vec![integer("axis", 2), integers("split", &[4, CLASSES])];
    graph.node("Split", &["rows"], &["row boxes", "row scores"], split);
    graph.integers("most", &[MOST]);
    graph.integers("classes", &[CLASSES]);
    graph.integers("repeat boxes", &[1, 1, 4]);
    graph.integers("repeat scores", &[1, 1, CLASSES]);
    graph.integers("flat", &[1, MOST * CLASSES]);
    let reduce = vec![integers("axes", &[2]), integer("keepdims", 0)];
    graph.step("ReduceMax", &["row scores"], "best", reduce);
    graph.node("TopK", &["best", "most"], &["best scores", "best places"], vec![integer("axis", 1)]);
    let unsqueeze =
        |graph: &mut Graph, from: &str, to: &str| graph.step("Unsqueeze", &[from], to, vec![integers("axes", &[2])]);
    unsqueeze(graph, "best places", "place column");
    let gather = |graph: &mut Graph, from: &str, column: &str, repeat: &str, to: &str| {
        let index = format!("{to}, index");
        graph.step("Tile", &[column, repeat], &index, vec![]);
        graph.step("GatherElements", &[from, &index], to, vec![integer("axis", 1)]);
    };
    gather(graph, "row boxes", "place column", "repeat boxes", "kept boxes");
    gather(graph, "row scores", "place column", "repeat scores", "kept scores");
    graph.step("Reshape", &["kept scores", "flat"], "flat scores", vec![]);
    graph.node("TopK", &["flat scores", "most"], &["confidence", "pairs"], vec![integer("axis", 1)]);
    graph.step("Div", &["pairs", "classes"], "pair rows", vec![]);
    graph.step("Mod", &["pairs", "classes"], "pair classes", vec![]);
    graph.step("Cast", &["pair classes"], "class ids", vec![integer("to", 1)]);
    for (from, to) in [("pair rows", "row column"), ("confidence", "confidence column"), ("class ids", "class column")]
    {
        unsqueeze(graph, from, to);
    }
    gather(graph, "kept boxes", "row column", "repeat boxes", "final boxes");
    let parts = ["final boxes", "confidence column", "class column"];
    graph.step("Concat", &parts, "output0", vec![integer("axis", 2)]);
}

/// The file's network on our operators, on each instruction set, finds what it finds whole on tract's.
fn assert_agrees(graph: Graph, layout: LayoutName, what: &str) {
    for model in agreeing(graph, what) {
        assert_eq!((model.fallback_reason(), model.layout().name()), (None, layout), "{what}");
    }
}

/// The file's network on each instruction set; each finds what it finds whole on tract's operators.
pub(crate) fn agreeing(graph: Graph, what: &str) -> Vec<Model> {
    const LEAST: f32 = 0.3;
    let file = graph.file();
    // The maps tell what the output is where its shape does not.
    let layout = Some(Model::load(file.path()).expect("load").layout().name());
    let whole = Options { own_operators: false, layout, ..Options::default() };
    let whole = Model::load_with(file.path(), &whole).expect("load");
    let output = whole.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
    let expected = output.candidates(LEAST).expect("candidates");
    assert!(expected.len() >= 10, "{what}: {}", expected.len());
    let mut models = Vec::new();
    for isa in Isa::available().filter(|isa| isa.precision() == Precision::F32) {
        let cut = Model::load_with(file.path(), &Options { isa, ..Options::default() }).expect("load");
        let output = cut.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
        let found = output.candidates(LEAST).expect("candidates");
        assert_eq!(found.len(), expected.len(), "{what} on {isa:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.class_id, expected.class_id, "{what} on {isa:?}");
            assert!((found.confidence - expected.confidence).abs() < 1e-4, "{what}: {found:?} {expected:?}");
            let iou = found.bounding_box.iou(&expected.bounding_box);
            assert!(iou > 0.999, "{what} on {isa:?}: {found:?} {expected:?}");
        }
        models.push(cut);
    }
    models
}

#[test]
fn heads_are_recognised_however_they_are_spelled() {
    let spellings = [
        TODAY,
        Spelling { softmax_last: true, ..TODAY },
        Spelling { apart: false, ..TODAY },
        Spelling { apart: false, softmax_last: true, ..TODAY },
        Spelling { bins: 1, ..TODAY },
        Spelling { bins: 9, ..TODAY },
    ];
    for spelling in spellings {
        assert_agrees(model(spelling), LayoutName::Columns, &format!("{spelling:?}"));
    }
}

#[test]
fn the_end_of_end_to_end_models_is_cut_off_too() {
    for bins in [1, 16] {
        let spelling = Spelling { bins, end_to_end: true, ..TODAY };
        assert_agrees(model(spelling), LayoutName::EndToEnd, &format!("{spelling:?}"));
    }
}

/// A head that looks like a known one but computes something else must not be decoded as that: it runs as it is.
#[test]
fn a_head_that_computes_something_else_is_run_as_it_is() {
    let file = model(Spelling { middle: 0.25, ..TODAY }).file();
    let ours = Model::load(file.path()).expect("load");
    let reason = ours.fallback_reason().expect("a reason");
    assert!(reason.contains("not a known head") && reason.contains("run on tract's"), "{reason}");
    assert!(ours.isa().is_some(), "its convolutions are ours");
    let whole = Model::load_with(file.path(), &Options { own_operators: false, ..Options::default() }).expect("load");
    let [ours, whole] = [&ours, &whole].map(|model| {
        let output = model.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
        output.candidates(0.3).expect("candidates")
    });
    assert!(ours.len() >= 10 && ours.len() == whole.len());
    for (ours, whole) in ours.iter().zip(&whole) {
        assert_eq!(ours.class_id, whole.class_id);
        assert!(ours.bounding_box.iou(&whole.bounding_box) > 0.999, "{ours:?} {whole:?}");
    }
}

/// Weights of 16 bits are computed in 32: the same detections, and no node that converts.
#[test]
fn weights_of_16_bits_are_widened() {
    assert_agrees(of_16_bits(model(TODAY)), LayoutName::Columns, "fp16");
}

/// As a converter leaves it: 16 bits inside, 32 at both ends.
pub(crate) fn of_16_bits(mut graph: Graph) -> Graph {
    for tensor in graph.proto.initializer.iter_mut().filter(|tensor| tensor.data_type == 1) {
        let halves = std::mem::take(&mut tensor.float_data).into_iter();
        let halves = halves.map(|value| tract_onnx::tract_core::internal::f16::from_f32(value).to_bits());
        tensor.raw_data = halves.flat_map(u16::to_le_bytes).collect();
        tensor.data_type = 10;
    }
    graph.proto.node[0].input[0] = "halves".into();
    for node in &mut graph.proto.node {
        node.name = format!("node of {}", node.name);
        for output in node.output.iter_mut().filter(|output| *output == "output0") {
            *output = "half output".into();
        }
    }
    graph.step("Cast", &["half output"], "output0", vec![integer("to", 1)]);
    graph.node("Cast", &["images"], &["halves"], vec![integer("to", 10)]);
    graph.proto.node.rotate_right(1);
    graph
}
