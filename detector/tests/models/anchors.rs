//! YOLOv5's head, cut off and decoded in Rust, against the same graph run whole on tract's operators.
//!
//! The model is made here, as Ultralytics' exporter writes it: a few convolutions and the head of YOLOv5.

use crate::graph::{Graph, Random, image, integer, integers};
use detector::{Isa, Model, Options, Precision};

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

/// One level of the head: raw logits to rows of boxes in input pixels. `offset` is -0.5 in YOLOv5.
fn level(graph: &mut Graph, map: &str, level: usize, offset: f32) -> String {
    let stride = 8 << level;
    let (height, width) = (HEIGHT / stride, WIDTH / stride);
    let outputs = 5 + CLASSES;
    let name = |part: &str| format!("level {level}, {part}");
    graph.integers(&name("split up"), &[1, 3, outputs, height, width]);
    graph.integers(&name("rows"), &[1, 3 * height * width, outputs]);
    let places = (0..3 * height * width).flat_map(|i| {
        let pixel = i % (height * width);
        [(pixel % width) as f32 + offset, (pixel / width) as f32 + offset]
    });
    graph.floats(&name("places"), &[1, 3, height, width, 2], places.collect());
    let sizes = (0..3 * height * width).flat_map(|i| ANCHORS[level][i / (height * width)]);
    graph.floats(&name("anchors"), &[1, 3, height, width, 2], sizes.collect());
    graph.floats(&name("stride"), &[], vec![stride as f32]);
    let two = name("two");
    graph.floats(&two, &[], vec![2.0]);

    let parts = graph.step("Reshape", &[map, &name("split up")], &name("parts"), vec![]);
    let last = graph.step("Transpose", &[&parts], &name("channels last"), vec![integers("perm", &[0, 1, 3, 4, 2])]);
    let sigmoid = graph.step("Sigmoid", &[&last], &name("sigmoid"), vec![]);
    let [centre, size, scores] = ["centre", "size", "scores"].map(name);
    let split = vec![integer("axis", 4), integers("split", &[2, 2, 1 + CLASSES])];
    graph.node("Split", &[&sigmoid], &[&centre, &size, &scores], split);
    let doubled = graph.step("Mul", &[&centre, &two], &name("doubled centre"), vec![]);
    let placed = graph.step("Add", &[&doubled, &name("places")], &name("placed centre"), vec![]);
    let centre = graph.step("Mul", &[&placed, &name("stride")], &name("centre in pixels"), vec![]);
    let doubled = graph.step("Mul", &[&size, &two], &name("doubled size"), vec![]);
    let squared = graph.step("Pow", &[&doubled, &two], &name("squared size"), vec![]);
    let size = graph.step("Mul", &[&squared, &name("anchors")], &name("size in pixels"), vec![]);
    let boxes = graph.step("Concat", &[&centre, &size, &scores], &name("boxes"), vec![integer("axis", 4)]);
    graph.step("Reshape", &[&boxes, &name("rows")], &name("output"), vec![])
}

/// Rows of the output.
fn boxes() -> usize {
    (0..3).map(|level| 3 * (HEIGHT >> (3 + level)) * (WIDTH >> (3 + level))).sum()
}

/// The network, for images of [`WIDTH`] x [`HEIGHT`].
pub(crate) fn model(offset: f32) -> Graph {
    let mut random = Random(7);
    let mut graph = Graph::default();
    graph.convolution(&mut random, "images", "stem", [3, CHANNELS, 4]);
    let mut rows = Vec::new();
    let mut input = "stem".to_owned();
    for level in 0..3 {
        let (map, logits) = (format!("map {level}"), format!("logits {level}"));
        graph.convolution(&mut random, &input, &map, [CHANNELS, CHANNELS, 2]);
        graph.convolution(&mut random, &map, &logits, [CHANNELS, 3 * (5 + CLASSES), 1]);
        rows.push(self::level(&mut graph, &logits, level, offset));
        input = map;
    }
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    graph.node("Concat", &rows, &["output0"], vec![integer("axis", 1)]);
    graph.input("images", &[1, 3, HEIGHT, WIDTH]);
    graph.output("output0", &[1, boxes(), 5 + CLASSES]);
    graph
}

#[test]
fn the_cut_head_agrees_with_the_whole_graph_on_tracts_operators() {
    const LEAST: f32 = 0.2;
    let file = model(-0.5).file();
    let whole = Options { own_operators: false, ..Options::default() };
    let whole = Model::load_with(file.path(), &whole).expect("load");
    let output = whole.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
    let expected = output.candidates(LEAST).expect("candidates");
    // Of every size that an anchor makes, and not simply all there are.
    assert!((20..boxes() - 20).contains(&expected.len()), "{}", expected.len());
    for isa in Isa::available().filter(|isa| isa.precision() == Precision::F32) {
        let cut = Model::load_with(file.path(), &Options { isa, ..Options::default() }).expect("load");
        assert_eq!(cut.fallback_reason(), None);
        let output = cut.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
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
    let file = model(0.0).file();
    let model = Model::load(file.path()).expect("load");
    assert!(model.fallback_reason().is_some());
    // Its convolutions are not.
    assert!(model.isa().is_some());
    let output = model.run(image(WIDTH, HEIGHT), WIDTH as u32, HEIGHT as u32).expect("run");
    assert!(!output.candidates(0.2).expect("candidates").is_empty());
}
