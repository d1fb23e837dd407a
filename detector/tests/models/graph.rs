//! ONNX files, made as exporters write them.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_shape_proto, type_proto,
};

/// The same values in every run.
pub(crate) struct Random(pub(crate) u32);

impl Random {
    /// In `-1..1`.
    pub(crate) fn value(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.value() * scale).collect()
    }
}

/// An ONNX graph under construction, and what its file says beside it.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) proto: GraphProto,
    pub(crate) metadata: Vec<(&'static str, String)>,
}

impl Graph {
    pub(crate) fn node(&mut self, op_type: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.proto.node.push(NodeProto {
            name: outputs[0].into(),
            op_type: op_type.into(),
            input: owned(inputs),
            output: owned(outputs),
            attribute,
            ..NodeProto::default()
        });
    }

    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], float_data: Vec<f32>) {
        let dims = dims.iter().map(|&dim| dim as i64).collect();
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type: 1,
            float_data,
            ..TensorProto::default()
        });
    }

    pub(crate) fn integers(&mut self, name: &str, int64_data: &[usize]) {
        let int64_data: Vec<i64> = int64_data.iter().map(|&value| value as i64).collect();
        let dims = vec![int64_data.len() as i64];
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type: 7,
            int64_data,
            ..TensorProto::default()
        });
    }

    /// A shape in which -1 stands for what is left.
    pub(crate) fn shape(&mut self, name: &str, sides: &[i64]) {
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![sides.len() as i64],
            data_type: 7,
            int64_data: sides.to_vec(),
            ..TensorProto::default()
        });
    }

    /// A convolution whose windows lie beside each other, with SiLU unless it is one by one.
    pub(crate) fn convolution(&mut self, random: &mut Random, input: &str, output: &str, [from, to, side]: [usize; 3]) {
        let (weights, bias) = (format!("{output}.weight"), format!("{output}.bias"));
        let scale = 2.0 / ((from * side * side) as f32).sqrt();
        self.floats(&weights, &[to, from, side, side], random.values(to * from * side * side, scale));
        self.floats(&bias, &[to], random.values(to, 1.0));
        let attributes = vec![integers("kernel_shape", &[side, side]), integers("strides", &[side, side])];
        let inputs = [input, &weights, &bias];
        if side == 1 {
            self.node("Conv", &inputs, &[output], attributes);
        } else {
            let [raw, sigmoid] = ["raw", "sigmoid"].map(|part| format!("{output}.{part}"));
            self.node("Conv", &inputs, &[&raw], attributes);
            self.node("Sigmoid", &[&raw], &[&sigmoid], vec![]);
            self.node("Mul", &[&raw, &sigmoid], &[output], vec![]);
        }
    }

    pub(crate) fn step(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.node(op_type, inputs, &[output], attributes);
        output.into()
    }

    /// Declare the input.
    pub(crate) fn input(&mut self, name: &str, dims: &[usize]) {
        self.proto.input.push(value(name, 1, dims));
    }

    /// Declare an output.
    pub(crate) fn output(&mut self, name: &str, dims: &[usize]) {
        self.proto.output.push(value(name, 1, dims));
    }

    /// The bytes of the file.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.into(), value };
        let model = ModelProto {
            ir_version: 7,
            opset_import: vec![OperatorSetIdProto { version: 12, ..OperatorSetIdProto::default() }],
            metadata_props: self.metadata.into_iter().map(entry).collect(),
            graph: Some(self.proto),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    /// The file.
    pub(crate) fn file(self) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".onnx").tempfile().expect("a file");
        std::fs::write(file.path(), self.bytes()).expect("written");
        file
    }
}

/// A declaration of a tensor; a side of 0 is open.
pub(crate) fn value(name: &str, elem_type: i32, dims: &[usize]) -> ValueInfoProto {
    let dim = dims.iter().map(|&dim| {
        let value = match dim {
            0 => tensor_shape_proto::dimension::Value::DimParam("open".into()),
            _ => tensor_shape_proto::dimension::Value::DimValue(dim as i64),
        };
        tensor_shape_proto::Dimension { value: Some(value), ..Default::default() }
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Value::TensorType(type_proto::Tensor { elem_type, shape });
    let r#type = Some(TypeProto { value: Some(tensor), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

pub(crate) fn integer(name: &str, i: usize) -> AttributeProto {
    let r#type = attribute_proto::AttributeType::Int as i32;
    AttributeProto { name: name.into(), r#type, i: i as i64, ..AttributeProto::default() }
}

pub(crate) fn integers(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    let r#type = attribute_proto::AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints, ..AttributeProto::default() }
}

/// An image of made-up values in `0..=1`, channels first.
pub(crate) fn image(width: usize, height: usize) -> Vec<f32> {
    Random(3).values(3 * width * height, 1.0).into_iter().map(f32::abs).collect()
}
