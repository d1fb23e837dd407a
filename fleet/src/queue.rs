//! The jobs, over SQS.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry};
use uuid::Uuid;

use crate::{AwsError, Job};

/// A message in flight: invisible to others until its visibility timeout ends.
#[derive(Clone, Debug)]
pub struct Received {
    /// The body; a [`Job`] as JSON if polybot wrote it.
    pub body: String,
    /// SQS's name of the message, for logs.
    pub message_id: String,
    /// The key to extend, give back or acknowledge it.
    pub receipt: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

/// How many messages the queue holds; approximate, as SQS counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting to be received.
    pub visible: u64,
    /// Received and not yet deleted.
    pub in_flight: u64,
}

/// The queue of [`Job`]s. At least once: a message may come twice, and comes again when it is not deleted in time.
#[derive(Clone, Debug)]
pub struct JobQueue {
    client: Client,
    url: String,
}

/// SQS counts in whole seconds; half a second is not none, which would poll without a pause.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl JobQueue {
    /// The queue at this address.
    #[must_use]
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// The queue's name: the last part of its address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }

    /// Put a job on the queue. When it returns, the job is durable.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the job may be on the queue all the same.
    pub async fn send(&self, job: &Job) -> Result<(), AwsError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(job.to_json())
            .send()
            .await
            .map_err(|error| AwsError::new(format!("sending job {} to {}", job.prediction_id, self.url), error))?;
        Ok(())
    }

    /// Put up to ten jobs on the queue in one call. Returns those that SQS did not take, each with its reason; the others
    /// are durable.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; any of the jobs may be on the queue all the same.
    pub async fn send_batch(&self, jobs: &[Job]) -> Result<Vec<(Uuid, String)>, AwsError> {
        let tried = || format!("sending {} jobs to {}", jobs.len(), self.url);
        let mut call = self.client.send_message_batch().queue_url(&self.url);
        for (number, job) in jobs.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(job.to_json());
            call = call.entries(entry.build().map_err(|error| AwsError::unexpected(tried(), error))?);
        }
        let response = call.send().await.map_err(|error| AwsError::new(tried(), error))?;
        let refused = response.failed.iter().filter_map(|entry| {
            let job = jobs.get(entry.id.parse::<usize>().ok()?)?;
            let reason = entry.message.as_deref().unwrap_or_default();
            Some((job.prediction_id, format!("SQS refused the job: {} {reason}", entry.code)))
        });
        Ok(refused.collect())
    }

    /// Up to `max` (1..=10) messages; waits up to `wait` (at most 20 s) for the first.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>, AwsError> {
        let response = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max.clamp(1, 10) as i32)
            .wait_time_seconds(whole_seconds(wait).min(20) as i32)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("receiving from {}", self.url), error))?;
        let messages = response.messages.unwrap_or_default().into_iter();
        Ok(messages
            .map(|message| Received {
                receive_count: message
                    .attributes
                    .as_ref()
                    .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount))
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(1),
                body: message.body.unwrap_or_default(),
                message_id: message.message_id.unwrap_or_default(),
                receipt: message.receipt_handle.unwrap_or_default(),
            })
            .collect())
    }

    /// Keeps a message in flight, and so invisible, for `timeout` from now (whole seconds).
    ///
    /// # Errors
    /// [`AwsError`] if it is too late or SQS does not answer.
    pub async fn extend_visibility(&self, receipt: &str, timeout: Duration) -> Result<(), AwsError> {
        self.change_visibility("extending the visibility timeout of", receipt, timeout).await
    }

    /// Gives a message back: it reappears after this time (whole seconds), at once after none.
    ///
    /// # Errors
    /// [`AwsError`] if it is too late or SQS does not answer; it then reappears after its visibility timeout.
    pub async fn nack(&self, receipt: &str, after: Duration) -> Result<(), AwsError> {
        self.change_visibility("giving back", receipt, after).await
    }

    async fn change_visibility(&self, tried: &str, receipt: &str, timeout: Duration) -> Result<(), AwsError> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(whole_seconds(timeout).min(43_200) as i32)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("{tried} a message of {}", self.url), error))?;
        Ok(())
    }

    /// Acknowledges a message: deletes it, as its effect is durable elsewhere.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the message will be received again.
    pub async fn ack(&self, receipt: &str) -> Result<(), AwsError> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("acknowledging a message of {}", self.url), error))?;
        Ok(())
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn depth(&self) -> Result<Depth, AwsError> {
        let tried = || format!("reading the depth of {}", self.url);
        let visible = QueueAttributeName::ApproximateNumberOfMessages;
        let in_flight = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let response = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(visible.clone())
            .attribute_names(in_flight.clone())
            .send()
            .await
            .map_err(|error| AwsError::new(tried(), error))?;
        let attributes = response.attributes.unwrap_or_default();
        let count = |name: &QueueAttributeName| {
            let count = attributes.get(name).and_then(|count| count.parse().ok());
            count.ok_or_else(|| AwsError::unexpected(tried(), format!("the answer has no {}", name.as_str())))
        };
        Ok(Depth { visible: count(&visible)?, in_flight: count(&in_flight)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_second_is_a_whole_one() {
        let times = [0, 1, 999, 1000, 1001].map(Duration::from_millis);
        assert_eq!(times.map(whole_seconds), [0, 1, 1, 1, 2]);
    }
}
