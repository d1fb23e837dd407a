//! An error that a service returns, written as that service's protocol writes errors.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::reply::Reply;
use crate::service::{Protocol, Service};
use crate::xml;

/// A refused or failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct Failure {
    pub(crate) status: u16,
    /// The code by which the SDK tells errors apart.
    pub(crate) code: String,
    pub(crate) message: String,
    /// What else a service of JSON tells, beside the message.
    details: Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Map::new() }
    }

    /// The client's mistake.
    pub(crate) fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Tells something else, too.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.details.insert(name.to_owned(), value);
        self
    }

    /// A call that AWS has and this endpoint has not. Logged, because a test that meets it is usually about to fail.
    pub(crate) fn unknown_operation(service: Service, operation: &str) -> Self {
        tracing::warn!(%service, operation, "the embedded AWS does not offer this operation");
        let code = match service.protocol() {
            Protocol::Query => "InvalidAction",
            _ => "UnknownOperationException",
        };
        Self::bad(code, format!("the embedded AWS offers no {operation:?} in {service}"))
    }

    pub(crate) fn render(&self, service: Service) -> Reply {
        let fault = if self.status < 500 { "Sender" } else { "Receiver" };
        let message = &self.message;
        let code = &self.code;
        // The last segment: SQS's query codes carry a prefix that its JSON shapes do not.
        let shape = code.rsplit('.').next().unwrap_or(code);
        let mut body = self.details.clone();
        body.insert("__type".to_owned(), json!(shape));
        body.insert("message".to_owned(), json!(message));
        let body = Value::Object(body);
        let reply = match service.protocol() {
            Protocol::Json10 => Reply::json(&body),
            Protocol::Json11 => Reply::new(StatusCode::OK, "application/x-amz-json-1.1", body.to_string()),
            Protocol::RpcV2Cbor => Reply::cbor(&body),
            Protocol::Query => Reply::xml(format!(
                "<ErrorResponse><Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message></Error>\
                 <RequestId>embedded</RequestId></ErrorResponse>",
                xml::escape(code),
                xml::escape(message)
            )),
            Protocol::RestXml => Reply::new(
                StatusCode::OK,
                "application/xml",
                format!(
                    "<Error><Code>{}</Code><Message>{}</Message><RequestId>embedded</RequestId></Error>",
                    xml::escape(code),
                    xml::escape(message)
                ),
            ),
        };
        // SQS and CloudWatch once spoke the query protocol; their clients still know errors by the code it had.
        let reply = match service {
            Service::Sqs | Service::CloudWatch => reply.with("x-amzn-query-error", &format!("{code};{fault}")),
            _ => reply,
        };
        reply.status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }
}
