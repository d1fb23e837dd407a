//! The parameters of one call, whichever way they were sent.

use std::collections::HashMap;

use axum::body::Body;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// A file that came with a call.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) file_name: Option<String>,
    pub(crate) bytes: Bytes,
}

/// JSON gives typed values and a form gives text (with JSON inside for what is nested), so the reader of a parameter
/// says which type it wants, as the real server does.
#[derive(Debug, Default)]
pub(crate) struct Params {
    values: Map<String, Value>,
    uploads: HashMap<String, Upload>,
}

impl Params {
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => Ok(Self { values, uploads: HashMap::new() }),
            _ => Err(Refusal::bad_request("can't parse request body JSON object")),
        }
    }

    pub(crate) fn from_pairs(pairs: HashMap<String, String>) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        Self { values, uploads: HashMap::new() }
    }

    pub(crate) async fn from_form(body: Bytes, boundary: String) -> Result<Self, Refusal> {
        let unreadable = |_| Refusal::bad_request("can't parse multipart form data");
        let mut form = multer::Multipart::new(Body::from(body).into_data_stream(), boundary);
        let mut params = Self::default();
        while let Some(field) = form.next_field().await.map_err(unreadable)? {
            let Some(name) = field.name().map(str::to_owned) else { continue };
            let file_name = field.file_name().map(str::to_owned);
            let bytes = field.bytes().await.map_err(unreadable)?;
            if file_name.is_none()
                && let Ok(text) = std::str::from_utf8(&bytes)
            {
                params.values.insert(name.clone(), Value::String(text.to_owned()));
            }
            // A nameless part may still be a file: teloxide leaves the name out for bytes from memory.
            let file_name = file_name.filter(|name| !name.is_empty());
            params.uploads.insert(name, Upload { file_name, bytes });
        }
        Ok(params)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.values.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes"),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        }
    }

    /// A nested value: as it is in JSON, or as JSON in a form's text.
    pub(crate) fn nested(&self, name: &str) -> Result<Option<Value>, Refusal> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Refusal::bad_request(format!("can't parse {name} JSON object"))),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    pub(crate) fn upload(&self, name: &str) -> Option<&Upload> {
        self.uploads.get(name)
    }
}
