//! A service's reply, before it becomes an HTTP response.

use bytes::Bytes;
use hyper::http::HeaderValue;
use hyper::{HeaderMap, StatusCode, header};
use serde::Serialize;

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.into() }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::new(StatusCode::OK, "application/x-amz-json-1.0", value.to_string())
    }

    pub(crate) fn cbor(value: &impl Serialize) -> Self {
        let mut body = Vec::new();
        ciborium::into_writer(value, &mut body)
            .expect("a Vec takes every write, and these types have no failing parts");
        Self::new(StatusCode::OK, "application/cbor", body).with("smithy-protocol", "rpc-v2-cbor")
    }

    pub(crate) fn xml(body: String) -> Self {
        Self::new(StatusCode::OK, "text/xml", body)
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a header; a value that no header may hold is left out.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}
