//! Files that ask for more memory than there is: refused in words.

use std::path::Path;
use std::time::{Duration, Instant};

use detector::{Model, Options};

use crate::graph::{Graph, Random, integer, integers};

/// Far more than a refusal takes, far less than what is asked for would.
const SOON: Duration = Duration::from_secs(20);

/// A graph whose output is made of `huge` and the image's mean.
fn with(make: impl FnOnce(&mut Graph)) -> Graph {
    let mut graph = Graph::default();
    make(&mut graph);
    graph.node("ReduceMean", &["images"], &["mean"], vec![integers("axes", &[0, 1, 2, 3]), integer("keepdims", 0)]);
    graph.node("ReduceMean", &["huge"], &["small"], vec![integer("keepdims", 0)]);
    graph.floats("values", &[1, 10, 84], vec![0.5; 840]);
    graph.step("Add", &["mean", "small"], "both", vec![]);
    graph.step("Mul", &["values", "both"], "output0", vec![]);
    graph.input("images", &[1, 3, 64, 64]);
    graph.output("output0", &[1, 10, 84]);
    graph
}

/// Far more than all tests of this program need, far less than is asked for.
const MOST_KILOBYTES: u64 = 1 << 20;

/// Names the file that [`loads_in_a_process_of_its_own`] loads.
const FILE: &str = "DETECTOR_HOSTILE_FILE";

/// Not a test by itself: what others run in a process of its own, so that its peak is that of one file.
#[test]
#[ignore = "is run by others, in a process of its own"]
fn loads_in_a_process_of_its_own() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let said = Model::load(Path::new(&path)).map_or_else(|error| error.to_string(), |_| "loaded".into());
    // The line is begun by the name of the test.
    println!("\nsaid: {said}");
    if let Some(peak) = peak_kilobytes() {
        println!("peak: {peak} kB");
    }
}

/// What the loader says about a file; it takes at most 1 GB and comes to an end soon.
#[track_caller]
fn load_within_bounds(graph: Graph) -> String {
    let file = graph.file();
    let started = Instant::now();
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "hostile::loads_in_a_process_of_its_own", "--ignored", "--nocapture"])
        .env(FILE, file.path())
        .output()
        .expect("a process");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(started.elapsed() < SOON, "{printed}: after {:?}", started.elapsed());
    let of = |what: &str| printed.lines().find_map(|line| line.strip_prefix(what));
    if let Some(peak) = of("peak: ") {
        let peak: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
        assert!(peak < MOST_KILOBYTES, "{printed}");
    }
    of("said: ").expect("what the loader says").into()
}

#[track_caller]
fn assert_refused(graph: Graph) {
    let started = Instant::now();
    let bytes = graph.bytes();
    assert!(bytes.len() < 1_000_000, "{} bytes", bytes.len());
    let said =
        Model::of_bytes(Path::new("hostile.onnx"), &bytes, &Options::default()).expect_err("refused").to_string();
    assert!(started.elapsed() < SOON, "{said}: after {:?}", started.elapsed());
    if let Some(peak) = peak_kilobytes() {
        assert!(peak < MOST_KILOBYTES, "{said}: {peak} kB");
    }
}

/// The most memory that this process ever held, where the system tells (proc(5)).
fn peak_kilobytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

#[test]
fn a_constant_of_any_size_is_not_made() {
    assert_refused(with(|graph| {
        graph.shape("sides", &[1 << 20, 1 << 20]);
        graph.step("ConstantOfShape", &["sides"], "huge", vec![]);
    }));
    assert_refused(with(|graph| {
        graph.shape("sides", &[1 << 20, 1 << 20]);
        graph.floats("one", &[], vec![1.0]);
        graph.step("Expand", &["one", "sides"], "huge", vec![]);
    }));
    assert_refused(with(|graph| {
        graph.shape("times", &[1 << 36]);
        graph.floats("one", &[1], vec![1.0]);
        graph.step("Tile", &["one", "times"], "huge", vec![]);
    }));
    assert_refused(with(|graph| {
        graph.shape("pads", &[0, 1 << 36]);
        graph.floats("one", &[1], vec![1.0]);
        graph.step("Pad", &["one", "pads"], "huge", vec![]);
    }));
}

/// Each step is allowed; all of them are not.
#[test]
fn constants_that_grow_are_not_made() {
    assert_refused(with(|graph| {
        graph.floats("0", &[16], vec![1.0; 16]);
        for step in 0..40 {
            let (from, to) = (step.to_string(), (step + 1).to_string());
            graph.step("Concat", &[&from, &from], &to, vec![integer("axis", 0)]);
        }
        graph.step("Neg", &["40"], "huge", vec![]);
    }));
    assert_refused(with(|graph| {
        graph.shape("sides", &[1024, 1000]);
        let mut last = String::from("sides");
        for step in 0..400 {
            last = graph.step("ConstantOfShape", &["sides"], &format!("constant {step}"), vec![]);
        }
        for step in 0..399 {
            last = graph.step("Add", &[&last, &format!("constant {step}")], &format!("sum {step}"), vec![]);
        }
        graph.step("Neg", &[&last], "huge", vec![]);
    }));
}

/// What depends on the image, too.
#[test]
fn maps_of_any_size_are_not_made() {
    assert_refused(with(|graph| {
        graph.shape("times", &[1, 1, 300, 300]);
        graph.step("Tile", &["images", "times"], "huge", vec![]);
    }));
    assert_refused(with(|graph| {
        graph.floats("scales", &[4], vec![1.0, 1.0, 3000.0, 3000.0]);
        graph.floats("roi", &[0], vec![]);
        graph.step("Resize", &["images", "roi", "scales"], "huge", vec![]);
    }));
}

/// So many maps of 123 MB, all of which are alive when the last one is made.
fn maps_alive_at_once(count: usize) -> Graph {
    with(|graph| {
        graph.shape("times", &[1, 1, 50, 50]);
        for map in 0..count {
            graph.floats(&format!("factor {map}"), &[], vec![0.5 + map as f32]);
            graph.step("Mul", &["images", &format!("factor {map}")], &format!("small {map}"), vec![]);
            graph.step("Tile", &[&format!("small {map}"), "times"], &format!("map {map}"), vec![]);
        }
        let mut last = format!("map {}", count - 1);
        for map in (0..count - 1).rev() {
            last = graph.step("Add", &[&last, &format!("map {map}")], &format!("sum {map}"), vec![]);
        }
        graph.step("Neg", &[&last], "huge", vec![]);
    })
}

/// Each map is allowed. How many are alive at once is an estimate, so what the process takes is looked at.
#[test]
fn maps_that_fit_one_by_one_do_not_take_all_memory() {
    for count in [4, 5, 6, 12, 40] {
        let said = load_within_bounds(maps_alive_at_once(count));
        // What fits is run, and its scores are none.
        let expected = if count > 4 { "its maps take" } else { "are not probabilities" };
        assert!(said.contains(expected), "{count}: {said}");
    }
}

/// A stride may be of any width where the map has one pixel: the result is small all the same.
#[test]
fn strides_of_any_width_are_not_gone_along() {
    for stride in [1 << 20, 1 << 40] {
        let graph = with(|graph| {
            graph.floats("weights", &[1, 1, 1, 1], vec![1.0]);
            graph.floats("pixel", &[1, 1, 1, 1], vec![1.0]);
            graph.step("Add", &["pixel", "mean"], "one", vec![]);
            graph.step("ConvTranspose", &["one", "weights"], "huge", vec![integers("strides", &[stride; 2])]);
        });
        let started = Instant::now();
        // Refused or computed: what counts is that it comes to an end.
        let _ = Model::of_bytes(Path::new("hostile.onnx"), &graph.bytes(), &Options::default());
        assert!(started.elapsed() < SOON, "after {:?}", started.elapsed());
    }
}

/// A window over nothing but padding: the map that it makes is small, the list of its taps is not.
#[test]
fn windows_of_any_size_are_not_made() {
    for op_type in ["AveragePool", "MaxPool"] {
        let graph = with(|graph| {
            let attributes = vec![
                integers("kernel_shape", &[1 << 30, 1]),
                integers("pads", &[1 << 29, 0, 1 << 29, 0]),
                integer("count_include_pad", usize::from(op_type == "AveragePool")),
            ];
            graph.step(op_type, &["images"], "huge", attributes);
        });
        let said = Model::load(graph.file().path()).expect_err("refused").to_string();
        assert!(said.contains("a window larger than any map"), "{said}");
    }
}

/// Found by the fuzzer: of 336 places the 8 million best, which tract fills up with zeros, and all that is made of them: 1.2 GB.
#[test]
fn more_of_the_greatest_values_than_there_are_is_refused() {
    let said = load_within_bounds(with(|graph| {
        graph.shape("rows", &[1, -1]);
        graph.shape("count", &[8_388_908]);
        graph.step("Reshape", &["images", "rows"], "row", vec![]);
        graph.node("TopK", &["row", "count"], &["huge", "places"], vec![integer("axis", 1)]);
    }));
    assert!(said.contains("more of the greatest values than there are"), "{said}");
}

/// Found by the fuzzer: tract looked for the end of the permutation until there was no more memory.
#[test]
fn axes_that_are_no_permutation_are_refused() {
    let graph = with(|graph| {
        graph.step("Transpose", &["images"], "huge", vec![integers("perm", &[0, 3, 1, 0])]);
    });
    let said = Model::load(graph.file().path()).expect_err("refused").to_string();
    assert!(said.contains("not a permutation"), "{said}");
}

#[test]
fn weights_are_as_large_as_they_say() {
    let mut random = Random(1);
    let mut graph = with(|graph| {
        graph.convolution(&mut random, "images", "huge", [3, 16, 4]);
    });
    let weights = graph.proto.initializer.iter_mut().find(|tensor| tensor.name == "huge.weight").expect("weights");
    weights.dims = vec![1 << 30, 3, 4, 4];
    let bytes = graph.bytes();
    Model::of_bytes(Path::new("hostile.onnx"), &bytes, &Options::default()).expect_err("refused");
}

/// tract's optimiser takes minutes for so many, behind each other or beside each other: they run as they are.
#[test]
fn more_convolutions_than_tract_optimises_run_as_they_are() {
    for are_beside in [false, true] {
        let graph = with(|graph| {
            let same = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
            graph.floats("same", &[3, 3, 1], same.to_vec());
            graph.floats("same pixels", &[3, 3, 1, 1], same.to_vec());
            graph.shape("sides", &[1, 3, -1]);
            graph.step("Conv", &["images", "same pixels"], "stem", vec![integers("kernel_shape", &[1, 1])]);
            graph.step("ReduceMean", &["stem"], "line", vec![integers("axes", &[2])]);
            let first = graph.step("Reshape", &["line", "sides"], "row", vec![]);
            let mut layers = vec![first.clone()];
            for layer in 0..2000 {
                let input = if are_beside { &first } else { &layers[layer] };
                let name = format!("layer {layer}");
                let layer = graph.step("Conv", &[&input.clone(), "same"], &name, vec![integers("kernel_shape", &[1])]);
                layers.push(layer);
            }
            // As many at once as a node may read.
            let read: Vec<&str> = layers.iter().map(String::as_str).skip(if are_beside { 1 } else { 2000 }).collect();
            for (part, read) in read.chunks(1000).enumerate() {
                graph.step("Concat", read, &format!("part {part}"), vec![integer("axis", 1)]);
            }
            let parts: &[&str] = if are_beside { &["part 0", "part 1"] } else { &["part 0"] };
            graph.step("Concat", parts, "huge", vec![integer("axis", 1)]);
        });
        // Twice the mean of a grey image, times the values: each layer was computed.
        let said = Model::load(graph.file().path()).expect_err("refused").to_string();
        assert!(said.contains("its boxes all lie within 0.5 pixels"), "{are_beside}: {said}");
    }
}

/// What a constant of a few bytes can be made to compute, and what a map can.
#[test]
fn convolutions_that_take_hours_are_not_computed() {
    assert_refused(with(|graph| {
        graph.shape("sides", &[1, 1, 1000, 1000]);
        graph.step("ConstantOfShape", &["sides"], "map", vec![]);
        graph.shape("sides of the kernel", &[1, 1, 500, 500]);
        graph.step("ConstantOfShape", &["sides of the kernel"], "kernel", vec![]);
        graph.step("Conv", &["map", "kernel"], "huge", vec![]);
    }));
    assert_refused(with(|graph| {
        graph.shape("times", &[1, 1, 60, 60]);
        graph.step("Tile", &["images", "times"], "map", vec![]);
        let attributes = vec![integers("kernel_shape", &[1000, 1000]), integers("strides", &[1, 1])];
        graph.step("MaxPool", &["map"], "huge", attributes);
    }));
}

/// Weights that many convolutions read are packed by each of them.
#[test]
fn weights_that_are_shared_do_not_take_any_memory() {
    let graph = with(|graph| {
        graph.floats("weights", &[96, 96, 3, 3], vec![1e-3; 96 * 96 * 9]);
        graph.floats("first", &[96, 3, 1, 1], vec![0.1; 96 * 3]);
        let mut last = graph.step("Conv", &["images", "first"], "stem", vec![]);
        for layer in 0..900 {
            let padding = vec![integers("pads", &[1, 1, 1, 1])];
            last = graph.step("Conv", &[&last, "weights"], &format!("layer {layer}"), padding);
        }
        graph.step("Neg", &[&last], "huge", vec![]);
    });
    let said = load_within_bounds(graph);
    assert!(said.contains("MB of weights"), "{said}");
}

/// tract's time for these grows with the square of their number.
#[test]
fn more_of_anything_than_tract_gets_through_is_refused() {
    let said = |make: &dyn Fn(&mut Graph)| Model::load(with(make).file().path()).expect_err("refused").to_string();
    let nodes = said(&|graph| {
        let mut last = String::from("images");
        for layer in 0..4001 {
            last = graph.step("Tanh", &[&last], &format!("layer {layer}"), vec![]);
        }
        graph.step("Neg", &[&last], "huge", vec![]);
    });
    assert!(nodes.contains("nodes, more than 4000"), "{nodes}");
    let constants = said(&|graph| {
        let mut last = String::from("images");
        for layer in 0..2001 {
            let bounds = ["least", "most"].map(|bound| format!("{bound} {layer}"));
            graph.floats(&bounds[0], &[], vec![-1.0 - layer as f32]);
            graph.floats(&bounds[1], &[], vec![1.0 + layer as f32]);
            last = graph.step("Clip", &[&last, &bounds[0], &bounds[1]], &format!("layer {layer}"), vec![]);
        }
        graph.step("Neg", &[&last], "huge", vec![]);
    });
    assert!(constants.contains("constants, more than 4000"), "{constants}");
    let inputs = said(&|graph| {
        graph.step("Sum", &["images"; 1001], "huge", vec![]);
    });
    assert!(inputs.contains("1001 inputs of one node, more than 1000"), "{inputs}");
    // What nothing reads does not count.
    let unread = said(&|graph| {
        for constant in 0..4001 {
            graph.floats(&format!("unread {constant}"), &[], vec![constant as f32]);
        }
        graph.step("Neg", &["images"], "huge", vec![]);
    });
    assert!(unread.contains("its boxes all lie within 0 pixels"), "{unread}");
}

#[test]
fn more_nodes_than_any_detector_has_are_not_read() {
    assert_refused(with(|graph| {
        for _ in 0..20_001 {
            graph.node("A", &[], &["b"], vec![]);
        }
    }));
}
