//! The detector agrees with ONNX Runtime on real photos, with the real model.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use detector::reference::{Limits, Reference};
use detector::{
    Detection, Detector, Isa, Layout, Options, Precision, RgbImage, Thresholds, decode, letterbox, nms, photo,
};

fn photos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/photos")
}

fn photo(name: &str) -> RgbImage {
    let bytes = std::fs::read(photos().join(name)).expect("photo");
    photo::decode(&bytes, &photo::Limits::default()).expect("decode")
}

fn model() -> PathBuf {
    models::locate(models::DEFAULT, &|step| eprintln!("{step}")).expect("model")
}

static DETECTOR: LazyLock<Detector> = LazyLock::new(|| load(&Options::default()));

/// Of what is at least this sure, the detector finds what the reference has, each with at least this IoU and at most this
/// difference in confidence.
fn assert_agrees(detector: &Detector, least_confidence: f32, least_iou: f32, most_difference: f32) {
    let limits = Limits { least_iou, most_difference, least_confidence };
    let reference = Reference::read(&photos().join("yolo12n.json")).expect("reference");
    assert!(!reference.images.is_empty());
    for (name, expected) in &reference.images {
        let image = photo(name);
        let found = detector.detect(&image).expect("detect");
        assert_eq!(
            expected.differences(&found, image.dimensions(), &limits),
            Vec::<String>::new(),
            "{name}: {found:?}"
        );
    }
}

fn load(options: &Options) -> Detector {
    Detector::load_with(&model(), Thresholds::default(), options).expect("load")
}

#[test]
fn agrees_with_the_reference() {
    assert_agrees(&DETECTOR, 0.0, 0.95, 0.02);
}

/// With the limits that bf16 may have.
#[test]
fn agrees_with_the_reference_in_bf16() {
    for isa in Isa::available().filter(|isa| isa.precision() == Precision::Bf16) {
        let detector = load(&Options { isa, ..Options::default() });
        assert_eq!(detector.model().expect("a model").fallback_reason(), None);
        assert_agrees(&detector, 0.0, 0.9, 0.05);
    }
}

/// The network sees other grey around the photo, so it is not quite as sure or unsure: a cat is at 0.76 instead of 0.81, a
/// bottle at 0.252 is below the threshold.
#[test]
fn agrees_with_the_reference_with_rectangular_input() {
    let detector = load(&Options { rectangular: true, ..Options::default() });
    let model = detector.model().expect("a model");
    assert_eq!(model.input_size_for(1280, 720), (640, 384));
    assert_agrees(&detector, 0.3, 0.9, 0.06);
}

/// All of the graph on tract's own operators, its last part included.
static UNCUT: LazyLock<Detector> = LazyLock::new(|| load(&Options { own_operators: false, ..Options::default() }));

/// The two lists hold the same objects, up to the noise of sums in another order.
fn assert_same(found: &[Detection], expected: &[Detection], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:?} {expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.class_id, expected.class_id, "{what}");
        assert!((found.confidence - expected.confidence).abs() < 1e-3, "{what}: {found:?} {expected:?}");
        assert!(found.bounding_box.iou(&expected.bounding_box) > 0.999, "{what}: {found:?} {expected:?}");
    }
}

#[test]
fn the_default_model_runs_on_our_operators() {
    assert_eq!(DETECTOR.model().expect("a model").fallback_reason(), None);
    assert!(UNCUT.model().expect("a model").fallback_reason().is_some());
}

/// Cut graph and own operators, on every instruction set for f32, against the whole graph on tract's.
#[test]
fn agrees_with_the_uncut_graph_on_tracts_operators() {
    // Low, so that there is much to compare.
    let thresholds = Thresholds { confidence: 0.1, ..Thresholds::default() };
    let whole = Options { own_operators: false, ..Options::default() };
    let uncut = Detector::load_with(&model(), thresholds, &whole).expect("load");
    for isa in Isa::available().filter(|isa| isa.precision() == Precision::F32) {
        let options = Options { isa, ..Options::default() };
        let cut = Detector::load_with(&model(), thresholds, &options).expect("load");
        assert_eq!(cut.model().expect("a model").fallback_reason(), None);
        for name in ["coffee.png", "motorcycle_left.png"] {
            let image = photo(name);
            let expected = uncut.detect(&image).expect("detect");
            assert!(!expected.is_empty());
            assert_same(&cut.detect(&image).expect("detect"), &expected, &format!("{name} on {isa:?}"));
        }
    }
}

/// The same raw outputs, rewritten into YOLOv5's rows with objectness, give the same detections.
#[test]
fn both_layouts_give_the_same_detections() {
    let image = photo("coffee.png");
    let model = UNCUT.model().expect("a model");
    let (width, height) = model.input_size();
    let mut input = vec![0.0; 3 * width as usize * height as usize];
    let letterbox = letterbox::fill(&image, &mut input, width, height);
    let output = model.run(input, width, height).expect("run");
    let (columns, layout) = output.whole().expect("uncut");
    let Layout::Columns { boxes, classes } = layout else { panic!("{layout:?}") };
    let mut rows = Vec::with_capacity(boxes * (5 + classes));
    for i in 0..boxes {
        let column = |row: usize| columns[row * boxes + i];
        rows.extend((0..4).map(column));
        rows.push(1.0);
        rows.extend((4..4 + classes).map(column));
    }
    let layout = Layout::RowsWithObjectness { boxes, classes };
    let thresholds = Thresholds::default();
    let candidates = decode::candidates(&rows, layout, thresholds.confidence).expect("probabilities");
    let from_rows: Vec<Detection> = nms::suppress(candidates, thresholds.iou, thresholds.max_detections)
        .into_iter()
        .map(|c| Detection {
            class_id: c.class_id,
            class: model.class_names()[c.class_id].clone(),
            confidence: c.confidence,
            bounding_box: letterbox.to_image(&c.bounding_box),
        })
        .collect();
    assert!(!from_rows.is_empty());
    assert_eq!(from_rows, UNCUT.detect(&image).expect("detect"));
}

/// One pixel, and lines one pixel thick: nothing is in them, and nothing breaks.
#[test]
fn absurd_shapes_are_detected_like_any_other() {
    for (width, height) in [(1, 1), (20_000, 1), (1, 20_000)] {
        let image = RgbImage::from_pixel(width, height, image::Rgb([90, 90, 90]));
        let found = DETECTOR.detect(&image).expect("detect");
        for detection in found {
            let at = detection.bounding_box;
            assert!(
                at.left >= 0.0 && at.top >= 0.0 && at.right <= width as f32 && at.bottom <= height as f32,
                "{at:?}"
            );
        }
    }
}
