//! An ONNX file, loaded with tract and ready to run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use crate::coco;
use crate::decode::{self, Candidate, Layout};
use crate::engine::{Buffers, Isa, Precision, Recipe, lower};
use crate::head::Head;
use crate::letterbox;
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
    /// It is no ONNX file, or uses what tract does not support.
    #[error("can't load the model {path} as ONNX: {reason}")]
    Onnx {
        /// The file.
        path: PathBuf,
        /// tract's reason.
        reason: String,
    },
    /// It is an ONNX file of something else than a YOLO detector.
    #[error(
        "the model {path} is no YOLO detector that I know: {found}; expected one image input [1,3,height,width] and an \
         output [1,N,5+classes] (YOLOv5) or [1,4+classes,N] (YOLOv8 and later)"
    )]
    NotADetector {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        found: String,
    },
}

/// How a model is run. The default finds what the reference finds; see each for what else there is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Run the network on the operators of this crate where they cover it, cut before its last part. Else all of it runs
    /// on tract's own: slower, for tests and measurements.
    pub own_operators: bool,
    /// The instruction set of the operators of this crate, and with it the precision.
    pub isa: Isa,
    /// Give the network as much grey around a photo as it needs, not as makes it a square: faster for photos that are no
    /// squares, with slightly other confidences than the square input gives.
    pub rectangular: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { own_operators: true, isa: Isa::detect(Precision::F32), rectangular: false }
    }
}

/// Sides of a rectangular input are multiples of this: the largest stride of a YOLO network.
const GRANULE: usize = 32;

/// Plans for rectangular inputs that are kept: one for each shape that fits 640 x 640 and touches two of its sides. Each
/// takes some kilobytes, the weights are shared.
const MOST_PLANS: usize = 40;

type Plan = Arc<TypedRunnableModel>;

/// A YOLO model: immutable, shared by threads, one run at a time on each.
#[derive(Debug)]
pub struct Model {
    /// The file's name without extension; recorded with each prediction.
    name: String,
    input_width: u32,
    input_height: u32,
    network: Network,
    class_names: Vec<Arc<str>>,
}

#[derive(Debug)]
enum Network {
    /// Our operators up to the raw maps.
    Cut(Box<Cut>),
    /// All of the graph on tract's operators.
    Whole { plan: Plan, layout: Layout, reason: String },
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
    /// For the height and width of rectangular inputs, the latest last; nothing if they are not to be used.
    rectangular: Option<Mutex<Vec<SizedPlan>>>,
}

/// A plan, and the height and width of the inputs it is for.
type SizedPlan = ([usize; 2], Plan);

/// What the network says about one image.
#[derive(Debug)]
pub struct Output<'a> {
    network: &'a Network,
    tensors: TVec<TValue>,
}

impl Output<'_> {
    /// The candidates of at least this confidence, in input pixels, each with its best class.
    ///
    /// # Errors
    /// tract's, if a tensor is not what the graph said.
    pub fn candidates(&self, min_confidence: f32) -> TractResult<Vec<Candidate>> {
        match self.network {
            Network::Whole { layout, .. } => {
                let values = self.tensors[0].try_as_plain_ram()?;
                Ok(decode::candidates(values.as_slice()?, *layout, min_confidence))
            }
            Network::Cut(cut) => {
                let steps = cut.recipe.output_steps();
                let maps = cut.recipe.outputs.iter().map(|pieces| RawMap::new(pieces, &steps, &self.tensors));
                Ok(cut.head.candidates(&maps.collect::<TractResult<Vec<_>>>()?, min_confidence))
            }
        }
    }

    /// The values of the graph's own output and their layout, where the network was not cut before it.
    #[must_use]
    pub fn whole(&self) -> Option<(&[f32], Layout)> {
        let Network::Whole { layout, .. } = self.network else { return None };
        Some((self.tensors[0].as_plain_ram()?.as_slice().ok()?, *layout))
    }
}

impl Model {
    /// Load an ONNX file.
    ///
    /// # Errors
    /// [`LoadError`] if it can't be read, is no ONNX file that tract runs, or no detector.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_with(path, &Options::default())
    }

    /// [`load`](Self::load), with other options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(path: &Path, options: &Options) -> Result<Self, LoadError> {
        let onnx_error = |error: TractError| LoadError::Onnx { path: path.into(), reason: format!("{error:#}") };
        let not_a_detector = |found: String| LoadError::NotADetector { path: path.into(), found };
        let file = std::fs::File::open(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
        let onnx = tract_onnx::onnx();
        let proto = onnx.proto_model_for_read(&mut std::io::BufReader::new(file)).map_err(onnx_error)?;
        let names_in_file = class_names(&proto);
        let mut graph =
            onnx.model_for_proto_model_with_model_template(&proto, InferenceModel::default()).map_err(onnx_error)?;
        // The file's weights are in the graph by now.
        drop(proto);
        if graph.input_outlets().map_err(onnx_error)?.len() != 1 {
            return Err(not_a_detector(format!("{} inputs", graph.inputs.len())));
        }
        let (input_height, input_width) = input_size(&graph).map_err(onnx_error)?;
        let size = [input_height as usize, input_width as usize];
        graph.set_input_fact(0, f32::fact([1, 3, size[0], size[1]]).into()).map_err(onnx_error)?;
        let graph = graph.into_typed().map_err(onnx_error)?;
        let output = graph.output_fact(0).map_err(onnx_error)?;
        let shape = output.shape.as_concrete().unwrap_or_default().to_vec();
        let layout = Layout::of_shape(&shape)
            .filter(|_| output.datum_type == f32::datum_type())
            .ok_or_else(|| not_a_detector(format!("its output is {output:?}")))?;
        let cut = if options.own_operators {
            Cut::of(&graph, layout, size, options)
        } else {
            Err("the options say so".to_owned())
        };
        let network = match cut {
            Ok(cut) => Network::Cut(Box::new(cut)),
            Err(reason) => {
                tracing::info!(model.path = %path.display(), reason, "the model runs on tract's operators");
                let graph = graph.into_optimized().map_err(onnx_error)?;
                Network::Whole { plan: graph.into_runnable().map_err(onnx_error)?, layout, reason }
            }
        };
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            input_width,
            input_height,
            network,
            class_names: complete_names(names_in_file, layout.classes()),
        })
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

    /// Width and height of the input for an image of this width and height: [`input_size`](Self::input_size), unless
    /// inputs may be rectangular, which then are no larger than the image needs.
    #[must_use]
    pub fn input_size_for(&self, image_width: u32, image_height: u32) -> (u32, u32) {
        let (width, height) = self.input_size();
        match &self.network {
            Network::Cut(cut) if cut.rectangular.is_some() => {
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

    /// Why the network runs on tract's operators; nothing if it runs on those of this crate.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<&str> {
        match &self.network {
            Network::Cut(_) => None,
            Network::Whole { reason, .. } => Some(reason),
        }
    }

    /// The instruction set of this crate's operators; nothing if the network runs on tract's.
    #[must_use]
    pub fn isa(&self) -> Option<Isa> {
        match &self.network {
            Network::Cut(cut) => Some(cut.isa),
            Network::Whole { .. } => None,
        }
    }

    /// Run the network on one input: `[3, height, width]` values in `0..=1`, channels first, of a size that
    /// [`input_size_for`](Self::input_size_for) gave.
    ///
    /// # Errors
    /// tract's, if the input has the wrong size or an operator fails.
    pub fn run(&self, input: Vec<f32>, width: u32, height: u32) -> TractResult<Output<'_>> {
        let size = [height as usize, width as usize];
        let own_size = [self.input_height as usize, self.input_width as usize];
        let input = tract_ndarray::Array4::from_shape_vec((1, 3, size[0], size[1]), input)?;
        let inputs = tvec!(Tensor::from(input).into_tvalue());
        let tensors = match &self.network {
            Network::Whole { plan, .. } => plan.run(inputs)?,
            Network::Cut(cut) => {
                let plan = if size == own_size { Arc::clone(&cut.plan) } else { cut.rectangular_plan(size)? };
                cut.buffers.lend(|| plan.run(inputs))?
            }
        };
        Ok(Output { network: &self.network, tensors })
    }
}

impl Cut {
    /// The graph on our operators, or why not.
    fn of(graph: &TypedModel, layout: Layout, size: [usize; 2], options: &Options) -> Result<Self, String> {
        let (head, maps) = Head::find(graph)
            .filter(|(head, _)| head.classes() == layout.classes())
            .ok_or("the last part of the graph is none that is known")?;
        let built = lower(graph, &maps, options.isa).and_then(|recipe| {
            let plan = recipe.build([1, 3, size[0], size[1]])?.into_runnable()?;
            Ok((recipe, plan))
        });
        let (recipe, plan) = built.map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            isa: options.isa,
            recipe,
            head,
            buffers: Buffers::default(),
            plan,
            rectangular: options.rectangular.then(Mutex::default),
        })
    }

    /// The plan for an input of this height and width: kept, or built and kept.
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

/// Height and width of the graph's image input; 640 where the file leaves them open.
fn input_size(graph: &InferenceModel) -> TractResult<(u32, u32)> {
    const DEFAULT: i64 = 640;
    let fact = graph.input_fact(0)?;
    let side = |axis: usize| {
        let dim = fact.shape.dim(axis).and_then(|dim| dim.concretize()).and_then(|dim| dim.to_i64().ok());
        u32::try_from(dim.filter(|&side| side > 0).unwrap_or(DEFAULT))
    };
    Ok((side(2)?, side(3)?))
}

/// Ultralytics' exporter writes the names as a Python dictionary: `{0: 'person', 1: "driver's seat"}`.
fn class_names(proto: &ModelProto) -> Vec<String> {
    proto
        .metadata_props
        .iter()
        .find(|entry| entry.key == "names")
        .map(|entry| python_strings(&entry.value))
        .unwrap_or_default()
}

/// The string literals of a Python list or dictionary, in order.
fn python_strings(text: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut chars = text.chars();
    while let Some(quote) = chars.by_ref().find(|c| matches!(c, '\'' | '"')) {
        let mut string = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => string.extend(chars.next()),
                c if c == quote => break,
                c => string.push(c),
            }
        }
        strings.push(string);
    }
    strings
}

/// The file's names if there is one for each class, else COCO's if they fit, else "class 0", "class 1" and so on.
fn complete_names(from_file: Vec<String>, classes: usize) -> Vec<Arc<str>> {
    if from_file.len() == classes {
        from_file.into_iter().map(Arc::from).collect()
    } else if classes == coco::NAMES.len() {
        coco::NAMES.into_iter().map(Arc::from).collect()
    } else {
        (0..classes).map(|class| format!("class {class}").into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_dictionary_of_names() {
        let text = r#"{0: 'person', 1: "driver's seat", 2: 'it\'s', 3: 'größe'}"#;
        assert_eq!(python_strings(text), ["person", "driver's seat", "it's", "größe"]);
        assert_eq!(python_strings("['a', 'b']"), ["a", "b"]);
        assert!(python_strings("{}").is_empty());
    }

    #[test]
    fn names_fall_back_to_coco_then_to_numbers() {
        assert_eq!(&*complete_names(vec![], 80)[5], "bus");
        assert_eq!(&*complete_names(vec!["a".into(), "b".into()], 2)[1], "b");
        assert_eq!(&*complete_names(vec!["a".into()], 2)[1], "class 1");
    }

    #[test]
    fn a_missing_file_and_a_wrong_file_are_told_apart() {
        let missing = Model::load(Path::new("no-such-file.onnx")).expect_err("missing");
        assert!(missing.to_string().contains("no-such-file.onnx"), "{missing}");
        assert!(matches!(missing, LoadError::Read { .. }));
        let wrong = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(!matches!(Model::load(&wrong).expect_err("wrong"), LoadError::Read { .. }));
    }
}
