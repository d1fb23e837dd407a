//! An ONNX file's metadata, as the exporters of YOLO models write them.

use std::collections::BTreeMap;
use std::sync::Arc;

use photo::coco;
use tract_onnx::pb::ModelProto;

use crate::python::Literal;

/// The metadata that matter here; each is `None` or empty if the file does not have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    /// `detect`, `segment`, `pose`, `obb`, `classify`.
    pub(crate) task: Option<String>,
    /// By class id.
    pub(crate) names: BTreeMap<usize, String>,
    /// Height and width of the input that the model is meant for.
    pub(crate) image_size: Option<[usize; 2]>,
    /// Whether the output is detections, not candidates.
    pub(crate) end_to_end: Option<bool>,
    /// In words, such as `Ultralytics YOLO11n model`.
    pub(crate) description: Option<String>,
}

impl Metadata {
    /// Reads a file's metadata.
    pub(crate) fn of(proto: &ModelProto) -> Self {
        let value = |key: &str| proto.metadata_props.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
        let literal = |key: &str| value(key).and_then(Literal::parse);
        let truth = |literal: Option<&Literal>| match literal {
            Some(Literal::Bool(truth)) => Some(*truth),
            _ => None,
        };
        let args = literal("args");
        let told = [
            truth(literal("end2end").as_ref()),
            truth(literal("nms").as_ref()),
            truth(args.as_ref().and_then(|args| args.get("nms"))),
        ];
        let end_to_end = told.into_iter().flatten().reduce(|any, other| any || other);
        Self {
            task: value("task").map(str::to_owned),
            names: literal("names").map(names).unwrap_or_default(),
            image_size: literal("imgsz").and_then(|size| image_size(&size)),
            end_to_end,
            description: value("description").map(|text| text.trim().to_owned()),
        }
    }

    /// What is worth showing of them and of the file, as pairs of a label and a text.
    pub(crate) fn said(&self, proto: &ModelProto) -> Vec<(&'static str, String)> {
        let opset = proto.opset_import.iter().find(|import| import.domain.is_empty()).map(|import| import.version);
        let producer = format!("{} {}", proto.producer_name, proto.producer_version);
        [
            ("description", self.description.clone()),
            ("producer", Some(producer.trim().to_owned()).filter(|producer| !producer.is_empty())),
            ("opset", opset.map(|opset| opset.to_string())),
            ("task", self.task.clone()),
            ("imgsz", self.image_size.map(|[height, width]| format!("{width} x {height}"))),
            ("end to end", self.end_to_end.map(|end_to_end| if end_to_end { "yes" } else { "no" }.to_owned())),
            ("names", Some(self.names.len().to_string())),
        ]
        .into_iter()
        .filter_map(|(what, words)| Some((what, words?)))
        .collect()
    }

    /// How many classes the names are for.
    pub(crate) fn named_classes(&self) -> usize {
        match (self.names.keys().next(), self.names.keys().next_back()) {
            (Some(0), Some(last)) => last + 1,
            // Some count from 1.
            _ => self.names.len(),
        }
    }

    /// A name for each class: the file's, else COCO's if they fit, else "class 7".
    pub(crate) fn class_names(&self, classes: usize) -> Vec<Arc<str>> {
        if self.names.is_empty() && classes == coco::NAMES.len() {
            return coco::NAMES.into_iter().map(Arc::from).collect();
        }
        // Some count from 1: as many names as classes, the last one beyond them.
        let is_shifted = self.names.len() == classes && self.names.keys().next_back().is_some_and(|&id| id >= classes);
        if is_shifted {
            return self.names.values().map(|name| Arc::from(&**name)).collect();
        }
        let name =
            |class| self.names.get(&class).map_or_else(|| format!("class {class}").into(), |name| Arc::from(&**name));
        (0..classes).map(name).collect()
    }
}

/// Class names, written as a dictionary or as a list.
fn names(literal: Literal) -> BTreeMap<usize, String> {
    let entry = |(key, value): (Option<usize>, Literal)| match value {
        Literal::Text(name) => Some((key?, name)),
        // Data sets with classes such as 0 to 9 have names that are numbers.
        Literal::Number(number) => Some((key?, number.to_string())),
        _ => None,
    };
    match literal {
        Literal::List(values) => {
            values.into_iter().enumerate().map(|(i, value)| (Some(i), value)).filter_map(entry).collect()
        }
        Literal::Dict(entries) => {
            entries.into_iter().map(|(key, value)| (key.index(), value)).filter_map(entry).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// `[height, width]`, or one number for both.
fn image_size(literal: &Literal) -> Option<[usize; 2]> {
    let side = |literal: &Literal| literal.index().filter(|&side| side > 0);
    match literal {
        Literal::List(sides) => match &sides[..] {
            [height, width] => Some([side(height)?, side(width)?]),
            [both] => side(both).map(|side| [side; 2]),
            _ => None,
        },
        both => side(both).map(|side| [side; 2]),
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::StringStringEntryProto;

    use super::*;

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
        Metadata::of(&ModelProto { metadata_props: entries.iter().map(entry).collect(), ..ModelProto::default() })
    }

    fn class_names(names: &str, classes: usize) -> Vec<String> {
        metadata(&[("names", names)]).class_names(classes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_file_says_is_read() {
        let said = metadata(&[
            ("task", "detect"),
            ("imgsz", "[320, 640]"),
            ("end2end", "False"),
            ("args", "{'nms': True, 'batch': 1}"),
            ("names", "['cat', 'dog']"),
            ("description", "Ultralytics YOLOv8n model "),
        ]);
        assert_eq!(said.task.as_deref(), Some("detect"));
        assert_eq!(said.image_size, Some([320, 640]));
        assert_eq!(said.end_to_end, Some(true));
        assert_eq!(said.description.as_deref(), Some("Ultralytics YOLOv8n model"));
        assert_eq!(said.names.len(), 2);
        assert_eq!(metadata(&[]), Metadata::default());
        assert_eq!(metadata(&[("end2end", "False")]).end_to_end, Some(false));
        for (written, size) in [("640", Some([640, 640])), ("[64]", Some([64, 64])), ("[0, 64]", None), ("auto", None)]
        {
            assert_eq!(metadata(&[("imgsz", written)]).image_size, size, "{written}");
        }
    }

    #[test]
    fn a_class_without_a_name_is_named_by_its_number() {
        assert_eq!(class_names("{0: 'cat', 2: 'dog'}", 3), ["cat", "class 1", "dog"]);
        assert_eq!(class_names("{0: 'cat'}", 2), ["cat", "class 1"]);
        assert_eq!(class_names("{1: 'cat', 2: 'dog'}", 2), ["cat", "dog"]);
        assert_eq!(class_names("{0: 7, 1: 'x'}", 2), ["7", "x"]);
        assert_eq!(class_names("{", 1), ["class 0"]);
        assert_eq!(class_names("{}", 80)[5], "bus");
        assert_eq!(class_names("{0: 'cat'}", 80)[5], "class 5");
    }
}
