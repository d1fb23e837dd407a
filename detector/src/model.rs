//! An ONNX file, loaded with tract and ready to run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use crate::coco;
use crate::decode::Layout;

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

/// A YOLO model: immutable, shared by threads, one run at a time on each.
#[derive(Debug)]
pub struct Model {
    /// The file's name without extension; recorded with each prediction.
    name: String,
    /// tract's optimised graph and the order to run it in.
    plan: Arc<TypedRunnableModel>,
    input_width: u32,
    input_height: u32,
    layout: Layout,
    class_names: Vec<Arc<str>>,
}

impl Model {
    /// Load an ONNX file.
    ///
    /// # Errors
    /// [`LoadError`] if it can't be read, is no ONNX file that tract runs, or no detector.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let onnx_error = |error: TractError| LoadError::Onnx { path: path.into(), reason: format!("{error:#}") };
        let not_a_detector = |found: String| LoadError::NotADetector { path: path.into(), found };
        let file = std::fs::File::open(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
        let onnx = tract_onnx::onnx();
        let proto = onnx.proto_model_for_read(&mut std::io::BufReader::new(file)).map_err(onnx_error)?;
        let names_in_file = class_names(&proto);
        let mut graph =
            onnx.model_for_proto_model_with_model_template(&proto, InferenceModel::default()).map_err(onnx_error)?;
        drop(proto);
        if graph.input_outlets().map_err(onnx_error)?.len() != 1 {
            return Err(not_a_detector(format!("{} inputs", graph.inputs.len())));
        }
        let (input_height, input_width) = input_size(&graph).map_err(onnx_error)?;
        let input_shape = [1, 3, input_height as usize, input_width as usize];
        graph.set_input_fact(0, f32::fact(input_shape).into()).map_err(onnx_error)?;
        let graph = graph.into_optimized().map_err(onnx_error)?;
        let output = graph.output_fact(0).map_err(onnx_error)?;
        let shape = output.shape.as_concrete().unwrap_or_default().to_vec();
        let layout = Layout::of_shape(&shape)
            .filter(|_| output.datum_type == f32::datum_type())
            .ok_or_else(|| not_a_detector(format!("its output is {output:?}")))?;
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            plan: graph.into_runnable().map_err(onnx_error)?,
            input_width,
            input_height,
            layout,
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

    /// How [`run`](Self::run)'s values are laid out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The name of each class, by class id.
    #[must_use]
    pub fn class_names(&self) -> &[Arc<str>] {
        &self.class_names
    }

    /// Run the network on one input: `[3, height, width]` values in `0..=1`, channels first. The result's values are
    /// laid out as [`layout`](Self::layout) says.
    ///
    /// # Errors
    /// tract's, if the input has the wrong size or an operator fails.
    pub fn run(&self, input: Vec<f32>) -> TractResult<Vec<f32>> {
        let shape = [1, 3, self.input_height as usize, self.input_width as usize];
        let input = Tensor::from_shape(&shape, &input)?;
        let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
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
