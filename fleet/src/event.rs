//! The log lines that somebody acts on: alarms and metric filters match their field `event`, tests and the runbook name it. The
//! sentence of a line may change; its event may not. `docs/contract.json` lists them.

use tracing::Level;

/// One kind of log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The field `event`.
    pub name: &'static str,
    /// The line's level.
    pub level: Level,
    /// The services that log it.
    pub services: &'static [&'static str],
    /// What happened.
    pub meaning: &'static str,
}

const POLYBOT: &str = "polybot";
const WORKER: &str = "yolo-worker";
const STREAMER: &str = "metric-streamer";
const EVERY: [&str; 3] = [POLYBOT, WORKER, STREAMER];

/// Logs a line of this event: [`log!`](crate::log!)`(JOB_QUEUED, chat_id, "job queued")` takes what `tracing::info!` takes, and the
/// level is the event's.
#[macro_export]
macro_rules! log {
    ($event:ident, $($line:tt)+) => {
        $crate::tracing::event!($crate::event::$event.level, event = $crate::event::$event.name, $($line)+)
    };
}

macro_rules! events {
    ($($event:ident $name:literal $level:ident $services:expr, $meaning:literal;)+) => {
        $(
            #[doc = $meaning]
            pub const $event: Event =
                Event { name: $name, level: Level::$level, services: $services, meaning: $meaning };
        )+

        /// All of them.
        pub const EVENTS: &[Event] = &[$($event),+];
    };
}

events! {
    READY "ready" INFO &EVERY, "The service is up; the line has version and commit";
    JOB_QUEUED "job_queued" INFO &[POLYBOT], "A photo is on the queue";
    DELIVERED "delivered" INFO &[POLYBOT], "An answer is done: the user was told of a photo or an album, or is not there to be told (`outcome`)";
    ALBUM_ACTED_ON "album_acted_on" INFO &[POLYBOT], "An album is dealt with: its photos are on the queue, its filter is done, it was refused, or it is not for the bot";
    MESSAGE_NOT_UNDERSTOOD "message_not_understood" INFO &[POLYBOT], "This version understands nothing in a message; the line has its fields";
    WEBHOOK_SET_AGAIN "webhook_set_again" INFO &[POLYBOT], "Telegram refused to deliver, so the webhook was set again";
    JOB_DEAD_LETTERED "job_dead_lettered" ERROR &[POLYBOT], "A dead letter: the job failed too often; its user is told, now or by the sweep";
    FOREIGN_DEAD_LETTER "foreign_dead_letter" ERROR &[POLYBOT], "A message on the dead-letter queue is not a job";
    DEAD_LETTERS_UNREADABLE "dead_letters_unreadable" WARN &[POLYBOT], "The dead-letter queue could not be read";
    NO_DEAD_LETTER_QUEUE "no_dead_letter_queue" WARN &[POLYBOT], "The setting DEAD_LETTER_QUEUE_URL is missing";
    JOB_LOST "job_lost" ERROR &[POLYBOT], "The message of a job vanished three times; its user is told";
    JOB_SENT_AGAIN "job_sent_again" WARN &[POLYBOT], "The message of a job vanished; the job was sent again";
    ANSWER_GIVEN_UP "answer_given_up" ERROR &[POLYBOT], "An answer could not be sent for too long";
    DELIVERY_FAILED "delivery_failed" WARN &[POLYBOT], "The sweep could not deliver an answer; it tries again";
    PICTURE_MISSING "picture_missing" ERROR &[POLYBOT], "An annotated photo is no longer stored; the answer was sent without it";
    PHOTO_REFUSED "photo_refused" WARN &[POLYBOT], "Telegram refused a picture as a photo; it was sent as a file, or told in words";
    UPDATE_NOT_KEPT "update_not_kept" ERROR &[POLYBOT], "An update could not be recorded; Telegram delivers it again";
    NOT_AN_UPDATE "not_an_update" ERROR &[POLYBOT], "Telegram delivered something that is not an update";
    UPDATE_GIVEN_UP "update_given_up" ERROR &[POLYBOT], "An update failed for too long; its sender was told";
    UPDATE_KILLED_INSTANCES "update_killed_instances" ERROR &[POLYBOT], "Each instance that handled an update died; its sender was told";
    UPDATE_PANICKED "update_panicked" ERROR &[POLYBOT], "Handling an update panicked; its sender was told";
    ALBUM_GIVEN_UP "album_given_up" ERROR &[POLYBOT], "An album failed for too long; its sender was told";
    ALBUM_KILLED_INSTANCES "album_killed_instances" ERROR &[POLYBOT], "Each instance that acted on an album died; its sender was told";
    FILTER_PANICKED "filter_panicked" ERROR &[POLYBOT], "A filter panicked on a photo; its user was told";
    WEBHOOK_FAILING "webhook_failing" WARN &[POLYBOT], "Telegram can't deliver updates to the webhook";
    LOAD_TEST_FAILED "load_test_failed" ERROR &[POLYBOT], "A message of a load test failed";
    JPEG_NOT_ENCODED "jpeg_not_encoded" ERROR &[POLYBOT, WORKER], "A result could not be encoded as JPEG; its user was told";
    MODEL_LOADED "model_loaded" INFO &[WORKER], "The model is loaded; the line says on which instruction set, and what falls back";
    TAKES_JOBS "takes_jobs" INFO &[WORKER], "The worker receives jobs";
    JOB_FINISHED "job_finished" INFO &[WORKER], "A job ended; the line has its outcome and duration";
    JOB_RETRIED "job_retried" WARN &[WORKER], "A job failed for a passing reason; it is retried";
    MESSAGE_REFUSED "message_refused" ERROR &[WORKER], "A message is not a job, or is a job of another version";
    DETECTOR_FAILED "detector_failed" ERROR &[WORKER], "The detector failed on a photo; its user was told";
    CALLBACK_FAILED "callback_failed" WARN &[WORKER], "polybot was not called back; its sweep finds the result";
    RECEIVE_FAILED "receive_failed" WARN &[WORKER], "The queue could not be read";
    MESSAGE_NOT_EXTENDED "message_not_extended" WARN &[WORKER], "The visibility of a message could not be extended; another worker gets the job";
    REPORT_FAILED "report_failed" WARN &[WORKER], "A report of this worker's work was not stored; the next one carries it";
    INSTANCE_ENDING "instance_ending" INFO &[WORKER], "The instance is about to be terminated";
    DRAIN_TIMEOUT "drain_timeout" WARN &[WORKER], "The drain timeout is over; the jobs that still run are released";
    LIFECYCLE_ACTION_FAILED "lifecycle_action_failed" WARN &[WORKER], "Auto Scaling was not told that the instance is drained";
    PREDICT_CALL_FAILED "predict_call_failed" ERROR &[WORKER], "A call of /predict failed";
    PUBLISHED "published" INFO &[STREAMER], "The metrics were published";
    NOT_PUBLISHED "not_published" ERROR &[STREAMER], "The metrics were not published; the next interval tries again";
    CAPACITY_CHANGED "capacity_changed" INFO &[STREAMER], "The desired capacity changed; the line says why";
    FIRST_WORKER_NOT_CALLED "first_worker_not_called" ERROR &[STREAMER], "Photos wait, and no worker could be called";
    WORKERS_SILENT "workers_silent" WARN &[STREAMER], "Workers are in service and report nothing of their work; demand is reckoned from the queue alone";
    REQUEST_PANICKED "request_panicked" ERROR &EVERY, "A request panicked";
    REQUEST_TIMED_OUT "request_timed_out" WARN &EVERY, "A request took too long and got 504";
    REQUESTS_CUT_OFF "requests_cut_off" WARN &EVERY, "Requests still ran at the end of the drain";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_word_and_used_once() {
        for (number, event) in EVENTS.iter().enumerate() {
            assert!(event.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", event.name);
            assert!(EVENTS[..number].iter().all(|before| before.name != event.name), "{} is there twice", event.name);
            assert!(!event.services.is_empty(), "{}", event.name);
        }
    }
}
