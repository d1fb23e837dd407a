//! SQS, as far as standard queues go, in awsJson1.0. Home-made because the fleet's promises rest on it: counts that
//! include what came back, long polls that wake by notice, receipts that speak only for the newest receive.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::faults::Faults;
use crate::reply::Reply;
use crate::service::Service;
use crate::{ACCOUNT, REGION};

mod keeper;
mod queue;
mod saved;

pub(crate) use keeper::Keeper;
use queue::{Delivery, Message, Millis, Queue, Receipt, Refusal};
use saved::{Saved, SavedQueue};

/// What a queue may be told at its making, what it is told if nothing is said, and the range of what it may be told.
const SETTINGS: [(&str, u64, std::ops::RangeInclusive<u64>); 5] = [
    ("DelaySeconds", 0, 0..=900),
    ("MaximumMessageSize", 1_048_576, 1024..=1_048_576),
    ("MessageRetentionPeriod", 345_600, 60..=1_209_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 0..=20),
    ("VisibilityTimeout", 30, 0..=43_200),
];
/// Settings that are kept and shown and change nothing here.
const KEPT: [&str; 5] =
    ["Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"];

#[derive(Debug)]
pub(crate) struct Sqs {
    /// One lock for all queues, so that a message that is given up is never on two queues or on none.
    state: Mutex<State>,
    clock: Clock,
    endpoint: String,
    faults: Faults,
    /// Ends long polls when the endpoint stops.
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, Hosted>,
    moves: Vec<Value>,
}

#[derive(Debug)]
struct Hosted {
    queue: Queue,
    settings: BTreeMap<String, String>,
    created_at: Millis,
    changed_at: Millis,
    /// Told whenever a message may have become visible or be about to.
    changed: Arc<Notify>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    max_receive_count: Value,
}

impl Hosted {
    fn number(&self, name: &str) -> u64 {
        let default = SETTINGS.iter().find(|(n, ..)| *n == name).map_or(0, |(_, default, _)| *default);
        self.settings.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The dead-letter queue's name, and after how many receives a message goes there.
    fn redrive(&self) -> Option<(String, u32)> {
        redrive_policy(self.settings.get("RedrivePolicy")?)
    }
}

fn redrive_policy(policy: &str) -> Option<(String, u32)> {
    let policy: RedrivePolicy = serde_json::from_str(policy).ok()?;
    let receives = match &policy.max_receive_count {
        Value::String(text) => text.parse().ok()?,
        number => number.as_u64()?.try_into().ok()?,
    };
    Some((queue_name(&policy.dead_letter_target_arn).to_owned(), receives)).filter(|_| receives >= 1)
}

/// The name at the end of a queue's URL or ARN.
fn queue_name(of: &str) -> &str {
    of.rsplit(['/', ':']).next().unwrap_or(of)
}

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfQueue {
    queue_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateQueue {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetQueueAttributes {
    queue_url: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// One message, alone or in a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    message_body: String,
    delay_seconds: Option<u64>,
    #[serde(default)]
    message_attributes: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    receipt_handle: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeVisibility {
    receipt_handle: String,
    visibility_timeout: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartMessageMoveTask {
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMessageMoveTasks {
    source_arn: String,
    max_results: Option<usize>,
}

fn no_such_queue() -> Failure {
    Failure::bad("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("InvalidParameterValue", message)
}

/// `value` if it lies in `range`.
fn within(name: &str, value: i64, range: std::ops::RangeInclusive<i64>) -> Result<u64, Failure> {
    if !range.contains(&value) {
        let (least, most) = (range.start(), range.end());
        return Err(invalid(format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between {least} and {most}."
        )));
    }
    Ok(value.unsigned_abs())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|e| Failure::bad("MissingParameter", e.to_string()))
}

fn parse_entry<T: DeserializeOwned>(entry: &Value) -> Result<T, Failure> {
    T::deserialize(entry).map_err(|e| Failure::bad("MissingParameter", e.to_string()))
}

impl Sqs {
    pub(crate) fn new(endpoint: String, faults: Faults, stopping: CancellationToken) -> Self {
        Self { state: Mutex::default(), clock: Clock::new(), endpoint, faults, stopping }
    }

    pub(crate) async fn handle(&self, call: &Call) -> Result<Reply, Failure> {
        let body = call.body.as_ref();
        let answer = match call.operation.as_str() {
            "CreateQueue" => self.create_queue(parse(body)?)?,
            "DeleteQueue" => self.delete_queue(parse(body)?)?,
            "GetQueueUrl" => self.get_queue_url(parse(body)?)?,
            "ListQueues" => self.list_queues(parse(body)?),
            "GetQueueAttributes" => self.get_queue_attributes(parse(body)?)?,
            "SetQueueAttributes" => self.set_queue_attributes(parse(body)?)?,
            "PurgeQueue" => self.purge_queue(parse(body)?)?,
            "SendMessage" => {
                self.with_queue(&parse::<OfQueue>(body)?.queue_url, |sqs, queue, _| sqs.send(queue, parse(body)?))?
            }
            "SendMessageBatch" => {
                self.batch(parse(body)?, |sqs, queue, _, entry| sqs.send(queue, parse_entry(entry)?))?
            }
            "ReceiveMessage" => self.receive_message(parse(body)?).await?,
            "DeleteMessage" => self.with_queue(&parse::<OfQueue>(body)?.queue_url, |sqs, queue, name| {
                sqs.delete(queue, name, parse(body)?)
            })?,
            "DeleteMessageBatch" => {
                self.batch(parse(body)?, |sqs, queue, name, entry| sqs.delete(queue, name, parse_entry(entry)?))?
            }
            "ChangeMessageVisibility" => self.with_queue(&parse::<OfQueue>(body)?.queue_url, |sqs, queue, name| {
                sqs.change_visibility(queue, name, parse(body)?)
            })?,
            "ChangeMessageVisibilityBatch" => self.batch(parse(body)?, |sqs, queue, name, entry| {
                sqs.change_visibility(queue, name, parse_entry(entry)?)
            })?,
            "StartMessageMoveTask" => self.start_move(parse(body)?)?,
            "ListMessageMoveTasks" => self.list_moves(parse(body)?),
            "TagQueue" | "UntagQueue" => json!({}),
            other => return Err(Failure::unknown_operation(Service::Sqs, other)),
        };
        Ok(Reply::json(&answer))
    }

    /// All queues with all their messages.
    fn snapshot(&self) -> Saved {
        let state = self.lock();
        let saved = |hosted: &Hosted| SavedQueue {
            settings: hosted.settings.clone(),
            created_at: hosted.created_at,
            changed_at: hosted.changed_at,
            messages: hosted.queue.messages().cloned().collect(),
        };
        Saved { queues: state.queues.iter().map(|(name, hosted)| (name.clone(), saved(hosted))).collect() }
    }

    /// Makes the queues as they were.
    fn restore(&self, saved: Saved) {
        let now = self.clock.now();
        let mut state = self.lock();
        for (name, saved) in saved.queues {
            let mut queue = Queue::default();
            for message in saved.messages {
                queue.send(message, 0, now);
            }
            let SavedQueue { settings, created_at, changed_at, .. } = saved;
            state.queues.insert(name, Hosted { queue, settings, created_at, changed_at, changed: Arc::default() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.endpoint)
    }

    fn with_queue<T>(
        &self,
        url: &str,
        act: impl FnOnce(&Self, &mut Hosted, &str) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let name = queue_name(url);
        let mut state = self.lock();
        let queue = state.queues.get_mut(name).ok_or_else(no_such_queue)?;
        let oldest = self.clock.now().saturating_sub(1000 * queue.number("MessageRetentionPeriod"));
        queue.queue.expire(oldest);
        act(self, queue, name)
    }

    /// Does `act` for each entry; each entry succeeds or fails by itself.
    fn batch(
        &self,
        batch: Batch,
        act: impl Fn(&Self, &mut Hosted, &str, &Value) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let coded = |code: &str, message: &str| Failure::bad(&format!("AWS.SimpleQueueService.{code}"), message);
        if batch.entries.is_empty() {
            return Err(coded("EmptyBatchRequest", "There should be at least one entry in the request."));
        }
        if batch.entries.len() > 10 {
            return Err(coded("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10."));
        }
        let ids: Vec<_> = batch.entries.iter().map(|entry| entry["Id"].as_str().unwrap_or_default()).collect();
        if ids.iter().any(|id| id.is_empty()) {
            return Err(Failure::bad("MissingParameter", "An entry has no Id."));
        }
        if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
            return Err(coded("BatchEntryIdsNotDistinct", "Two entries have the same Id."));
        }
        self.with_queue(&batch.queue_url, |sqs, queue, name| {
            let size: usize =
                batch.entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap_or_default().len()).sum();
            if size as u64 > queue.number("MaximumMessageSize") {
                return Err(coded("BatchRequestTooLong", "The entries together are too long."));
            }
            let (mut successful, mut failed) = (Vec::new(), Vec::new());
            for (id, entry) in ids.iter().zip(&batch.entries) {
                match act(sqs, queue, name, entry) {
                    Ok(mut done) => {
                        done["Id"] = json!(id);
                        successful.push(done);
                    }
                    Err(e) => failed.push(json!({
                        "Id": id, "SenderFault": e.status < 500, "Code": e.code, "Message": e.message
                    })),
                }
            }
            Ok(json!({ "Successful": successful, "Failed": failed }))
        })
    }

    fn create_queue(&self, input: CreateQueue) -> Result<Value, Failure> {
        let name = input.queue_name;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 80 || !name.chars().all(plain) {
            return Err(invalid(
                "A queue's name is 1 to 80 letters, digits, hyphens and underscores (no FIFO queues here).",
            ));
        }
        let now = self.clock.now();
        let mut state = self.lock();
        check_settings(&input.attributes, &state)?;
        if let Some(queue) = state.queues.get(&name) {
            let same = |(key, value): (&String, &String)| shown(queue, key).as_ref() == Some(value);
            if !input.attributes.iter().all(same) {
                return Err(Failure::bad(
                    "QueueAlreadyExists",
                    "A queue already exists with the same name and a different value for an attribute.",
                ));
            }
        } else {
            let queue = Hosted {
                queue: Queue::default(),
                settings: input.attributes,
                created_at: now,
                changed_at: now,
                changed: Arc::default(),
            };
            state.queues.insert(name.clone(), queue);
        }
        Ok(json!({ "QueueUrl": self.url(&name) }))
    }

    fn delete_queue(&self, input: OfQueue) -> Result<Value, Failure> {
        let queue = self.lock().queues.remove(queue_name(&input.queue_url)).ok_or_else(no_such_queue)?;
        queue.changed.notify_waiters();
        Ok(json!({}))
    }

    fn get_queue_url(&self, input: GetQueueUrl) -> Result<Value, Failure> {
        if !self.lock().queues.contains_key(&input.queue_name) {
            return Err(no_such_queue());
        }
        Ok(json!({ "QueueUrl": self.url(&input.queue_name) }))
    }

    fn list_queues(&self, input: ListQueues) -> Value {
        let state = self.lock();
        let named = state.queues.keys().filter(|name| name.starts_with(&input.queue_name_prefix));
        json!({ "QueueUrls": named.map(|name| self.url(name)).collect::<Vec<_>>() })
    }

    fn get_queue_attributes(&self, input: GetQueueAttributes) -> Result<Value, Failure> {
        let now = self.clock.now();
        self.with_queue(&input.queue_url, |_, queue, name| {
            let counts = queue.queue.counts(now);
            let mut all: BTreeMap<&str, String> = BTreeMap::from([
                ("QueueArn", arn(name)),
                ("ApproximateNumberOfMessages", counts.visible.to_string()),
                ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
                ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
                ("CreatedTimestamp", (queue.created_at / 1000).to_string()),
                ("LastModifiedTimestamp", (queue.changed_at / 1000).to_string()),
            ]);
            let names = SETTINGS.iter().map(|(name, ..)| *name).chain(KEPT).chain(["RedrivePolicy"]);
            all.extend(names.clone().filter_map(|name| Some((name, shown(queue, name)?))));
            let asked = &input.attribute_names;
            let known = |asked: &String| {
                asked == "All" || all.contains_key(asked.as_str()) || names.clone().any(|name| name == asked)
            };
            if let Some(unknown) = asked.iter().find(|asked| !known(asked)) {
                return Err(Failure::bad("InvalidAttributeName", format!("Unknown Attribute {unknown}.")));
            }
            if !asked.iter().any(|asked| asked == "All") {
                all.retain(|name, _| asked.iter().any(|asked| asked == name));
            }
            Ok(json!({ "Attributes": all }))
        })
    }

    fn set_queue_attributes(&self, input: SetQueueAttributes) -> Result<Value, Failure> {
        let mut state = self.lock();
        check_settings(&input.attributes, &state)?;
        let queue = state.queues.get_mut(queue_name(&input.queue_url)).ok_or_else(no_such_queue)?;
        for (name, value) in input.attributes {
            // An empty text takes a policy away.
            if value.is_empty() {
                queue.settings.remove(&name);
            } else {
                queue.settings.insert(name, value);
            }
        }
        queue.changed_at = self.clock.now();
        queue.changed.notify_waiters();
        Ok(json!({}))
    }

    fn purge_queue(&self, input: OfQueue) -> Result<Value, Failure> {
        self.with_queue(&input.queue_url, |_, queue, _| {
            queue.queue.purge();
            Ok(json!({}))
        })
    }

    fn send(&self, queue: &mut Hosted, input: Send) -> Result<Value, Failure> {
        let delay = match input.delay_seconds {
            Some(delay) => within("DelaySeconds", delay.try_into().unwrap_or(i64::MAX), 0..=900)?,
            None => queue.number("DelaySeconds"),
        };
        if input.message_body.is_empty() {
            return Err(Failure::bad("MissingParameter", "The request must contain the parameter MessageBody."));
        }
        let most = queue.number("MaximumMessageSize");
        if input.message_body.len() as u64 > most {
            return Err(invalid(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
            )));
        }
        if let Some(odd) = input.message_body.chars().find(|&c| c < ' ' && !matches!(c, '\t' | '\n' | '\r')) {
            return Err(Failure::bad(
                "InvalidMessageContents",
                format!("Invalid character {odd:?} in the message body."),
            ));
        }
        let now = self.clock.now();
        let message = Message {
            id: uuid::Uuid::now_v7().to_string(),
            body_md5: hex(Md5::digest(&input.message_body).as_slice()),
            body: input.message_body,
            attributes_md5: attributes_md5(&input.message_attributes)?,
            attributes: input.message_attributes,
            sent_at: now,
            first_received_at: None,
            receives: 0,
            given_up_by: None,
            repeat: false,
        };
        let mut sent = json!({ "MessageId": message.id, "MD5OfMessageBody": message.body_md5 });
        if let Some(md5) = &message.attributes_md5 {
            sent["MD5OfMessageAttributes"] = json!(md5);
        }
        queue.queue.send(message, delay * 1000, now);
        queue.changed.notify_waiters();
        Ok(sent)
    }

    async fn receive_message(&self, input: ReceiveMessage) -> Result<Value, Failure> {
        let most = within("MaxNumberOfMessages", input.max_number_of_messages.unwrap_or(1), 1..=10)? as usize;
        let visibility = input.visibility_timeout.map(|v| within("VisibilityTimeout", v, 0..=43_200)).transpose()?;
        let wait = input.wait_time_seconds.map(|w| within("WaitTimeSeconds", w, 0..=20)).transpose()?;
        let (changed, wait) = self.with_queue(&input.queue_url, |_, queue, _| {
            let wait = wait.unwrap_or_else(|| queue.number("ReceiveMessageWaitTimeSeconds"));
            Ok((Arc::clone(&queue.changed), Duration::from_secs(wait)))
        })?;
        let deadline = Instant::now() + wait;
        loop {
            // Made before looking: a message that comes in between is noticed.
            let notice = changed.notified();
            let deliveries = self.receive_now(&input.queue_url, most, visibility)?;
            if !deliveries.is_empty() || Instant::now() >= deadline || self.stopping.is_cancelled() {
                let name = queue_name(&input.queue_url);
                let messages: Vec<_> = deliveries.iter().map(|d| shown_message(d, name, &input)).collect();
                return Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) });
            }
            let wake = self.with_queue(&input.queue_url, |sqs, queue, _| {
                Ok(queue.queue.next_wake().map_or(deadline, |at| sqs.clock.instant(at).min(deadline)))
            })?;
            tokio::select! {
                () = notice => {}
                () = tokio::time::sleep_until(wake) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    fn receive_now(&self, url: &str, most: usize, visibility: Option<u64>) -> Result<Vec<Delivery>, Failure> {
        let now = self.clock.now();
        let name = queue_name(url);
        let mut state = self.lock();
        let redrive = state.queues.get(name).ok_or_else(no_such_queue)?.redrive();
        // A queue whose dead-letter queue was deleted keeps its messages.
        let redrive = redrive.filter(|(dead_letters, _)| state.queues.contains_key(dead_letters));
        let queue = state.queues.get_mut(name).ok_or_else(no_such_queue)?;
        queue.queue.expire(now.saturating_sub(1000 * queue.number("MessageRetentionPeriod")));
        let visibility = 1000 * visibility.unwrap_or_else(|| queue.number("VisibilityTimeout"));
        let most_receives = redrive.as_ref().map(|(_, most)| *most);
        let (deliveries, given_up) = queue.queue.receive(most, visibility, most_receives, now);
        for delivery in &deliveries {
            let message = &delivery.message;
            if !message.repeat && self.faults.duplicates(Service::Sqs, "ReceiveMessage") {
                // As if another server had delivered the message without knowing of this delivery.
                let repeat = Message { repeat: true, receives: message.receives - 1, ..message.clone() };
                queue.queue.send(repeat, 0, now);
            }
        }
        if !deliveries.is_empty() {
            // Other waiting receives must learn when these come back, or that there are repeats.
            queue.changed.notify_waiters();
        }
        if let Some((dead_letters, _)) = redrive
            && !given_up.is_empty()
            && let Some(dead_letters) = state.queues.get_mut(&dead_letters)
        {
            for message in given_up {
                let message = Message { given_up_by: Some(arn(name)), ..message };
                dead_letters.queue.send(message, 0, now);
            }
            dead_letters.changed.notify_waiters();
        }
        Ok(deliveries)
    }

    fn delete(&self, queue: &mut Hosted, name: &str, input: Delete) -> Result<Value, Failure> {
        queue.queue.delete(read_receipt(&input.receipt_handle, name)?, self.clock.now());
        Ok(json!({}))
    }

    fn change_visibility(&self, queue: &mut Hosted, name: &str, input: ChangeVisibility) -> Result<Value, Failure> {
        let timeout = within("VisibilityTimeout", input.visibility_timeout, 0..=43_200)?;
        let receipt = read_receipt(&input.receipt_handle, name)?;
        queue.queue.change_visibility(receipt, timeout * 1000, self.clock.now()).map_err(|refusal| {
            let handle = &input.receipt_handle;
            match refusal {
                Refusal::NotInFlight => {
                    Failure::bad("AWS.SimpleQueueService.MessageNotInflight", "The specified message isn't in flight.")
                }
                Refusal::Gone => invalid(format!(
                    "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not \
                     available for visibility timeout change."
                )),
                Refusal::TooLong => invalid(format!(
                    "Value {timeout} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for \
                     the message is beyond the limit [43200 seconds]."
                )),
            }
        })?;
        queue.changed.notify_waiters();
        Ok(json!({}))
    }

    /// Moves at once all that is visible: here no one needs to wait for a task.
    fn start_move(&self, input: StartMessageMoveTask) -> Result<Value, Failure> {
        let now = self.clock.now();
        let no_such = |what: &str| {
            Failure::bad(
                "ResourceNotFoundException",
                format!("The resource that you specified for {what} doesn't exist."),
            )
        };
        let source = queue_name(&input.source_arn);
        let mut state = self.lock();
        if !state.queues.contains_key(source) {
            return Err(no_such("the SourceArn parameter"));
        }
        let is_target = |queue: &Hosted| queue.redrive().is_some_and(|(target, _)| target == source);
        if !state.queues.values().any(is_target) {
            return Err(Failure::bad(
                "AWS.SimpleQueueService.UnsupportedOperation",
                "Source queue must be configured as a Dead Letter Queue.",
            ));
        }
        let destination = input.destination_arn.as_deref().map(queue_name);
        if destination.is_some_and(|name| !state.queues.contains_key(name)) {
            return Err(no_such("the DestinationArn parameter"));
        }
        let messages = state.queues.get_mut(source).map(|queue| queue.queue.take_visible(now)).unwrap_or_default();
        let (to_move, mut moved) = (messages.len(), 0);
        for message in messages {
            let target = destination.or(message.given_up_by.as_deref().map(queue_name)).unwrap_or(source).to_owned();
            let target = if state.queues.contains_key(&target) { target.as_str() } else { source };
            let Some(queue) = state.queues.get_mut(target) else { continue };
            if target == source {
                queue.queue.send(message, 0, now);
                continue;
            }
            // What is moved counts as newly sent.
            let id = uuid::Uuid::now_v7().to_string();
            let fresh =
                Message { id, sent_at: now, first_received_at: None, receives: 0, given_up_by: None, ..message };
            queue.queue.send(fresh, 0, now);
            queue.changed.notify_waiters();
            moved += 1;
        }
        let handle = uuid::Uuid::now_v7().to_string();
        let mut task = json!({
            "TaskHandle": handle,
            "Status": if moved == to_move { "COMPLETED" } else { "FAILED" },
            "SourceArn": input.source_arn,
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": to_move,
            "StartedTimestamp": now,
        });
        if moved < to_move {
            task["FailureReason"] = json!("CouldNotDetermineMessageSource");
        }
        if let Some(destination) = input.destination_arn {
            task["DestinationArn"] = json!(destination);
        }
        if let Some(rate) = input.max_number_of_messages_per_second {
            task["MaxNumberOfMessagesPerSecond"] = json!(rate);
        }
        state.moves.push(task);
        Ok(json!({ "TaskHandle": handle }))
    }

    fn list_moves(&self, input: ListMessageMoveTasks) -> Value {
        let state = self.lock();
        let of_source = state.moves.iter().rev().filter(|task| task["SourceArn"] == input.source_arn.as_str());
        json!({ "Results": of_source.take(input.max_results.unwrap_or(1)).collect::<Vec<_>>() })
    }
}

/// A setting as `GetQueueAttributes` shows it.
fn shown(queue: &Hosted, name: &str) -> Option<String> {
    if let Some(value) = queue.settings.get(name) {
        return Some(value.clone());
    }
    SETTINGS.iter().find(|(n, ..)| *n == name).map(|(_, default, _)| default.to_string())
}

fn check_settings(settings: &BTreeMap<String, String>, state: &State) -> Result<(), Failure> {
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
            if !state.queues.contains_key(&target) {
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

fn shown_message(delivery: &Delivery, queue: &str, asked: &ReceiveMessage) -> Value {
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

fn read_receipt(handle: &str, queue: &str) -> Result<Receipt, Failure> {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SQS's checksum of message attributes: names, types and values in order of name, each with its length before it.
fn attributes_md5(attributes: &Map<String, Value>) -> Result<Option<String>, Failure> {
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
    Ok(Some(hex(Md5::digest(&bytes).as_slice())))
}
