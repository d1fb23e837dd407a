//! What the numbers of a detector's output mean.

use std::str::FromStr;

use crate::metadata::Metadata;

/// How a model lays out its one output: for each of `boxes` predictions a box in input pixels, and how sure the model is of
/// each of `classes` classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// YOLOv5, v6 and v7: `[1, boxes, 5 + classes]`; a row is `cx, cy, width, height, objectness, scores...` and the
    /// confidence is objectness times score.
    RowsWithObjectness {
        /// Number of predictions.
        boxes: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The transposed output of YOLOv8 and later: `[1, boxes, 4 + classes]`; a row is `cx, cy, width, height, scores...`.
    Rows {
        /// Number of predictions.
        boxes: usize,
        /// Number of classes.
        classes: usize,
    },
    /// YOLOv8 and later: `[1, 4 + classes, boxes]`; a column is `cx, cy, width, height, scores...` and the confidence is
    /// the score.
    Columns {
        /// Number of predictions.
        boxes: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Finished detections: `[1, boxes, 6]`; a row is `left, top, right, bottom, confidence, class`. YOLOv10, YOLO26, and models
    /// that were exported with their NMS.
    EndToEnd {
        /// The most detections.
        boxes: usize,
        /// Number of classes, as far as the file names them.
        classes: usize,
    },
}

/// A [`Layout`] by its name, for a model whose output could be two: what the setting `MODEL_LAYOUT` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutName {
    /// `rows-with-objectness`.
    RowsWithObjectness,
    /// `rows`.
    Rows,
    /// `columns`.
    Columns,
    /// `end-to-end`.
    EndToEnd,
}

impl LayoutName {
    const ALL: [Self; 4] = [Self::Columns, Self::Rows, Self::RowsWithObjectness, Self::EndToEnd];
}

impl std::fmt::Display for LayoutName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RowsWithObjectness => "rows-with-objectness",
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::EndToEnd => "end-to-end",
        })
    }
}

/// The text names no [`LayoutName`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not one of columns, rows, rows-with-objectness and end-to-end")]
pub struct UnknownLayout(String);

impl FromStr for LayoutName {
    type Err = UnknownLayout;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|layout| layout.to_string() == name).ok_or_else(|| UnknownLayout(name.into()))
    }
}

/// An output that can't be decoded: what it is, and what the reader can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) found: String,
    pub(crate) instead: String,
}

impl Unknown {
    pub(crate) fn new(found: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { found: found.into(), instead: instead.into() }
    }
}

/// What to do about a model that this program can't decode.
pub(crate) const EXPORT_A_DETECTOR: &str =
    "export a model that was trained to detect, such as `yolo export model=yolo11n.pt format=onnx`";

impl Layout {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        match *self {
            Self::RowsWithObjectness { classes, .. }
            | Self::Rows { classes, .. }
            | Self::Columns { classes, .. }
            | Self::EndToEnd { classes, .. } => classes,
        }
    }

    /// Number of predictions.
    #[must_use]
    pub fn boxes(&self) -> usize {
        match *self {
            Self::RowsWithObjectness { boxes, .. }
            | Self::Rows { boxes, .. }
            | Self::Columns { boxes, .. }
            | Self::EndToEnd { boxes, .. } => boxes,
        }
    }

    /// The name without the sizes.
    #[must_use]
    pub fn name(&self) -> LayoutName {
        match self {
            Self::RowsWithObjectness { .. } => LayoutName::RowsWithObjectness,
            Self::Rows { .. } => LayoutName::Rows,
            Self::Columns { .. } => LayoutName::Columns,
            Self::EndToEnd { .. } => LayoutName::EndToEnd,
        }
    }

    /// Values in the output.
    pub(crate) fn values(&self) -> usize {
        match *self {
            Self::RowsWithObjectness { boxes, classes } => boxes * (5 + classes),
            Self::Rows { boxes, classes } | Self::Columns { boxes, classes } => boxes * (4 + classes),
            Self::EndToEnd { boxes, .. } => boxes * 6,
        }
    }

    /// This layout of an output `[1, first, last]`, if it can be.
    fn named(name: LayoutName, [first, last]: [usize; 2], names: usize) -> Option<Self> {
        match name {
            LayoutName::RowsWithObjectness if last > 5 => {
                Some(Self::RowsWithObjectness { boxes: first, classes: last - 5 })
            }
            LayoutName::Rows if last > 4 => Some(Self::Rows { boxes: first, classes: last - 4 }),
            LayoutName::Columns if first > 4 => Some(Self::Columns { boxes: last, classes: first - 4 }),
            LayoutName::EndToEnd if last == 6 => Some(Self::EndToEnd { boxes: first, classes: names }),
            _ => None,
        }
        .filter(|layout| layout.boxes() > 0)
    }

    /// Returns the layouts that an output of this shape may have, for an input of this height and width: one, unless only the
    /// network itself can tell.
    ///
    /// A YOLO network predicts a box, or one for each of three anchors, at every place of its maps, so the number of boxes
    /// follows from the size of the input. The other side of the output then has to fit the names.
    pub(crate) fn possible(
        shape: &[usize],
        input: [usize; 2],
        metadata: &Metadata,
        asked: Option<LayoutName>,
    ) -> Result<Vec<Self>, Unknown> {
        let of_shape = format!("its output is {shape:?}");
        let &[1, first, last] = shape else { return Err(Unknown::new(of_shape, EXPORT_A_DETECTOR)) };
        let sides = [first, last];
        let names = metadata.named_classes();
        let named = |name| Self::named(name, sides, names);
        if let Some(asked) = asked {
            let wrong = || Unknown::new(format!("{of_shape}, which is not {asked}"), "unset MODEL_LAYOUT");
            return named(asked).map(|layout| vec![layout]).ok_or_else(wrong);
        }
        let (rows, columns) = (anchors(input, first), anchors(input, last));
        let is_detections = last == 6 && metadata.end_to_end != Some(false);
        if is_detections && (metadata.end_to_end == Some(true) || rows.is_none() && columns.is_none()) {
            return Ok(named(LayoutName::EndToEnd).into_iter().collect());
        }
        let is_detector = metadata.task.as_deref() == Some("detect");
        let [height, width] = input;
        let is_detr = metadata.description.as_ref().is_some_and(|text| text.to_uppercase().contains("DETR"));
        if rows.is_none() && columns.is_none() && !is_detr && is_detector && names > 0 && first == 4 + names {
            // Maps of other sizes than are known, but a score for each name; DETRs have rows.
            return Ok(named(LayoutName::Columns).into_iter().collect());
        }
        if rows.is_none() && columns.is_none() || is_detr {
            let found = if is_detr || first.is_multiple_of(100) && first <= 1000 {
                format!("{of_shape}: {first} boxes whatever the input, as RT-DETR and other DETRs have")
            } else {
                format!("{of_shape}, which fits none of the maps of a YOLO for {width}x{height}")
            };
            let instead = format!("{EXPORT_A_DETECTOR}; if it is a detector, name its layout in MODEL_LAYOUT");
            return Err(Unknown::new(found, instead));
        }
        let fits = |name: LayoutName| match name {
            LayoutName::Columns => columns.is_some(),
            LayoutName::Rows | LayoutName::RowsWithObjectness => rows.is_some(),
            LayoutName::EndToEnd => false,
        };
        let mut possible: Vec<Self> =
            LayoutName::ALL.into_iter().filter(|&name| fits(name)).filter_map(named).collect();
        if names > 0 {
            let of_names: Vec<Self> = possible.iter().copied().filter(|layout| layout.classes() == names).collect();
            if !of_names.is_empty() {
                possible = of_names;
            } else if !is_detector {
                return Err(Unknown::new(
                    format!("{of_shape} for {names} named classes{}", surplus(&possible, names)),
                    format!("{EXPORT_A_DETECTOR}; if it is a detector, name its layout in MODEL_LAYOUT"),
                ));
            }
        }
        if possible.len() > 1 {
            // What exporters write: three anchors only with objectness, Ultralytics' own columns, COCO's 80 classes.
            let has = |name: LayoutName| possible.iter().any(|layout| layout.name() == name);
            let coco = |layout: &&Self| names == 0 && layout.classes() == 80;
            let usual = if is_detector && has(LayoutName::Columns) {
                possible.iter().find(|layout| layout.name() == LayoutName::Columns)
            } else if rows == Some(3) && !has(LayoutName::Columns) {
                possible.iter().find(|layout| layout.name() == LayoutName::RowsWithObjectness)
            } else if possible.iter().filter(coco).count() == 1 {
                possible.iter().find(coco)
            } else {
                None
            };
            if let Some(&usual) = usual {
                possible = vec![usual];
            }
        }
        if possible.is_empty() {
            return Err(Unknown::new(of_shape, EXPORT_A_DETECTOR));
        }
        Ok(possible)
    }

    /// The error for an output that can have several layouts.
    pub(crate) fn ambiguous(possible: &[Self], shape: &[usize]) -> Unknown {
        let names: Vec<String> = possible.iter().map(|layout| layout.name().to_string()).collect();
        Unknown::new(
            format!("its output {shape:?} may be {}, and nothing in the file tells which", names.join(" or ")),
            "say which in MODEL_LAYOUT",
        )
    }
}

/// Predictions at each place of the maps of a YOLO network, if it predicts so many boxes for an input of this height and
/// width: 1, or 3 where there are anchors.
fn anchors([height, width]: [usize; 2], boxes: usize) -> Option<usize> {
    // By the largest and the smallest stride.
    let strides = [(8, 32), (4, 32), (8, 64), (4, 64), (16, 32), (8, 16), (32, 32), (16, 16), (8, 8)];
    let places = |(least, most): (usize, usize)| -> usize {
        std::iter::successors(Some(least), |stride| Some(stride * 2))
            .take_while(|&stride| stride <= most)
            .map(|stride| height.div_ceil(stride) * width.div_ceil(stride))
            .sum()
    };
    let all: Vec<usize> = strides.into_iter().map(places).collect();
    [1, 3].into_iter().find(|anchors| all.iter().any(|places| places * anchors == boxes))
}

/// What the values beside boxes and named classes seem to be, judged by their number.
fn surplus(possible: &[Layout], names: usize) -> &'static str {
    let columns = possible.iter().find(|layout| layout.name() == LayoutName::Columns);
    match columns.and_then(|layout| layout.classes().checked_sub(names)) {
        Some(1) => ": one value more, as oriented boxes (OBB) have",
        Some(32) => ": 32 values more, as segmentation has",
        Some(more) if more > 0 && more % 3 == 0 => ": values in threes more, as poses have",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(names: usize) -> Metadata {
        Metadata { names: (0..names).map(|id| (id, format!("name {id}"))).collect(), ..Metadata::default() }
    }

    fn detect(names: usize) -> Metadata {
        Metadata { task: Some("detect".into()), ..metadata(names) }
    }

    fn possible(shape: [usize; 3], side: usize, metadata: &Metadata) -> Result<Vec<Layout>, Unknown> {
        Layout::possible(&shape, [side; 2], metadata, None)
    }

    fn refused(shape: [usize; 3], side: usize, metadata: &Metadata) -> String {
        possible(shape, side, metadata).expect_err("refused").found
    }

    #[test]
    fn the_number_of_places_tells_the_boxes() {
        let columns = |boxes, classes| Ok(vec![Layout::Columns { boxes, classes }]);
        let rows = |boxes, classes| Ok(vec![Layout::RowsWithObjectness { boxes, classes }]);
        let none = Metadata::default();
        assert_eq!(possible([1, 84, 8400], 640, &none), columns(8400, 80));
        assert_eq!(possible([1, 25200, 85], 640, &none), rows(25200, 80));
        assert_eq!(possible([1, 8400, 85], 640, &none), rows(8400, 80));
        assert_eq!(possible([1, 8400, 84], 640, &none), Ok(vec![Layout::Rows { boxes: 8400, classes: 80 }]));
        // With maps of stride 4, or 64, too.
        assert_eq!(possible([1, 84, 34000], 640, &none), columns(34000, 80));
        assert_eq!(possible([1, 102_000, 85], 1280, &none), rows(102_000, 80));
        // More classes than places.
        assert_eq!(possible([1, 1207, 336], 128, &none), columns(336, 1203));
        assert_eq!(possible([1, 1207, 336], 128, &metadata(1203)), columns(336, 1203));
        // One class.
        assert_eq!(possible([1, 5, 2100], 320, &none), columns(2100, 1));
        assert_eq!(possible([1, 252, 6], 64, &metadata(1)), rows(252, 1));
        assert_eq!(possible([1, 252, 6], 64, &none), rows(252, 1));
        assert_eq!(possible([1, 84, 10], 64, &detect(6)), Ok(vec![Layout::Rows { boxes: 84, classes: 6 }]));
        // A class that is not named is a class all the same.
        assert_eq!(possible([1, 10, 8400], 640, &detect(4)), columns(8400, 6));
    }

    #[test]
    fn as_many_values_as_places_are_told_by_who_wrote_them() {
        assert_eq!(possible([1, 84, 84], 64, &detect(80)), Ok(vec![Layout::Columns { boxes: 84, classes: 80 }]));
        let both = possible([1, 84, 84], 64, &metadata(80)).expect("possible");
        assert_eq!(both.len(), 2);
        let told = Layout::ambiguous(&both, &[1, 84, 84]);
        assert!(told.found.contains("columns or rows") && told.instead.contains("MODEL_LAYOUT"), "{told:?}");
        let asked = Layout::possible(&[1, 84, 84], [64; 2], &metadata(80), Some(LayoutName::Rows));
        assert_eq!(asked, Ok(vec![Layout::Rows { boxes: 84, classes: 80 }]));
        let asked = Layout::possible(&[1, 84, 84], [64; 2], &metadata(80), Some(LayoutName::EndToEnd));
        assert!(asked.expect_err("six values a box").found.contains("not end-to-end"));
        // With objectness and one class, or without and two.
        assert_eq!(possible([1, 84, 6], 64, &Metadata::default()).map(|all| all.len()), Ok(2));
    }

    #[test]
    fn detections_are_told_from_candidates() {
        let end_to_end = |boxes, classes| Ok(vec![Layout::EndToEnd { boxes, classes }]);
        assert_eq!(possible([1, 300, 6], 640, &metadata(80)), end_to_end(300, 80));
        assert_eq!(possible([1, 300, 6], 640, &Metadata::default()), end_to_end(300, 0));
        // As many as there are places, but the file says what they are.
        let said = Metadata { end_to_end: Some(true), ..detect(6) };
        assert_eq!(possible([1, 84, 6], 64, &said), end_to_end(84, 6));
        let said = Metadata { end_to_end: Some(false), ..detect(6) };
        assert!(possible([1, 300, 6], 640, &said).is_err());
    }

    #[test]
    fn other_networks_are_refused_by_name() {
        assert!(refused([1, 300, 84], 640, &detect(80)).contains("RT-DETR"));
        assert!(refused([1, 116, 8400], 640, &metadata(80)).contains("segmentation"));
        assert!(refused([1, 56, 8400], 640, &metadata(1)).contains("poses"));
        assert!(refused([1, 20, 21504], 1024, &metadata(15)).contains("oriented"));
        assert!(refused([1, 85, 8401], 640, &Metadata::default()).contains("640x640"));
        let shape = [1, 1000];
        let found = Layout::possible(&shape, [224; 2], &Metadata::default(), None).expect_err("a classifier").found;
        assert!(found.contains("[1, 1000]"), "{found}");
        for shape in [[2, 84, 8400], [1, 3, 8400], [1, 8400, 4], [1, 0, 0]] {
            assert!(possible(shape, 640, &Metadata::default()).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn names_of_layouts_come_back() {
        for name in LayoutName::ALL {
            assert_eq!(name.to_string().parse::<LayoutName>().expect("a name"), name);
        }
        assert!("Columns".parse::<LayoutName>().is_err());
    }
}
