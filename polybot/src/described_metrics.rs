//! What each metric of the service means. Prometheus shows it as `HELP`; docs/contract.json lists it.

use metrics::{describe_counter, describe_gauge};

/// Describe every metric of the service to the recorder of this thread.
pub fn describe_metrics() {
    describe_counter!("polybot_jobs_total", "Jobs put onto the queue");
    describe_counter!("polybot_delivered_total", "Predictions whose user was told");
    describe_counter!(
        "polybot_swept_total",
        "Predictions that the sweep delivered, because nobody called back or Telegram took the answer late"
    );
    describe_counter!(
        "polybot_undeliverable_total",
        "Answers that could not be sent for too long and are tried no more"
    );
    describe_counter!(
        "polybot_updates_given_up_total",
        "Updates and albums that failed for too long, or killed three instances; their senders are told"
    );
    describe_counter!("polybot_updates_not_understood_total", "Messages in which this version understands nothing");
    describe_counter!(
        "polybot_answers_not_understood_total",
        "Answers of Telegram that the library could not read, of messages that were sent"
    );
    describe_counter!("polybot_too_many_requests_total", "Answers of Telegram with 429");
    describe_counter!("polybot_rate_cuts_total", "Times that 429s made the bot send less");
    describe_gauge!("polybot_webhook_pending_updates", "Updates that Telegram holds for the webhook");
    describe_gauge!("polybot_webhook_failing", "1 if the webhook did not take an update within the last five minutes");
    describe_counter!("polybot_requeued_total", "Jobs sent again because their message was gone");
    describe_counter!("polybot_dead_letters_total", "Dead letters; their users are told, and they can be redriven");
    describe_counter!("polybot_foreign_dead_letters_total", "Messages on the dead-letter queue that are not jobs");
}
