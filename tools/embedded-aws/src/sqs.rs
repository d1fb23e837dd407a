//! SQS, as far as standard queues go, in awsJson1.0. Home-made because the fleet's promises rest on it: counts that
//! include what came back, long polls that wake by notice, receipts that speak only for the newest receive.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
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

mod attributes;
mod keeper;
mod moves;
mod queue;
mod saved;
mod wire;

use attributes::{KEPT, SETTINGS, check_settings};
pub(crate) use keeper::Keeper;
use queue::{Delivery, Message, Millis, Queue, Refusal};
use saved::{Saved, SavedQueue};
use wire::{
    Batch, ChangeVisibility, CreateQueue, Delete, GetQueueAttributes, GetQueueUrl, ListQueues, OfQueue, ReceiveMessage,
    Send, SetQueueAttributes, attributes_md5, invalid, no_such_queue, parse, parse_entry, read_receipt, shown_message,
    within,
};

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

impl Hosted {
    fn number(&self, name: &str) -> u64 {
        let set = self.settings.get(name).and_then(|value| value.parse().ok());
        set.or_else(|| attributes::default_of(name)).unwrap_or_default()
    }

    /// A setting as `GetQueueAttributes` shows it.
    fn shown(&self, name: &str) -> Option<String> {
        self.settings.get(name).cloned().or_else(|| attributes::default_of(name).map(|number| number.to_string()))
    }

    /// The dead-letter queue's name, and after how many receives a message goes there.
    fn redrive(&self) -> Option<(String, u32)> {
        attributes::redrive_policy(self.settings.get("RedrivePolicy")?)
    }
}

/// The value of a queue's attribute `RedrivePolicy` that moves a message to the queue `dead_letters` after so many receives.
#[must_use]
pub fn redrive_policy(dead_letters: &str, receives: u32) -> String {
    let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{dead_letters}");
    json!({ "deadLetterTargetArn": arn, "maxReceiveCount": receives }).to_string()
}

/// The name at the end of a queue's URL or ARN.
fn queue_name(of: &str) -> &str {
    of.rsplit(['/', ':']).next().unwrap_or(of)
}

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
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
        check_settings(&input.attributes, |name| state.queues.contains_key(name))?;
        if let Some(queue) = state.queues.get(&name) {
            let same = |(key, value): (&String, &String)| queue.shown(key).as_ref() == Some(value);
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
            all.extend(names.clone().filter_map(|name| Some((name, queue.shown(name)?))));
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
        check_settings(&input.attributes, |name| state.queues.contains_key(name))?;
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
            body_md5: hex::encode(Md5::digest(&input.message_body)),
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
}
