//! The states of a prediction, and what leads from one to another.

use super::attribute::{
    ALBUM, CHAT_ID, DEAD_LETTER, DELIVERED_AT, EXPIRES_AT, FAILURE, FAILURE_REASON, FIRST_FAILED_AT, Item, KEY, LABELS,
    LEASE_UNTIL, MESSAGE_ID, MODEL, NEXT_ATTEMPT_AT, ORIGINAL, PREDICTED, Partition, REDRIVEN_AT, REQUEUED, STATUS,
    STATUS_MESSAGE_ID, TIME, UNDELIVERED, Value,
};
use super::condition::Condition;
use super::expression::UpdateExpression;
use super::transition::{Transition, Write};
use crate::job::NOBODY;
use crate::prediction::{RETENTION, TOMBSTONE_RETENTION};
use crate::{DetectionResult, FailureReason, Prediction, Status, Timestamp};

/// What a prediction can be. All but the first two have the mark [`DEAD_LETTER`] or not: it failed too often and can be redriven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionState {
    /// The item does not exist.
    Absent,
    /// Its job is on the queue, or about to be.
    Queued,
    /// Done or failed; its user is to be told.
    Finished,
    /// An instance holds the lease and tells its user.
    Held,
    /// Telling failed and waits for its next attempt.
    Deferred,
    /// Telling failed for so long that it is tried no more; it can be resumed.
    Undeliverable,
    /// Its user was told.
    Delivered,
    /// Its user was told that it failed too often; it can be redriven.
    DeadLetter,
    /// A tombstone: its sender had it forgotten.
    Forgotten,
}

use PredictionState::{Absent, DeadLetter, Deferred, Delivered, Finished, Forgotten, Held, Queued, Undeliverable};

impl PredictionState {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Absent, Queued, Finished, Held, Deferred, Undeliverable, Delivered, DeadLetter, Forgotten];

    /// What an item is `now`.
    #[must_use]
    pub fn of(item: Option<&Item>, now: Timestamp) -> Self {
        let Some(item) = item else { return Absent };
        if CHAT_ID.of(item) == Some(NOBODY) && ORIGINAL.of(item).as_deref() == Some("") {
            return Forgotten;
        }
        if STATUS.of(item) == Some(Status::Queued) {
            return Queued;
        }
        if DELIVERED_AT.is_in(item) {
            return if DEAD_LETTER.is_in(item) { DeadLetter } else { Delivered };
        }
        if LEASE_UNTIL.of(item).is_some_and(|until| until >= now) {
            return Held;
        }
        if UNDELIVERED.of(item) == Some(Partition::Undeliverable) {
            return Undeliverable;
        }
        if NEXT_ATTEMPT_AT.of(item).is_some_and(|next| next > now) { Deferred } else { Finished }
    }
}

/// Every write of a prediction.
#[derive(Clone, Debug)]
pub enum PredictionTransition<'a> {
    /// A new record: queued, or finished at once.
    Insert(&'a Prediction, Item),
    /// The detector found this.
    Complete {
        /// What it found.
        result: &'a DetectionResult,
        /// This moment.
        now: Timestamp,
    },
    /// It can't succeed.
    Fail {
        /// Why.
        reason: &'a FailureReason,
        /// This moment.
        now: Timestamp,
    },
    /// The message of a job submitted at `submitted_at` was received too often. What is left of messages from before a redrive
    /// changes nothing.
    BecomeDeadLetter {
        /// Why.
        reason: &'a FailureReason,
        /// When the job was submitted.
        submitted_at: Timestamp,
        /// This moment.
        now: Timestamp,
    },
    /// A dead letter is queued again, on its own if it was part of an album.
    Redrive {
        /// This moment.
        now: Timestamp,
    },
    /// A queued one whose message is lost is queued once more.
    Requeue {
        /// Its time as it was read.
        seen_at: Timestamp,
        /// How often that happened, this time included.
        times: u32,
        /// This moment.
        now: Timestamp,
    },
    /// Take the right to tell its user.
    Lease {
        /// Its status as it was read.
        status: Status,
        /// This moment.
        now: Timestamp,
        /// When the right ends.
        until: Timestamp,
    },
    /// Give the right back: telling failed.
    Defer(Deferral),
    /// Move it in the index, as when its album has to wait.
    SetIndexTime {
        /// Its status as it was read.
        status: Status,
        /// Its new place.
        index_time: Timestamp,
    },
    /// Telling failed for too long.
    GiveUp {
        /// Its status as it was read.
        status: Status,
    },
    /// One that was given up is to be told after all.
    Resume {
        /// Its status as it was read.
        status: Status,
        /// This moment.
        now: Timestamp,
    },
    /// Its user was told.
    MarkDelivered {
        /// Its status as it was read.
        status: Status,
        /// Whether it can be redriven.
        dead_letter: bool,
        /// The message that says "being processed", which is removed. One that was sent meanwhile would be left behind.
        status_message_id: Option<i32>,
        /// This moment.
        now: Timestamp,
    },
    /// The message that says "being processed" was sent.
    NoteStatusMessage {
        /// Its id.
        message_id: i32,
    },
    /// Its group has become a supergroup.
    MoveToChat {
        /// The supergroup.
        chat_id: i64,
    },
    /// Its sender has it forgotten.
    Forget {
        /// Its status as it was read.
        status: Status,
        /// This moment.
        now: Timestamp,
    },
    /// It is forgotten before it comes.
    ForgetBefore {
        /// This moment.
        now: Timestamp,
    },
}

/// When telling a user is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// The end of the lease that is given back.
    pub held_until: Timestamp,
    /// When telling failed first.
    pub first_failed_at: Timestamp,
    /// Telling is not tried before.
    pub next_attempt_at: Timestamp,
    /// Where it stands in the index until then.
    pub index_time: Timestamp,
}

impl Transition for PredictionTransition<'_> {
    type State = PredictionState;

    fn tried(&self) -> &'static str {
        match self {
            Self::Insert(..) => "recording",
            Self::Complete { .. } => "completing",
            Self::Fail { .. } => "recording the failure of",
            Self::BecomeDeadLetter { .. } => "recording as a dead letter",
            Self::Redrive { .. } => "redriving",
            Self::Requeue { .. } => "requeueing",
            Self::Lease { .. } => "leasing",
            Self::Defer(_) | Self::SetIndexTime { .. } => "deferring the answer of",
            Self::GiveUp { .. } => "giving up the answer of",
            Self::Resume { .. } => "resuming the answer of",
            Self::MarkDelivered { .. } => "marking as delivered",
            Self::NoteStatusMessage { .. } => "noting the message that says to wait for",
            Self::MoveToChat { .. } => "moving",
            Self::Forget { .. } | Self::ForgetBefore { .. } => "forgetting",
        }
    }

    fn write(&self) -> Write {
        let update = UpdateExpression::new();
        Write::Update(match *self {
            Self::Insert(prediction, ref item) => return insert(prediction, item.clone()),
            Self::Forget { status, now } => {
                return Write::Put(tombstone(now), STATUS.is(status).and(CHAT_ID.is_not(NOBODY)));
            }
            Self::ForgetBefore { now } => return Write::Put(tombstone(now), KEY.absent()),
            Self::Complete { result, now } => finish(Status::Done, now)
                .set(PREDICTED, result.predicted_img_path.as_str())
                .set(LABELS, result.labels.clone())
                .set(MODEL, result.model.as_str()),
            Self::Fail { reason, now } => fail(reason, now),
            Self::BecomeDeadLetter { reason, submitted_at, now } => fail(reason, now)
                .set(DEAD_LETTER, true)
                .when(REDRIVEN_AT.absent().or(REDRIVEN_AT.at_most(submitted_at))),
            Self::Redrive { now } => update
                .set(STATUS, Status::Queued)
                .set(UNDELIVERED, Status::Queued)
                .set(TIME, now)
                .set(EXPIRES_AT, now + RETENTION)
                .set(REDRIVEN_AT, now)
                .remove(FAILURE)
                .remove(FAILURE_REASON)
                .remove(DEAD_LETTER)
                .remove(DELIVERED_AT)
                .remove(LEASE_UNTIL)
                .remove(ALBUM)
                .remove(STATUS_MESSAGE_ID)
                .remove(REQUEUED)
                .remove(FIRST_FAILED_AT)
                .remove(NEXT_ATTEMPT_AT)
                .when(STATUS.is(Status::Failed))
                .when(DEAD_LETTER.is(true)),
            Self::Requeue { seen_at, times, now } => {
                update.set(TIME, now).set(REQUEUED, times).when(STATUS.is(Status::Queued)).when(TIME.is(seen_at))
            }
            // One that was given up is in the sweep's sight again.
            Self::Lease { status, now, until } => update
                .set(UNDELIVERED, status)
                .when(is_untold(status))
                .lease(now, until)
                .when(NEXT_ATTEMPT_AT.absent().or(NEXT_ATTEMPT_AT.at_most(now))),
            Self::Defer(Deferral { held_until, first_failed_at, next_attempt_at, index_time }) => update
                .set(FIRST_FAILED_AT, first_failed_at)
                .set(NEXT_ATTEMPT_AT, next_attempt_at)
                .set(TIME, index_time)
                .release(held_until),
            Self::SetIndexTime { status, index_time } => update.set(TIME, index_time).when(is_untold(status)),
            Self::GiveUp { status } => update
                .set(UNDELIVERED, Partition::Undeliverable)
                .remove(LEASE_UNTIL)
                .remove(FIRST_FAILED_AT)
                .remove(NEXT_ATTEMPT_AT)
                .when(STATUS.is(status))
                .when(UNDELIVERED.is(status)),
            Self::Resume { status, now } => update
                .set(UNDELIVERED, status)
                .set(TIME, now)
                .set(EXPIRES_AT, now + RETENTION)
                .remove(FIRST_FAILED_AT)
                .remove(NEXT_ATTEMPT_AT)
                .when(STATUS.is(status))
                .when(UNDELIVERED.is(Partition::Undeliverable)),
            Self::MarkDelivered { status, dead_letter, status_message_id, now } => {
                let is_removed = status_message_id.map(|id| STATUS_MESSAGE_ID.is(id));
                let nothing_is_left = is_removed.into_iter().fold(STATUS_MESSAGE_ID.absent(), Condition::or);
                let marked = update.set(DELIVERED_AT, now).remove(LEASE_UNTIL);
                let marked = marked.when(is_untold(status)).when(nothing_is_left);
                if dead_letter { marked.set(UNDELIVERED, Partition::DeadLetter) } else { marked.remove(UNDELIVERED) }
            }
            Self::NoteStatusMessage { message_id } => {
                update.set(STATUS_MESSAGE_ID, message_id).when(KEY.exists()).when(DELIVERED_AT.absent())
            }
            // A tombstone is in nobody's chat, and stays there.
            Self::MoveToChat { chat_id } => {
                update.set(CHAT_ID, chat_id).when(KEY.exists()).when(CHAT_ID.is_not(NOBODY))
            }
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Insert(..) => "insert",
            Self::Complete { .. } => "complete",
            Self::Fail { .. } => "fail",
            Self::BecomeDeadLetter { .. } => "become dead letter",
            Self::Redrive { .. } => "redrive (dead letters)",
            Self::Requeue { .. } => "requeue",
            Self::Lease { .. } => "lease",
            Self::Defer(_) => "defer",
            Self::SetIndexTime { .. } => "set index time",
            Self::GiveUp { .. } => "give up",
            Self::Resume { .. } => "resume",
            Self::MarkDelivered { .. } => "mark delivered",
            Self::NoteStatusMessage { .. } => "note status message",
            Self::MoveToChat { .. } => "move to chat",
            Self::Forget { .. } => "forget",
            Self::ForgetBefore { .. } => "forget before",
        }
    }

    fn moves(&self) -> Vec<(PredictionState, PredictionState)> {
        let each = |from: &[PredictionState], to: PredictionState| from.iter().map(|from| (*from, to)).collect();
        let stays = |states: &[PredictionState]| states.iter().map(|state| (*state, *state)).collect();
        match *self {
            Self::Insert(prediction, _) => each(&[Absent], state_of_new(prediction)),
            Self::Complete { .. } | Self::Fail { .. } | Self::BecomeDeadLetter { .. } => each(&[Queued], Finished),
            Self::Redrive { .. } => each(&[Finished, Held, Deferred, Undeliverable, DeadLetter], Queued),
            Self::Requeue { .. } => each(&[Queued], Queued),
            Self::Lease { .. } => each(&[Finished, Undeliverable], Held),
            Self::Defer(_) => each(&[Held], Deferred),
            Self::SetIndexTime { .. } => stays(&[Finished, Held, Deferred, Undeliverable]),
            Self::GiveUp { .. } => each(&[Finished, Held, Deferred], Undeliverable),
            Self::Resume { .. } => each(&[Undeliverable], Finished),
            Self::MarkDelivered { dead_letter, .. } => {
                each(&[Finished, Held, Deferred, Undeliverable], if dead_letter { DeadLetter } else { Delivered })
            }
            Self::NoteStatusMessage { .. } => stays(&[Queued, Finished, Held, Deferred, Undeliverable]),
            Self::MoveToChat { .. } => stays(&[Queued, Finished, Held, Deferred, Undeliverable, Delivered, DeadLetter]),
            Self::Forget { status: Status::Queued, .. } => each(&[Queued], Forgotten),
            Self::Forget { .. } => each(&[Finished, Held, Deferred, Undeliverable, Delivered, DeadLetter], Forgotten),
            Self::ForgetBefore { .. } => each(&[Absent], Forgotten),
        }
    }

    fn is_note(&self) -> bool {
        matches!(self, Self::SetIndexTime { .. } | Self::NoteStatusMessage { .. } | Self::MoveToChat { .. })
    }
}

fn state_of_new(prediction: &Prediction) -> PredictionState {
    match prediction.status {
        Status::Queued => Queued,
        Status::Done | Status::Failed if prediction.delivered_at.is_some() => Delivered,
        Status::Done | Status::Failed => Finished,
    }
}

fn insert(prediction: &Prediction, mut item: Item) -> Write {
    item.retain(|_, value| !value.is_null());
    if prediction.delivered_at.is_none() {
        item.insert(UNDELIVERED.name().to_owned(), Partition::from(prediction.status).into_attribute());
    }
    Write::Put(item, KEY.absent())
}

fn finish(status: Status, now: Timestamp) -> UpdateExpression {
    UpdateExpression::new()
        .set(STATUS, status)
        .set(UNDELIVERED, status)
        .set(TIME, now)
        .set(EXPIRES_AT, now + RETENTION)
        .when(STATUS.is(Status::Queued))
}

/// The words are for programs of an older version.
fn fail(reason: &FailureReason, now: Timestamp) -> UpdateExpression {
    finish(Status::Failed, now).set(FAILURE, reason.to_string()).set(FAILURE_REASON, reason.clone())
}

fn is_untold(status: Status) -> Condition {
    STATUS.is(status).and(DELIVERED_AT.absent())
}

/// What [`Prediction::is_forgotten`] tells: a record without content.
fn tombstone(now: Timestamp) -> Item {
    [
        (STATUS.name(), Status::Failed.into_attribute()),
        (CHAT_ID.name(), NOBODY.into_attribute()),
        (MESSAGE_ID.name(), 0_i64.into_attribute()),
        (ORIGINAL.name(), String::new().into_attribute()),
        (TIME.name(), now.into_attribute()),
        (DELIVERED_AT.name(), now.into_attribute()),
        (EXPIRES_AT.name(), (now + TOMBSTONE_RETENTION).into_attribute()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
