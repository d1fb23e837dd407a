//! An ONNX file, loaded with tract and ready to run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::ensure;
use tract_onnx::tract_core::ops::cast::Cast;

use crate::bounded::{self, Brought};
use crate::decode::{self, Candidate};
use crate::engine::{Buffers, Isa, Precision, Produced, Recipe, lower, lower_whole};
use crate::head::Head;
use crate::layout::{EXPORT_A_DETECTOR, Layout, LayoutName, Unknown};
use crate::letterbox;
use crate::metadata::Metadata;
use crate::onnx;
use crate::profile::{self, OperatorTime};
use crate::raw_map::RawMap;

/// Why a file can't be used as a model. Each names the file and what the reader can do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be opened.
    #[error("can't read the model {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not ONNX, or uses what tract does not support.
    #[error("can't load the model {path} as ONNX: {reason}")]
    Onnx {
        /// The file.
        path: PathBuf,
        /// tract's reason.
        reason: String,
    },
    /// The file is ONNX but not a YOLO detector, or one that can't be decoded.
    #[error("the model {path} is not a detector that I can decode: {found}; {instead}")]
    NotADetector {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
        /// What to do about it.
        instead: String,
    },
}

/// How a model is run. The default finds what the reference finds.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Runs the network on the operators of this crate where they cover it, cut before its last part. Otherwise all of it runs
    /// on tract's own: slower, for tests and measurements.
    pub own_operators: bool,
    /// The instruction set of the operators of this crate, and with it the precision.
    pub isa: Isa,
    /// Pads a photo only to a multiple of the network's stride, not to a square: faster for photos that are not square, with
    /// slightly different confidences.
    pub rectangular: bool,
    /// The output's layout, for models whose output could be two things. `None`: the file tells.
    pub layout: Option<LayoutName>,
}

impl Default for Options {
    fn default() -> Self {
        Self { own_operators: true, isa: Isa::detect(Precision::F32), rectangular: false, layout: None }
    }
}

/// Sides of a rectangular input are multiples of this: the largest stride of a YOLO network.
const GRANULE: usize = 32;

/// The most plans for rectangular inputs that are kept: one for each shape that fits 640 x 640 and touches two of its sides.
/// Each takes some kilobytes; the weights are shared.
const MOST_PLANS: usize = 40;

type Plan = Arc<TypedRunnableModel>;

/// A YOLO model: immutable, shared by threads, one run at a time on each.
#[derive(Debug)]
pub struct Model {
    /// The file's name without extension; recorded with each prediction.
    name: String,
    input_width: u32,
    input_height: u32,
    execution: Execution,
    layout: Layout,
    class_names: Vec<Arc<str>>,
    /// The file's metadata.
    said: Vec<(&'static str, String)>,
}

#[derive(Debug)]
enum Execution {
    /// Our operators up to the raw maps.
    Cut(Box<Cut>),
    /// All of the graph: on our operators as far as they cover it, or on tract's.
    Whole(Box<Whole>),
}

#[derive(Debug)]
struct Whole {
    plan: Plan,
    /// The nodes that run on tract's operators, and why.
    reason: String,
    /// The instruction set of our operators; `None` if none are used.
    isa: Option<Isa>,
    buffers: Buffers,
}

#[derive(Debug)]
struct Cut {
    isa: Isa,
    recipe: Recipe,
    head: Head,
    /// The operators' memory, kept between runs.
    buffers: Buffers,
    /// For the model's own input size.
    plan: Plan,
    /// For the height and width of rectangular inputs, the latest last; `None` if inputs are always square.
    rectangular: Option<Mutex<Vec<SizedPlan>>>,
    /// The nodes that run on tract's operators and why; `None` if all run on ours.
    reason: Option<String>,
}

/// A plan, and the height and width of the inputs it is for.
type SizedPlan = ([usize; 2], Plan);

/// The network's raw output for one image.
#[derive(Debug)]
pub struct Output<'a> {
    execution: &'a Execution,
    layout: Layout,
    tensors: TVec<TValue>,
}

impl Output<'_> {
    /// Returns the candidates of at least this confidence, in input pixels, each with its best class.
    ///
    /// # Errors
    /// tract's, if a tensor is not what the graph said.
    pub fn candidates(&self, min_confidence: f32) -> TractResult<Vec<Candidate>> {
        match self.execution {
            Execution::Whole(_) => {
                let values = self.tensors[0].try_as_plain_ram()?;
                Ok(decode::candidates(values.as_slice()?, self.layout, min_confidence)?)
            }
            Execution::Cut(cut) => {
                let steps = cut.recipe.output_steps();
                let maps = cut.recipe.outputs.iter().map(|output| match output {
                    Produced::Map(pieces) => RawMap::new(pieces, &steps, &self.tensors),
                    Produced::Tensor(_) => Err(TractError::msg("a raw map that is none")),
                });
                Ok(cut.head.candidates(&maps.collect::<TractResult<Vec<_>>>()?, min_confidence, self.layout))
            }
        }
    }

    /// The values of the graph's own output and their layout; `None` if the network is cut before it.
    #[must_use]
    pub fn whole(&self) -> Option<(&[f32], Layout)> {
        let Execution::Whole(_) = self.execution else { return None };
        Some((self.tensors[0].as_plain_ram()?.as_slice().ok()?, self.layout))
    }
}

impl Model {
    /// Loads an ONNX file.
    ///
    /// # Errors
    /// [`LoadError`] if the file can't be read, tract can't run it, or it is not a detector.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_with(path, &Options::default())
    }

    /// [`load`](Self::load) with options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(path: &Path, options: &Options) -> Result<Self, LoadError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
        Self::of_bytes(path, &bytes, options)
    }

    /// Loads the model whose file at `path` has these bytes.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn of_bytes(path: &Path, bytes: &[u8], options: &Options) -> Result<Self, LoadError> {
        // A damaged file may break what tract takes for granted.
        std::panic::catch_unwind(|| Self::of_bytes_unguarded(path, bytes, options)).unwrap_or_else(|_| {
            let reason = "reading it ended in a panic, so it is damaged or uses what tract does not support".into();
            Err(LoadError::Onnx { path: path.into(), reason })
        })
    }

    fn of_bytes_unguarded(path: &Path, mut bytes: &[u8], options: &Options) -> Result<Self, LoadError> {
        let onnx_error = |error: TractError| LoadError::Onnx { path: path.into(), reason: format!("{error:#}") };
        let unknown = |Unknown { found, instead }| LoadError::NotADetector { path: path.into(), found, instead };
        let onnx = tract_onnx::onnx();
        let mut proto = onnx.proto_model_for_read(&mut bytes).map_err(onnx_error)?;
        let metadata = Metadata::of(&proto);
        if let Some(task) = metadata.task.as_deref().filter(|&task| task != "detect") {
            let found = format!("its task is {task:?}, not \"detect\"");
            return Err(unknown(Unknown::new(found, EXPORT_A_DETECTOR)));
        }
        let said = metadata.said(&proto);
        let size = onnx::normalise(&mut proto, path.parent().unwrap_or(Path::new("")), &metadata).map_err(unknown)?;
        let mut graph =
            onnx.model_for_proto_model_with_model_template(&proto, InferenceModel::default()).map_err(onnx_error)?;
        // The file's weights are in the graph by now.
        drop(proto);
        let brought = bounded::bound(&mut graph);
        let mut graph = graph.into_typed().map_err(onnx_error)?;
        without_casts(&mut graph).map_err(onnx_error)?;
        bounded::ensure_it_ends(&graph, brought).map_err(onnx_error)?;
        let possible = possible_layouts(&graph, size, &metadata, options).map_err(unknown)?;
        let cut = if options.own_operators {
            Cut::of(&graph, &possible, size, brought, options)
        } else {
            Err("the options say so".to_owned())
        };
        let (execution, layout) = match cut {
            Ok((cut, layout)) => (Execution::Cut(Box::new(cut)), layout),
            Err(reason) => {
                let &[layout] = &possible[..] else {
                    let shape = concrete_shape(&graph, graph.outputs[0]).unwrap_or_default();
                    return Err(unknown(Layout::ambiguous(&possible, &shape)));
                };
                let whole = Whole::of(graph, reason, size, brought, options).map_err(onnx_error)?;
                (Execution::Whole(Box::new(whole)), layout)
            }
        };
        let model = Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            input_width: size[1] as u32,
            input_height: size[0] as u32,
            execution,
            layout,
            class_names: metadata.class_names(layout.classes()),
            said,
        };
        if let Some(reason) = model.fallback_reason() {
            tracing::info!(model.path = %path.display(), reason, "a part of the model runs on tract's operators");
        }
        if options.own_operators && matches!(model.execution, Execution::Whole(_)) {
            model.try_out().map_err(onnx_error)?.map_err(unknown)?;
        }
        Ok(model)
    }

    /// Checks the output for a grey image, if nothing else shows that the output is what it was taken for: a probability is not
    /// below 0 or above 1, and boxes in input pixels can't all lie within the first few.
    fn try_out(&self) -> TractResult<Result<(), Unknown>> {
        /// In input pixels; boxes as parts of the input, or of a map's pixel, are smaller.
        const FEW: f32 = 4.0;
        const ROUNDING: f32 = 1e-3;
        let (width, height) = self.input_size();
        let output = self.run(vec![0.5; 3 * width as usize * height as usize], width, height)?;
        let Some((values, layout)) = output.whole() else { return Ok(Ok(())) };
        let boxes = layout.boxes();
        let (mut least, mut most, mut farthest) = (f32::INFINITY, f32::NEG_INFINITY, 0.0_f32);
        let mut look = |is_score: bool, value: f32| {
            if is_score {
                (least, most) = (least.min(value), most.max(value));
            } else {
                farthest = farthest.max(value.abs());
            }
        };
        for (i, &value) in values[..layout.values()].iter().enumerate() {
            match layout {
                Layout::Columns { .. } => look(i / boxes >= 4, value),
                Layout::EndToEnd { .. } if i % 6 == 5 => {}
                Layout::EndToEnd { .. } => look(i % 6 == 4, value),
                Layout::Rows { classes, .. } => look(i % (4 + classes) >= 4, value),
                Layout::RowsWithObjectness { classes, .. } => look(i % (5 + classes) >= 4, value),
            }
        }
        if least < -ROUNDING || most > 1.0 + ROUNDING {
            let found = format!(
                "taken for {}, its output has scores from {least} to {most}, which are not probabilities",
                layout.name()
            );
            return Ok(Err(Unknown::new(found, EXPORT_A_DETECTOR)));
        }
        // Without a detection there is no box to check.
        if farthest <= FEW && !matches!(layout, Layout::EndToEnd { .. } if most <= 0.0) {
            let found = format!(
                "taken for {}, its boxes all lie within {farthest} pixels: they are parts of the input, as DETRs give, or not \
                 decoded, as YOLOX gives",
                layout.name()
            );
            let instead = "export it with boxes in input pixels (YOLOX: --decode_in_inference)";
            return Ok(Err(Unknown::new(found, instead)));
        }
        Ok(Ok(()))
    }

    /// The file's name without extension.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Width and height of the input, in pixels.
    #[must_use]
    pub fn input_size(&self) -> (u32, u32) {
        (self.input_width, self.input_height)
    }

    /// Width and height of the input for an image of this width and height: [`input_size`](Self::input_size), or, if inputs may
    /// be rectangular, the smallest that the image needs.
    #[must_use]
    pub fn input_size_for(&self, image_width: u32, image_height: u32) -> (u32, u32) {
        let (width, height) = self.input_size();
        match &self.execution {
            Execution::Cut(cut) if cut.rectangular.is_some() => {
                letterbox::fitted(image_width, image_height, width, height, GRANULE as u32)
            }
            _ => (width, height),
        }
    }

    /// The name of each class, by class id.
    #[must_use]
    pub fn class_names(&self) -> &[Arc<str>] {
        &self.class_names
    }

    /// The name of a class; "class 7" where the file has none.
    #[must_use]
    pub fn class_name(&self, class_id: usize) -> Arc<str> {
        self.class_names.get(class_id).map_or_else(|| format!("class {class_id}").into(), Arc::clone)
    }

    /// The file's metadata that are worth showing, as pairs of a label and a text.
    #[must_use]
    pub fn said(&self) -> &[(&'static str, String)] {
        &self.said
    }

    /// The part at the end of the graph that is computed for the candidates only; `None` if the whole graph runs.
    #[must_use]
    pub fn head(&self) -> Option<String> {
        match &self.execution {
            Execution::Cut(cut) => Some(cut.head.to_string()),
            Execution::Whole(_) => None,
        }
    }

    /// Returns the operators of the plan for the model's own input size in the order that they run, each with its median time of
    /// `runs` runs on a grey image.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn profile(&self, runs: usize) -> TractResult<Vec<OperatorTime>> {
        let (width, height) = (self.input_width as usize, self.input_height as usize);
        let input = tract_ndarray::Array4::from_elem((1, 3, height, width), 0.5_f32);
        let input = Tensor::from(input).into_tvalue();
        let (plan, buffers) = match &self.execution {
            Execution::Cut(cut) => (&cut.plan, &cut.buffers),
            Execution::Whole(whole) => (&whole.plan, &whole.buffers),
        };
        buffers.lend(|| profile::profile(plan, &input, runs))
    }

    /// The layout of the output.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Why the network, or a part of it, runs on tract's operators: which nodes, and what this crate's operators don't cover.
    /// `None` if all of it runs on those of this crate.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<&str> {
        match &self.execution {
            Execution::Cut(cut) => cut.reason.as_deref(),
            Execution::Whole(whole) => Some(&whole.reason),
        }
    }

    /// The instruction set of this crate's operators; `None` if all of the network runs on tract's.
    #[must_use]
    pub fn isa(&self) -> Option<Isa> {
        match &self.execution {
            Execution::Cut(cut) => Some(cut.isa),
            Execution::Whole(whole) => whole.isa,
        }
    }

    /// Runs the network on one input: `[3, height, width]` values in `0..=1`, channels first, of a size that
    /// [`input_size_for`](Self::input_size_for) returns.
    ///
    /// # Errors
    /// tract's, if the input has the wrong size or an operator fails.
    pub fn run(&self, input: Vec<f32>, width: u32, height: u32) -> TractResult<Output<'_>> {
        let size = [height as usize, width as usize];
        let own_size = [self.input_height as usize, self.input_width as usize];
        let input = tract_ndarray::Array4::from_shape_vec((1, 3, size[0], size[1]), input)?;
        let inputs = tvec!(Tensor::from(input).into_tvalue());
        let tensors = match &self.execution {
            Execution::Whole(whole) => whole.buffers.lend(|| whole.plan.run(inputs))?,
            Execution::Cut(cut) => {
                let plan = if size == own_size { Arc::clone(&cut.plan) } else { cut.rectangular_plan(size)? };
                cut.buffers.lend(|| plan.run(inputs))?
            }
        };
        Ok(Output { execution: &self.execution, layout: self.layout, tensors })
    }
}

impl Cut {
    /// Returns the graph on our operators and which of the possible layouts its output has, or why not.
    fn of(
        graph: &TypedModel,
        possible: &[Layout],
        size: [usize; 2],
        brought: Brought,
        options: &Options,
    ) -> Result<(Self, Layout), String> {
        let (head, maps, layout) =
            Head::find(graph, possible).ok_or("the last part of the graph is not a known head")?;
        let built = lower(graph, &maps, options.isa).and_then(|recipe| {
            let model = recipe.build([1, 3, size[0], size[1]])?;
            let plan = model.into_runnable()?;
            bounded::ensure_it_fits(&plan, brought)?;
            Ok((recipe, plan))
        });
        let (recipe, plan) = built.map_err(|error| format!("{error:#}"))?;
        if recipe.own_steps() == 0 {
            return Err("there are no convolutions before the last part of the graph".into());
        }
        // Constants of what runs on tract's operators may be for one size only.
        let is_resizable = options.rectangular && recipe.foreign.is_empty();
        let cut = Self {
            isa: options.isa,
            reason: foreign_reason(&recipe),
            recipe,
            head,
            buffers: Buffers::default(),
            plan,
            rectangular: is_resizable.then(Mutex::default),
        };
        Ok((cut, layout))
    }

    /// Returns the plan for an input of this height and width: a kept one, or a new one that is then kept.
    fn rectangular_plan(&self, size: [usize; 2]) -> TractResult<Plan> {
        let plans = self.rectangular.as_ref().ok_or_else(|| TractError::msg("inputs of this model are one size"))?;
        let plans = || plans.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut plans = plans();
            if let Some(index) = plans.iter().position(|(other, _)| *other == size) {
                let found = plans.remove(index);
                let plan = Arc::clone(&found.1);
                plans.push(found);
                return Ok(plan);
            }
        }
        // Not while others wait for the list; that two threads build the same plan at the same time does no harm.
        let plan = self.recipe.build([1, 3, size[0], size[1]])?.into_runnable()?;
        let mut plans = plans();
        if plans.len() == MOST_PLANS {
            plans.remove(0);
        }
        plans.push((size, Arc::clone(&plan)));
        Ok(plan)
    }
}

impl Whole {
    /// Returns the graph on our operators as far as they cover it; `reason` tells why its end was not taken over.
    fn of(
        graph: TypedModel,
        reason: String,
        size: [usize; 2],
        brought: Brought,
        options: &Options,
    ) -> TractResult<Self> {
        if options.own_operators {
            let built = lower_whole(&graph, options.isa).and_then(|recipe| {
                ensure!(recipe.own_steps() > 0, "there are no convolutions that are covered");
                let model = recipe.build([1, 3, size[0], size[1]])?;
                let plan = model.into_runnable()?;
                bounded::ensure_it_fits(&plan, brought)?;
                Ok((foreign_reason(&recipe), plan))
            });
            match built {
                Ok((foreign, plan)) => {
                    let reason = foreign.map_or(reason.clone(), |foreign| format!("{reason}; {foreign}"));
                    return Ok(Self { plan, reason, isa: Some(options.isa), buffers: Buffers::default() });
                }
                Err(error) => tracing::debug!(error = format!("{error:#}"), "nothing of the graph can be lowered"),
            }
        }
        // All of a detector, if that was asked for: as fast as tract is.
        let graph = if options.own_operators { bounded::optimised(graph)? } else { graph.into_optimized()? };
        let plan = graph.into_runnable()?;
        bounded::ensure_it_fits(&plan, brought)?;
        Ok(Self { plan, reason, isa: None, buffers: Buffers::default() })
    }
}

/// Leads past casts to the type that is there already, which those to and from 16 bits have become: they hide what a head is made of.
fn without_casts(graph: &mut TypedModel) -> TractResult<()> {
    for id in 0..graph.nodes().len() {
        let node = graph.node(id);
        let is_same = |input: OutletId| {
            Ok::<_, TractError>(graph.outlet_fact(input)?.datum_type == node.outputs[0].fact.datum_type)
        };
        if !node.op_is::<Cast>() || !is_same(node.inputs[0])? {
            continue;
        }
        let (input, readers) = (node.inputs[0], node.outputs[0].successors.clone());
        for reader in readers {
            graph.add_edge(input, reader)?;
        }
        for output in &mut graph.outputs {
            if *output == OutletId::from(id) {
                *output = input;
            }
        }
    }
    Ok(())
}

/// The nodes of a network that run on tract's operators, and why.
fn foreign_reason(recipe: &Recipe) -> Option<String> {
    let first = recipe.foreign.first()?;
    Some(match recipe.foreign.len() {
        1 => format!("one node runs on tract's operator, {first}"),
        count => format!("{count} nodes run on tract's operators, the first of them {first}"),
    })
}

/// Returns the layouts that the output of this graph may have.
fn possible_layouts(
    graph: &TypedModel,
    size: [usize; 2],
    metadata: &Metadata,
    options: &Options,
) -> Result<Vec<Layout>, Unknown> {
    let Some((&first, others)) = graph.outputs.split_first() else {
        return Err(Unknown::new("it has no output", EXPORT_A_DETECTOR));
    };
    let shapes: Vec<String> = graph.outputs.iter().map(|&output| shown(graph, output)).collect();
    // YOLOv5 also gives its raw maps, of five axes.
    let is_raw_map = |&output: &OutletId| graph.outlet_fact(output).is_ok_and(|fact| fact.rank() == 5);
    if !others.iter().all(is_raw_map) {
        let found = format!("it has {} outputs: {}", shapes.len(), shapes.join(" "));
        let what = match concrete_shape(graph, others[0]).as_deref() {
            Some([1, 32, _, _]) => ", as segmentation has",
            _ if others.len() == 3 => ", as models have whose NMS was exported for another runtime",
            _ => "",
        };
        return Err(Unknown::new(format!("{found}{what}"), EXPORT_A_DETECTOR));
    }
    let shape = concrete_shape(graph, first);
    let is_float = graph.outlet_fact(first).is_ok_and(|fact| fact.datum_type == f32::datum_type());
    let Some(shape) = shape.filter(|_| is_float) else {
        return Err(Unknown::new(format!("its output is {}", shapes[0]), EXPORT_A_DETECTOR));
    };
    Layout::possible(&shape, size, metadata, options.layout)
}

fn concrete_shape(graph: &TypedModel, outlet: OutletId) -> Option<Vec<usize>> {
    graph.outlet_fact(outlet).ok()?.shape.as_concrete().map(<[usize]>::to_vec)
}

fn shown(graph: &TypedModel, outlet: OutletId) -> String {
    graph.outlet_fact(outlet).map_or_else(|_| "nothing".into(), |fact| format!("[{fact:?}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_and_a_wrong_file_are_told_apart() {
        let missing = Model::load(Path::new("no-such-file.onnx")).expect_err("missing");
        assert!(missing.to_string().contains("no-such-file.onnx"), "{missing}");
        assert!(matches!(missing, LoadError::Read { .. }));
        let wrong = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(!matches!(Model::load(&wrong).expect_err("wrong"), LoadError::Read { .. }));
    }

    #[test]
    fn the_documentation_says_how_many_sizes_are_kept() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PERFORMANCE.md");
        let document = std::fs::read_to_string(path).expect("docs/PERFORMANCE.md is there");
        assert!(document.contains(&format!("a plan for each of the last {MOST_PLANS} sizes")), "it has another number");
    }
}
