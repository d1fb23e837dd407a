//! Message move tasks: the redrive of a dead-letter queue.

use serde_json::{Value, json};

use super::queue::Message;
use super::wire::{ListMessageMoveTasks, StartMessageMoveTask};
use super::{Hosted, Sqs, queue_name};
use crate::failure::Failure;

impl Sqs {
    /// Moves at once all that is visible: here no one needs to wait for a task.
    pub(super) fn start_move(&self, input: StartMessageMoveTask) -> Result<Value, Failure> {
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

    pub(super) fn list_moves(&self, input: ListMessageMoveTasks) -> Value {
        let state = self.lock();
        let of_source = state.moves.iter().rev().filter(|task| task["SourceArn"] == input.source_arn.as_str());
        json!({ "Results": of_source.take(input.max_results.unwrap_or(1)).collect::<Vec<_>>() })
    }
}
