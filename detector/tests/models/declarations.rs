//! What a file says of itself is believed or refused, never guessed: tiny networks that answer the same for every image.

use std::io::Write;
use std::path::Path;

use detector::{BoundingBox, Detector, LayoutName, LoadError, Model, Options, RgbImage, Thresholds};
use image::Rgb;
use tract_onnx::pb::StringStringEntryProto;

use crate::graph::{Graph, Random, integers, value};

/// Width and height of the input; there are 84 places in its maps.
const SIDE: usize = 64;
const PLACES: usize = 84;
const SIX_NAMES: &str = "{0: 'cat', 1: 'dog', 2: 'cow', 3: 'fox', 4: 'owl', 5: 'bee'}";

/// A graph whose output is `values`, and what the image's mean times `share` adds to them.
fn constant(values: Vec<f32>, dims: &[usize], share: f32) -> Graph {
    let mut graph = Graph::default();
    graph.floats("values", dims, values);
    graph.floats("share", &[], vec![share]);
    graph.step("GlobalAveragePool", &["images"], "mean of each", vec![]);
    graph.node("ReduceMean", &["mean of each"], &["mean"], vec![integers("axes", &[0, 1, 2, 3]), keep_no_axes()]);
    graph.step("Mul", &["mean", "share"], "part", vec![]);
    graph.step("Add", &["values", "part"], "output0", vec![]);
    graph.input("images", &[1, 3, SIDE, SIDE]);
    graph.output("output0", dims);
    graph
}

fn keep_no_axes() -> tract_onnx::pb::AttributeProto {
    crate::graph::integer("keepdims", 0)
}

/// Columns with one box of class 3, from 8, 8 to 40, 56.
fn columns(classes: usize) -> Graph {
    let mut values = vec![0.0; (4 + classes) * PLACES];
    for (row, value) in [24.0, 32.0, 32.0, 48.0].into_iter().enumerate() {
        values[row * PLACES + 5] = value;
    }
    values[(4 + 3.min(classes - 1)) * PLACES + 5] = 0.9;
    constant(values, &[1, 4 + classes, PLACES], 0.0)
}

/// Rows of so many values, one of them as given.
fn rows(boxes: usize, row: &[f32]) -> Graph {
    let mut values = vec![0.0; boxes * row.len()];
    values[7 * row.len()..8 * row.len()].copy_from_slice(row);
    constant(values, &[1, boxes, row.len()], 0.0)
}

fn saying(mut graph: Graph, metadata: &[(&'static str, &str)]) -> Graph {
    graph.metadata.extend(metadata.iter().map(|&(key, value)| (key, value.to_owned())));
    graph
}

fn load(graph: Graph) -> Result<Detector, LoadError> {
    Detector::load(graph.file().path(), Thresholds::default())
}

/// Class, confidence and place of all that it finds in an image of this brightness.
fn found(detector: &Detector, brightness: u8) -> Vec<(String, f32, BoundingBox)> {
    let image = RgbImage::from_pixel(SIDE as u32, SIDE as u32, Rgb([brightness; 3]));
    let found = detector.detect(&image).expect("detect").into_iter();
    found.map(|found| (found.class.to_string(), found.confidence, found.bounding_box)).collect()
}

#[track_caller]
fn assert_finds(graph: Graph, class: &str) {
    let detector = load(graph).expect("load");
    let bounding_box = BoundingBox { left: 8.0, top: 8.0, right: 40.0, bottom: 56.0 };
    assert_eq!(found(&detector, 90), [(class.to_owned(), 0.9, bounding_box)]);
}

#[track_caller]
fn assert_refused(graph: Graph, parts: &[&str]) {
    let said = load(graph).expect_err("refused").to_string();
    for part in parts {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn every_layout_is_told_by_the_file() {
    let names = [("names", SIX_NAMES), ("task", "detect")];
    assert_finds(saying(columns(6), &names), "fox");
    let mut row = vec![24.0, 32.0, 32.0, 48.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0];
    assert_finds(saying(rows(PLACES, &row), &names), "fox");
    row.insert(4, 1.0);
    assert_finds(saying(rows(3 * PLACES, &row), &names), "fox");
    assert_finds(rows(3 * PLACES, &row), "class 3");
    // One class, in both ways.
    assert_finds(saying(rows(3 * PLACES, &[24.0, 32.0, 32.0, 48.0, 1.0, 0.9]), &[("names", "{0: 'cat'}")]), "cat");
    assert_finds(saying(columns(1), &[("names", "['cat']")]), "cat");
    // As many values as places.
    assert_finds(saying(columns(80), &[("task", "detect")]), "motorcycle");
    assert_refused(columns(80), &["columns or rows", "MODEL_LAYOUT"]);
    // More classes than places.
    assert_finds(columns(1203), "class 3");
}

#[test]
fn an_output_that_could_be_two_things_is_what_is_asked_for() {
    let file = columns(80).file();
    let options = Options { layout: Some(LayoutName::Columns), ..Options::default() };
    let detector = Detector::load_with(file.path(), Thresholds::default(), &options).expect("load");
    assert_eq!(found(&detector, 90)[0].0, "motorcycle");
    let options = Options { layout: Some(LayoutName::EndToEnd), ..Options::default() };
    let said = Detector::load_with(file.path(), Thresholds::default(), &options).expect_err("no rows of 6").to_string();
    assert!(said.contains("not end-to-end"), "{said}");
}

#[test]
fn detections_are_taken_as_they_are() {
    let row = [8.0, 8.0, 40.0, 56.0, 0.9, 3.0];
    assert_finds(rows(300, &row), "class 3");
    assert_finds(saying(rows(300, &row), &[("names", SIX_NAMES), ("end2end", "True")]), "fox");
    let nms = [("names", SIX_NAMES), ("args", "{'nms': True}")];
    assert_finds(saying(rows(PLACES, &row), &nms), "fox");
    // Two that overlap are two.
    let twice = constant([row, [8.0, 8.0, 40.0, 56.0, 0.8, 3.0], [0.0; 6]].concat(), &[1, 3, 6], 0.0);
    assert_eq!(found(&load(twice).expect("load"), 90).len(), 2);
}

#[test]
fn classes_without_a_name_are_named_by_their_number() {
    assert_finds(saying(columns(6), &[("task", "detect"), ("names", "{0: 'cat', 5: 'bee'}")]), "class 3");
    assert_finds(saying(columns(6), &[("names", "{1: 'a', 2: 'b', 3: 'c', 4: 'd', 5: 'e', 6: 'f'}")]), "d");
    let family = r"{0: '', 1: '', 2: '', 3: '\U0001f468\u200d\U0001f469\xa0x\ty', 4: '', 5: ''}";
    assert_finds(saying(columns(6), &[("names", family)]), "\u{1f468}\u{200d}\u{1f469}\u{a0}x\ty");
}

#[test]
fn what_is_no_detector_is_refused_by_name() {
    for task in ["segment", "pose", "obb", "classify"] {
        assert_refused(saying(columns(6), &[("task", task)]), &[task, "export"]);
    }
    let mut two = columns(38);
    two.floats("masks", &[1, 32, 16, 16], vec![0.0; 32 * 16 * 16]);
    two.step("Add", &["masks", "part"], "output1", vec![]);
    two.output("output1", &[1, 32, 16, 16]);
    assert_refused(two, &["2 outputs", "segmentation", "export"]);
    assert_refused(saying(columns(38), &[("names", SIX_NAMES)]), &["segmentation"]);
    assert_refused(saying(columns(7), &[("names", SIX_NAMES)]), &["oriented"]);
    let detr: Vec<f32> =
        [0.5, 0.5, 0.4, 0.6].into_iter().chain((0..70).map(|class| 0.9 / (1 + class) as f32)).collect();
    assert_refused(rows(300, &detr), &["RT-DETR"]);
    assert_refused(constant(vec![0.1; 1000], &[1, 1000], 0.0), &["[1, 1000]", "export"]);
}

/// Models that are refused: what, and one of each.
pub(crate) fn refused() -> Vec<(&'static str, Graph)> {
    let mut two_outputs = columns(38);
    two_outputs.floats("masks", &[1, 32, 16, 16], vec![0.0; 32 * 16 * 16]);
    two_outputs.step("Add", &["masks", "part"], "output1", vec![]);
    two_outputs.output("output1", &[1, 32, 16, 16]);
    let declaring = |dims: &[usize]| {
        let mut graph = columns(6);
        graph.proto.input = vec![value("images", 1, dims)];
        graph
    };
    let raw: Vec<f32> = Random(5).values(PLACES * 11, 1.0).iter().map(|value| value.abs()).collect();
    let yolox = saying(constant(raw, &[1, PLACES, 11], 0.0), &[("names", SIX_NAMES)]);
    vec![
        ("segmentation by Ultralytics", saying(columns(6), &[("task", "segment")])),
        ("any other segmentation", two_outputs),
        ("poses", saying(columns(6), &[("task", "pose")])),
        ("oriented boxes", saying(columns(7), &[("names", SIX_NAMES)])),
        ("classification", constant(vec![0.1; 1000], &[1, 1000], 0.0)),
        ("RT-DETR", rows(300, &[0.5; 84])),
        ("YOLOX that is not decoded", yolox),
        ("several images at once", declaring(&[2, 3, SIDE, SIDE])),
        ("grey images", declaring(&[1, 1, SIDE, SIDE])),
        ("as many classes as places, and nothing that tells", columns(80)),
    ]
}

#[test]
fn numbers_that_are_no_probabilities_or_no_pixels_are_refused() {
    let mut random = Random(5);
    let mut logits = random.values(10 * PLACES, 6.0);
    logits[..4 * PLACES].fill(30.0);
    assert_refused(constant(logits, &[1, 10, PLACES], 0.0), &["not probabilities"]);
    // YOLOX as it is exported unless told otherwise.
    let raw: Vec<f32> = random.values(PLACES * 11, 2.0).iter().map(|value| value.abs().min(1.0)).collect();
    let yolox = saying(constant(raw, &[1, PLACES, 11], 0.0), &[("names", SIX_NAMES)]);
    assert_refused(yolox, &["YOLOX", "pixels"]);
    // Only on other images than the one it was tried on.
    let mut row = vec![24.0, 32.0, 32.0, 48.0];
    row.extend([0.1; 6]);
    let values = row.iter().flat_map(|&value| vec![value; PLACES]).collect();
    let detector = load(constant(values, &[1, 10, PLACES], 1.6)).expect("load");
    let image = RgbImage::from_pixel(SIDE as u32, SIDE as u32, Rgb([255; 3]));
    let said = detector.detect(&image).expect_err("no probability").to_string();
    assert!(said.contains("not a probability"), "{said}");
}

#[test]
fn the_input_is_given_as_it_is_declared() {
    let declared = |elem_type: i32, dims: &[usize]| {
        // The score is the mean of the red channel.
        let mut graph = Graph::default();
        let mut values = vec![0.0; 10 * PLACES];
        for (row, value) in [24.0, 32.0, 32.0, 48.0].into_iter().enumerate() {
            values[row * PLACES + 5] = value;
        }
        let mut share = vec![0.0; 10 * PLACES];
        share[7 * PLACES + 5] = 1.0;
        graph.floats("values", &[1, 10, PLACES], values);
        graph.floats("share", &[1, 10, PLACES], share);
        let mut last = "images".to_owned();
        if elem_type == 2 {
            graph.floats("255", &[], vec![255.0]);
            graph.step("Cast", &["images"], "numbers", vec![crate::graph::integer("to", 1)]);
            last = graph.step("Div", &["numbers", "255"], "parts", vec![]);
        }
        if dims[3] == 3 {
            last = graph.step("Transpose", &[&last], "planes", vec![integers("perm", &[0, 3, 1, 2])]);
        }
        graph.floats("red", &[1, 3, 1, 1], vec![1.0, 0.0, 0.0]);
        graph.node("Conv", &[&last, "red"], &["red plane"], vec![integers("kernel_shape", &[1, 1])]);
        graph.node("ReduceMean", &["red plane"], &["mean"], vec![integers("axes", &[0, 1, 2, 3]), keep_no_axes()]);
        graph.step("Mul", &["mean", "share"], "part", vec![]);
        graph.step("Add", &["values", "part"], "output0", vec![]);
        graph.proto.input.push(value("images", elem_type, dims));
        graph.output("output0", &[1, 10, PLACES]);
        graph
    };
    let image = RgbImage::from_fn(64, 64, |x, _| Rgb([if x < 32 { 255 } else { 51 }, 0, 255]));
    for (elem_type, dims) in [
        (1, [1, 3, 64, 64]),
        (2, [1, 3, 64, 64]),
        (1, [1, 64, 64, 3]),
        (2, [1, 64, 64, 3]),
        (10, [1, 3, 64, 64]),
        (16, [1, 3, 64, 64]),
        (1, [0, 3, 64, 64]),
    ] {
        let detector = load(declared(elem_type, &dims)).expect("load");
        let found = detector.detect(&image).expect("detect");
        assert_eq!(found.len(), 1, "{elem_type} {dims:?}");
        assert!((found[0].confidence - 0.6).abs() < 1e-4, "{elem_type} {dims:?}: {found:?}");
    }
    let declaring = |dims: &[usize]| {
        let mut graph = columns(6);
        graph.proto.input = vec![value("images", 1, dims)];
        graph
    };
    assert_refused(declaring(&[2, 3, 64, 64]), &["2 images at once", "batch=1"]);
    assert_refused(declaring(&[1, 1, 64, 64]), &["[1,1,64,64]", "RGB"]);
    assert_refused(declaring(&[1, 3, 64]), &["[1,3,64]", "height"]);
    assert_refused(declaring(&[1, 3, 30_000, 30_000]), &["pixels", "imgsz"]);
    let mut two = columns(6);
    two.input("scale", &[1]);
    assert_refused(two, &["2 inputs (images, scale)"]);
    let mut of_integers = columns(6);
    of_integers.proto.input = vec![value("images", 7, &[1, 3, 64, 64])];
    assert_refused(of_integers, &["Int64"]);
}

/// Open sides are as large as the metadata say; shapes that name open sides do not matter.
#[test]
fn open_sides_are_bound() {
    let mut graph = saying(columns(6), &[("imgsz", "[64, 64]"), ("names", SIX_NAMES)]);
    graph.proto.input = vec![value("images", 1, &[0, 3, 0, 0])];
    graph.proto.output = vec![value("output0", 1, &[0, 10, 0])];
    graph.proto.value_info = vec![value("part", 1, &[0, 0]), value("mean of each", 1, &[0, 3, 1, 1])];
    assert_finds(graph, "fox");
    // Maps of a size that no YOLO has; but the names fit.
    let mut graph = saying(columns(6), &[("imgsz", "[320, 320]"), ("names", SIX_NAMES), ("task", "detect")]);
    graph.proto.input = vec![value("images", 1, &[0, 3, 0, 0])];
    assert_eq!(load(graph).expect("load").model().expect("a model").input_size(), (320, 320));
    let mut graph = columns(6);
    graph.proto.input = vec![value("images", 1, &[0, 3, 0, 0])];
    // At 640 x 640, which is what it is without a word, there would be 8400 places.
    assert_refused(graph, &["640x640"]);
}

#[test]
fn weights_beside_the_file_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let external = |location: &str| {
        let mut graph = saying(columns(6), &[("names", SIX_NAMES)]);
        let tensor = graph.proto.initializer.iter_mut().find(|tensor| tensor.name == "values").expect("values");
        let values = std::mem::take(&mut tensor.float_data);
        tensor.data_location = Some(1);
        tensor.external_data = [("location", location), ("offset", "4"), ("length", &(4 * values.len()).to_string())]
            .map(|(key, value)| StringStringEntryProto { key: key.into(), value: value.into() })
            .to_vec();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, graph.bytes()).expect("written");
        (path, values)
    };
    let (path, values) = external("weights.data");
    let mut file = std::fs::File::create(folder.path().join("weights.data")).expect("a file");
    file.write_all(&[9; 4]).expect("written");
    for value in &values {
        file.write_all(&value.to_le_bytes()).expect("written");
    }
    let detector = Detector::load(&path, Thresholds::default()).expect("load");
    assert_eq!(found(&detector, 90)[0].0, "fox");
    file.set_len(100).expect("shortened");
    for (location, part) in [("weights.data", "not all"), ("none.data", "none.data"), ("../weights.data", "outside")] {
        let (path, _) = external(location);
        let said = Detector::load(&path, Thresholds::default()).expect_err("refused").to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn damaged_files_are_refused() {
    let bytes = columns(6).bytes();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("damaged.onnx");
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).expect("written");
        let said = Detector::load(&path, Thresholds::default()).expect_err("refused").to_string();
        assert!(said.contains("damaged.onnx"), "{said}");
    }
}

/// Of every file that is a little damaged something is made, or something is said.
#[test]
fn no_damage_ends_the_program() {
    let graph = || {
        let mut graph = columns(1);
        // Mostly structure, so that it is what is damaged.
        let values = &mut graph.proto.initializer[0];
        (values.raw_data, values.float_data) =
            (values.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(), vec![]);
        graph
    };
    let bytes = saying(graph(), &[("names", "{0: 'cat'}"), ("imgsz", "[64, 64]")]).bytes();
    let mut random = Random(9);
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + (random.value().abs() * 4.0) as usize {
            let at = (random.value().abs() * damaged.len() as f32) as usize % damaged.len();
            damaged[at] = (random.value().abs() * 256.0) as u8;
        }
        if let Err(error) = Model::of_bytes(Path::new("damaged.onnx"), &damaged, &Options::default()) {
            assert!(error.to_string().contains("damaged.onnx"), "{error}");
        }
    }
}
