//! Heads that end in rows with objectness: YOLOv5 up to 6.1, YOLOv6, YOLOv7 and YOLOX, each as its exporter spells it.

use crate::graph::{Graph, Random, integer, integers};
use crate::heads::{CLASSES, HEIGHT, WIDTH};

const CHANNELS: usize = 16;
/// Width and height of each level's anchors, in input pixels.
const ANCHORS: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];

/// Whose head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowHead {
    V5Until61,
    V6,
    /// With distances in so many bins.
    V6InBins,
    V7,
    Yolox,
}

fn size(level: usize) -> [usize; 2] {
    [HEIGHT >> (3 + level), WIDTH >> (3 + level)]
}

/// x and y of each place of a level, and this added.
fn places(level: usize, offset: f32) -> Vec<f32> {
    let [height, width] = size(level);
    (0..height * width).flat_map(|place| [(place % width) as f32 + offset, (place / width) as f32 + offset]).collect()
}

/// A network with this head.
pub(crate) fn model(head: RowHead) -> Graph {
    let mut random = Random(17);
    let mut graph = Graph::default();
    graph.convolution(&mut random, "images", "stem", [3, CHANNELS, 4]);
    let mut input = "stem".to_owned();
    let mut maps = Vec::new();
    for level in 0..3 {
        let map = format!("map {level}");
        graph.convolution(&mut random, &input, &map, [CHANNELS, CHANNELS, 2]);
        maps.push(map.clone());
        input = map;
    }
    for (name, value) in [("0.5", 0.5), ("2", 2.0)] {
        graph.floats(name, &[], vec![value]);
    }
    match head {
        RowHead::V5Until61 | RowHead::V7 => with_anchors(&mut graph, &mut random, &maps, head),
        RowHead::V6 => v6(&mut graph, &mut random, &maps, 1),
        RowHead::V6InBins => v6(&mut graph, &mut random, &maps, 17),
        RowHead::Yolox => yolox(&mut graph, &mut random, &maps),
    }
    let anchors = if matches!(head, RowHead::V5Until61 | RowHead::V7) { 3 } else { 1 };
    let boxes = (0..3).map(|level| size(level).into_iter().product::<usize>() * anchors).sum();
    graph.input("images", &[1, 3, HEIGHT, WIDTH]);
    graph.output("output0", &[1, boxes, 5 + CLASSES]);
    graph
}

fn concat(graph: &mut Graph, parts: &[String], output: &str, axis: usize) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.step("Concat", &parts, output, vec![integer("axis", axis)])
}

/// YOLOv5 6.1 with slices, a place for all anchors and anchors for all places; YOLOv7 with products multiplied out.
fn with_anchors(graph: &mut Graph, random: &mut Random, maps: &[String], head: RowHead) {
    let values = 5 + CLASSES;
    graph.shape("rows", &[1, -1, values as i64]);
    let mut rows = Vec::new();
    for (level, map) in maps.iter().enumerate() {
        let ([height, width], stride) = (size(level), (8 << level) as f32);
        let name = |part: &str| format!("{part} {level}");
        graph.convolution(random, map, &name("logits"), [CHANNELS, 3 * values, 1]);
        graph.integers(&name("split up"), &[1, 3, values, height, width]);
        graph.step("Reshape", &[&name("logits"), &name("split up")], &name("parts"), vec![]);
        graph.step("Transpose", &[&name("parts")], &name("last"), vec![integers("perm", &[0, 1, 3, 4, 2])]);
        graph.step("Sigmoid", &[&name("last")], &name("y"), vec![]);
        let (y, anchors) = (name("y"), ANCHORS[level].concat());
        let [centre, sides, scores] = ["centre", "sides", "scores"].map(name);
        if head == RowHead::V7 {
            let split = vec![integer("axis", 4), integers("split", &[2, 2, 1 + CLASSES])];
            graph.node("Split", &[&y], &[&name("xy"), &name("wh"), &scores], split);
            graph.floats(&name("twice stride"), &[], vec![2.0 * stride]);
            let moved = places(level, -0.5).into_iter().map(|place| place * stride).collect();
            graph.floats(&name("moved grid"), &[1, 1, height, width, 2], moved);
            graph.floats(&name("4 anchors"), &[1, 3, 1, 1, 2], anchors.into_iter().map(|side| 4.0 * side).collect());
            graph.step("Mul", &[&name("xy"), &name("twice stride")], &name("xy times"), vec![]);
            graph.step("Add", &[&name("xy times"), &name("moved grid")], &centre, vec![]);
            graph.step("Pow", &[&name("wh"), "2"], &name("wh squared"), vec![]);
            graph.step("Mul", &[&name("wh squared"), &name("4 anchors")], &sides, vec![]);
        } else {
            for (part, from, to) in [("xy", 0, 2), ("wh", 2, 4), ("scores", 4, i64::MAX)] {
                let bounds = [("from", from), ("to", to), ("axis", 4), ("step", 1)];
                let bounds = bounds.map(|(bound, value)| {
                    let name = name(&format!("{part} {bound}"));
                    graph.shape(&name, &[value]);
                    name
                });
                let [from, to, axis, step] = &bounds;
                graph.step("Slice", &[&y, from, to, axis, step], &name(part), vec![]);
            }
            graph.floats(&name("stride"), &[], vec![stride]);
            graph.floats(&name("grid"), &[1, 1, height, width, 2], places(level, 0.0));
            graph.floats(&name("anchors"), &[1, 3, 1, 1, 2], anchors);
            graph.step("Mul", &[&name("xy"), "2"], &name("xy doubled"), vec![]);
            graph.step("Sub", &[&name("xy doubled"), "0.5"], &name("xy moved"), vec![]);
            graph.step("Add", &[&name("xy moved"), &name("grid")], &name("xy placed"), vec![]);
            graph.step("Mul", &[&name("xy placed"), &name("stride")], &centre, vec![]);
            graph.step("Mul", &[&name("wh"), "2"], &name("wh doubled"), vec![]);
            graph.step("Pow", &[&name("wh doubled"), "2"], &name("wh squared"), vec![]);
            graph.step("Mul", &[&name("wh squared"), &name("anchors")], &sides, vec![]);
        }
        let boxes = concat(graph, &[centre, sides, scores], &name("boxes"), 4);
        rows.push(graph.step("Reshape", &[&boxes, "rows"], &name("rows"), vec![]));
    }
    concat(graph, &rows, "output0", 1);
}

/// Distances to the edges, and an objectness that is always 1.
fn v6(graph: &mut Graph, random: &mut Random, maps: &[String], bins: usize) {
    graph.shape("flat boxes", &[1, 4, -1]);
    graph.shape("flat bins", &[1, 4, bins as i64, -1]);
    graph.shape("flat classes", &[1, CLASSES as i64, -1]);
    graph.floats("bins", &[1, bins, 1, 1], (0..bins).map(|bin| bin as f32).collect());
    let (mut boxes, mut scores, mut grid, mut strides) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (level, map) in maps.iter().enumerate() {
        let name = |part: &str| format!("{part} {level}");
        graph.convolution(random, map, &name("class"), [CHANNELS, CLASSES, 1]);
        graph.convolution(random, map, &name("box"), [CHANNELS, 4 * bins, 1]);
        graph.step("Sigmoid", &[&name("class")], &name("score"), vec![]);
        scores.push(graph.step("Reshape", &[&name("score"), "flat classes"], &name("flat score"), vec![]));
        let mut last = name("box");
        if bins > 1 {
            graph.step("Reshape", &[&last, "flat bins"], &name("by edge"), vec![]);
            graph.step("Transpose", &[&name("by edge")], &name("by bin"), vec![integers("perm", &[0, 2, 1, 3])]);
            graph.step("Exp", &[&name("by bin")], &name("powers"), vec![]);
            graph.step("ReduceSum", &[&name("powers")], &name("sum"), vec![integers("axes", &[1])]);
            graph.step("Div", &[&name("powers"), &name("sum")], &name("weights"), vec![]);
            graph.node("Conv", &[&name("weights"), "bins"], &[&name("mean")], vec![integers("kernel_shape", &[1, 1])]);
            last = name("mean");
        } else {
            // Distances as they are: such as give boxes.
            let bias = graph.proto.initializer.iter_mut().find(|tensor| tensor.name == format!("box {level}.bias"));
            bias.expect("a bias").float_data.fill(20.0);
        }
        boxes.push(graph.step("Reshape", &[&last, "flat boxes"], &name("flat box"), vec![]));
        let middles = places(level, 0.5);
        strides.extend(vec![(8 << level) as f32; middles.len() / 2]);
        grid.extend(middles);
    }
    let count = strides.len();
    graph.floats("grid", &[1, count, 2], grid);
    graph.floats("strides", &[count, 1], strides);
    graph.floats("ones", &[1, count, 1], vec![1.0; count]);
    let transposed = |graph: &mut Graph, parts: &[String], name: &str| {
        let joined = concat(graph, parts, &format!("all {name}"), 2);
        graph.step("Transpose", &[&joined], name, vec![integers("perm", &[0, 2, 1])])
    };
    transposed(graph, &scores, "scores");
    transposed(graph, &boxes, "distances");
    graph.node("Split", &["distances"], &["lt", "rb"], vec![integer("axis", 2), integers("split", &[2, 2])]);
    graph.step("Sub", &["grid", "lt"], "top left", vec![]);
    graph.step("Add", &["grid", "rb"], "bottom right", vec![]);
    graph.step("Add", &["top left", "bottom right"], "sum", vec![]);
    graph.step("Div", &["sum", "2"], "centre", vec![]);
    graph.step("Sub", &["bottom right", "top left"], "sides", vec![]);
    concat(graph, &["centre", "sides"].map(str::to_owned), "box", 2);
    graph.step("Mul", &["box", "strides"], "pixels", vec![]);
    concat(graph, &["pixels", "ones", "scores"].map(str::to_owned), "output0", 2);
}

/// As `--decode_in_inference` exports it.
fn yolox(graph: &mut Graph, random: &mut Random, maps: &[String]) {
    graph.shape("flat", &[1, 5 + CLASSES as i64, -1]);
    let (mut levels, mut grid, mut strides) = (Vec::new(), Vec::new(), Vec::new());
    for (level, map) in maps.iter().enumerate() {
        let name = |part: &str| format!("{part} {level}");
        for (part, channels) in [("class", CLASSES), ("box", 4), ("object", 1)] {
            graph.convolution(random, map, &name(part), [CHANNELS, channels, 1]);
        }
        graph.step("Sigmoid", &[&name("class")], &name("scores"), vec![]);
        graph.step("Sigmoid", &[&name("object")], &name("objectness"), vec![]);
        let joined = concat(graph, &["box", "objectness", "scores"].map(name), &name("joined"), 1);
        levels.push(graph.step("Reshape", &[&joined, "flat"], &name("level"), vec![]));
        let corners = places(level, 0.0);
        strides.extend(vec![(8 << level) as f32; corners.len() / 2]);
        grid.extend(corners);
    }
    let count = strides.len();
    graph.floats("grid", &[1, count, 2], grid);
    graph.floats("strides", &[1, count, 1], strides);
    let joined = concat(graph, &levels, "all", 2);
    graph.step("Transpose", &[&joined], "all rows", vec![integers("perm", &[0, 2, 1])]);
    let split = vec![integer("axis", 2), integers("split", &[2, 2, 1 + CLASSES])];
    graph.node("Split", &["all rows"], &["xy", "wh", "scores"], split);
    graph.step("Add", &["xy", "grid"], "placed", vec![]);
    graph.step("Mul", &["placed", "strides"], "centre", vec![]);
    graph.step("Exp", &["wh"], "powers", vec![]);
    graph.step("Mul", &["powers", "strides"], "sides", vec![]);
    concat(graph, &["centre", "sides", "scores"].map(str::to_owned), "output0", 2);
}
