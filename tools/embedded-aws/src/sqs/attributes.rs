//! A queue's attributes that can be set: their defaults, their ranges, and the redrive policy.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use super::queue_name;
use super::wire::invalid;
use crate::failure::Failure;

/// What a queue may be told at its making, what it is told if nothing is said, and the range of what it may be told.
pub(super) const SETTINGS: [(&str, u64, RangeInclusive<u64>); 5] = [
    ("DelaySeconds", 0, 0..=900),
    ("MaximumMessageSize", 1_048_576, 1024..=1_048_576),
    ("MessageRetentionPeriod", 345_600, 60..=1_209_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 0..=20),
    ("VisibilityTimeout", 30, 0..=43_200),
];
/// Settings that are kept and shown and change nothing here.
pub(super) const KEPT: [&str; 5] =
    ["Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    max_receive_count: Value,
}

pub(super) fn redrive_policy(policy: &str) -> Option<(String, u32)> {
    let policy: RedrivePolicy = serde_json::from_str(policy).ok()?;
    let receives = match &policy.max_receive_count {
        Value::String(text) => text.parse().ok()?,
        number => number.as_u64()?.try_into().ok()?,
    };
    Some((queue_name(&policy.dead_letter_target_arn).to_owned(), receives)).filter(|_| receives >= 1)
}

/// The value that stands where nothing was set.
pub(super) fn default_of(name: &str) -> Option<u64> {
    SETTINGS.iter().find(|(n, ..)| *n == name).map(|(_, default, _)| *default)
}

pub(super) fn check_settings(
    settings: &BTreeMap<String, String>,
    is_queue: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    for (name, value) in settings {
        if let Some((_, _, range)) = SETTINGS.iter().find(|(n, ..)| n == name) {
            if !value.parse().is_ok_and(|number: u64| range.contains(&number)) {
                return Err(Failure::bad("InvalidAttributeValue", format!("Invalid value for the parameter {name}.")));
            }
        } else if name == "RedrivePolicy" {
            if value.is_empty() {
                continue;
            }
            let Some((target, _)) = redrive_policy(value) else {
                return Err(invalid(format!("Value {value} for parameter RedrivePolicy is invalid.")));
            };
            if !is_queue(&target) {
                return Err(invalid(format!(
                    "Value {value} for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist."
                )));
            }
        } else if !KEPT.contains(&name.as_str()) {
            return Err(Failure::bad("InvalidAttributeName", format!("Unknown Attribute {name}.")));
        }
    }
    Ok(())
}
