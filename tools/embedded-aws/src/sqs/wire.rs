//! SQS's wire format: awsJson1.0, receipt handles, checksums of attributes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::queue::{Delivery, Receipt};
use crate::ACCOUNT;
use crate::failure::Failure;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfQueue {
    pub(super) queue_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateQueue {
    pub(super) queue_name: String,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueUrl {
    pub(super) queue_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListQueues {
    #[serde(default)]
    pub(super) queue_name_prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueAttributes {
    pub(super) queue_url: String,
    #[serde(default)]
    pub(super) attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetQueueAttributes {
    pub(super) queue_url: String,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

/// One message, alone or in a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Send {
    pub(super) message_body: String,
    pub(super) delay_seconds: Option<u64>,
    #[serde(default)]
    pub(super) message_attributes: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveMessage {
    pub(super) queue_url: String,
    #[serde(default)]
    pub(super) attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) message_system_attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) message_attribute_names: Vec<String>,
    pub(super) max_number_of_messages: Option<i64>,
    pub(super) visibility_timeout: Option<i64>,
    pub(super) wait_time_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    pub(super) receipt_handle: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeVisibility {
    pub(super) receipt_handle: String,
    pub(super) visibility_timeout: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch {
    pub(super) queue_url: String,
    #[serde(default)]
    pub(super) entries: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartMessageMoveTask {
    pub(super) source_arn: String,
    pub(super) destination_arn: Option<String>,
    pub(super) max_number_of_messages_per_second: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMessageMoveTasks {
    pub(super) source_arn: String,
    pub(super) max_results: Option<usize>,
}

pub(super) fn no_such_queue() -> Failure {
    Failure::bad("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

pub(super) fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("InvalidParameterValue", message)
}

/// `value` if it lies in `range`.
pub(super) fn within(name: &str, value: i64, range: std::ops::RangeInclusive<i64>) -> Result<u64, Failure> {
    if !range.contains(&value) {
        let (least, most) = (range.start(), range.end());
        return Err(invalid(format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between {least} and {most}."
        )));
    }
    Ok(value.unsigned_abs())
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|e| Failure::bad("MissingParameter", e.to_string()))
}

pub(super) fn parse_entry<T: DeserializeOwned>(entry: &Value) -> Result<T, Failure> {
    T::deserialize(entry).map_err(|e| Failure::bad("MissingParameter", e.to_string()))
}

pub(super) fn shown_message(delivery: &Delivery, queue: &str, asked: &ReceiveMessage) -> Value {
    let message = &delivery.message;
    let mut system = BTreeMap::from([
        ("ApproximateReceiveCount", message.receives.to_string()),
        ("SentTimestamp", message.sent_at.to_string()),
        ("ApproximateFirstReceiveTimestamp", message.first_received_at.unwrap_or_default().to_string()),
        ("SenderId", ACCOUNT.to_owned()),
    ]);
    if let Some(source) = &message.given_up_by {
        system.insert("DeadLetterQueueSourceArn", source.clone());
    }
    // `AttributeNames` is the older name of the same wish.
    let wished: Vec<_> = asked.attribute_names.iter().chain(&asked.message_system_attribute_names).collect();
    system.retain(|name, _| wished.iter().any(|wish| *wish == "All" || wish == name));
    let wanted = |name: &str| {
        asked.message_attribute_names.iter().any(|wish| match wish.strip_suffix(".*") {
            Some(prefix) => name.starts_with(prefix),
            None => wish == "All" || wish == name,
        })
    };
    let attributes: Map<_, _> =
        message.attributes.iter().filter(|(name, _)| wanted(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    let mut shown = json!({
        "MessageId": message.id,
        "ReceiptHandle": write_receipt(delivery.receipt, queue),
        "MD5OfBody": message.body_md5,
        "Body": message.body,
    });
    if !system.is_empty() {
        shown["Attributes"] = json!(system);
    }
    if !attributes.is_empty() {
        // The checksum covers what is shown, which may be less than what was sent.
        if let Ok(Some(md5)) = attributes_md5(&attributes) {
            shown["MD5OfMessageAttributes"] = json!(md5);
        }
        shown["MessageAttributes"] = Value::Object(attributes);
    }
    shown
}

fn write_receipt(receipt: Receipt, queue: &str) -> String {
    BASE64.encode(format!("{queue} {} {}", receipt.sequence, receipt.receive))
}

pub(super) fn read_receipt(handle: &str, queue: &str) -> Result<Receipt, Failure> {
    let read = || {
        let text = String::from_utf8(BASE64.decode(handle).ok()?).ok()?;
        let mut parts = text.split(' ');
        if parts.next()? != queue {
            return None;
        }
        Some(Receipt { sequence: parts.next()?.parse().ok()?, receive: parts.next()?.parse().ok()? })
    };
    let message = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
    read().ok_or_else(|| Failure::new(404, "ReceiptHandleIsInvalid", message))
}

/// SQS's checksum of message attributes: names, types and values in order of name, each with its length before it.
pub(super) fn attributes_md5(attributes: &Map<String, Value>) -> Result<Option<String>, Failure> {
    if attributes.is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut add = |part: &[u8], kind: Option<u8>| {
        bytes.extend(kind);
        bytes.extend((part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    let sorted: BTreeMap<_, _> = attributes.iter().collect();
    for (name, value) in sorted {
        let data_type = value["DataType"].as_str().ok_or_else(|| invalid(format!("{name} has no DataType.")))?;
        add(name.as_bytes(), None);
        add(data_type.as_bytes(), None);
        if let Some(text) = value["StringValue"].as_str() {
            add(text.as_bytes(), Some(1));
        } else {
            let binary = value["BinaryValue"].as_str().and_then(|b| BASE64.decode(b).ok());
            add(&binary.ok_or_else(|| invalid(format!("The message attribute {name} has no value.")))?, Some(2));
        }
    }
    Ok(Some(hex::encode(Md5::digest(&bytes))))
}
