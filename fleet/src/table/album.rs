//! The states of an album, and what leads from one to another.

use uuid::Uuid;

use super::attribute::{
    ADDRESSED, ASKER, Attribute, CHAT_ID, CLOSED, DELIVERED_AT, EXPIRES_AT, FAILING_SINCE, FIRST_FAILED_AT, GONE_SINCE,
    Item, KEY, LAST_ARRIVAL, LEASE_UNTIL, NEXT_ATTEMPT_AT, PARTS, Partition, SPOILER, STATUS_ANNOUNCED,
    STATUS_MESSAGE_ID, THREAD, TIME, TOLD_OTHERS, TRIES, UNDELIVERED,
};
use super::expression::UpdateExpression;
use super::transition::{Transition, Write};
use crate::prediction::RETENTION;
use crate::{Timestamp, TimestampMillis};

/// What the names of the attributes that hold a part each begin with; the message's id follows.
pub const PHOTO: &str = "photo_";
/// The same, of photos that were sent as files.
pub const DOCUMENT: &str = "document_";
/// The same, of anything but a photo.
pub const OTHER: &str = "other_";
/// The same, of captions.
pub const CAPTION: &str = "caption_";

/// What an album can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlbumState {
    /// The item does not exist.
    Absent,
    /// Photos arrive.
    Open,
    /// An instance holds the lease and acts on it; or acting failed, and the lease ends when it is tried next.
    Acting,
    /// It is closed, nobody holds it, and it is to be acted on.
    Abandoned,
    /// It is not for the bot, unless a part that is still to come says so.
    PassedOver,
    /// Its photos are queued; the last one to be finished brings the answer.
    Queued,
    /// An instance holds the lease and tells its user.
    Telling,
    /// Telling failed and waits for its next attempt.
    Deferred,
    /// It was answered.
    Delivered,
}

use AlbumState::{Abandoned, Absent, Acting, Deferred, Delivered, Open, PassedOver, Queued, Telling};

impl AlbumState {
    /// All of them.
    pub const ALL: [Self; 9] = [Absent, Open, Acting, Abandoned, PassedOver, Queued, Telling, Deferred, Delivered];

    /// What an item is `now`.
    #[must_use]
    pub fn of(item: Option<&Item>, now: Timestamp) -> Self {
        let Some(item) = item else { return Absent };
        if DELIVERED_AT.is_in(item) {
            return Delivered;
        }
        let is_held = LEASE_UNTIL.of(item).is_some_and(|until| until >= now);
        match (CLOSED.is_in(item), UNDELIVERED.is_in(item)) {
            (false, true) => Open,
            (false, false) => PassedOver,
            (true, true) if is_held => Acting,
            (true, true) => Abandoned,
            (true, false) if is_held => Telling,
            (true, false) if NEXT_ATTEMPT_AT.of(item).is_some_and(|next| next > now) => Deferred,
            (true, false) => Queued,
        }
    }
}

/// One message of an album.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its chat.
    pub chat_id: i64,
    /// The sender.
    pub sender: i64,
    /// Its number.
    pub message_id: i32,
    /// What is in it.
    pub content: Content,
    /// Its caption.
    pub caption: Option<String>,
    /// It speaks to the bot.
    pub is_addressed: bool,
    /// It is covered.
    pub spoiler: bool,
    /// Its forum topic.
    pub thread: Option<i32>,
}

/// What is in a message of an album.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A photo: Telegram's file.
    Photo(String),
    /// A photo that was sent as a file: Telegram's file.
    Document(String),
    /// Something else, in words.
    Other(String),
}

/// Every write of an album.
#[derive(Clone, Debug)]
pub enum AlbumTransition<'a> {
    /// A message arrived.
    Add {
        /// The message.
        part: &'a Part,
        /// When it arrived.
        arrival: TimestampMillis,
    },
    /// Nothing came after `arrival`: closes the album and takes the lease on it.
    Close {
        /// The arrival that is believed to be the last.
        arrival: TimestampMillis,
        /// When the right ends.
        until: Timestamp,
    },
    /// Take the right to act on an album whose holder did not act on it.
    TakeOver {
        /// This moment.
        now: Timestamp,
        /// When the right ends.
        until: Timestamp,
    },
    /// Acting failed for a reason that may pass. That was no try of which an instance died.
    Rest {
        /// The end of the right to act on it.
        held_until: Timestamp,
        /// When acting failed first.
        failing_since: Timestamp,
        /// Since when Telegram does not give one of its files, if that is why.
        gone_since: Option<Timestamp>,
        /// It is taken over then.
        next_attempt_at: Timestamp,
        /// Where it stands in the index until then.
        index_time: Timestamp,
    },
    /// Nobody speaks to the bot in it. It is open again, so that a part that comes late and does finds the others there.
    PassOver {
        /// The end of the right to act on it, which is given back.
        held_until: Timestamp,
    },
    /// Its user was told what in it can't be read.
    NoteToldOthers,
    /// Its photos get their predictions; the first call decides which.
    NameParts(&'a [Uuid]),
    /// The message that says "being processed" is about to be sent. A try after a death sends no second one.
    AnnounceStatus,
    /// Its photos are queued.
    Enqueued {
        /// The message that says "being processed".
        status_message_id: Option<i32>,
    },
    /// Take the right to tell its user. All its photos are finished, so it was acted on, whatever became of the instance that did.
    Lease {
        /// This moment.
        now: Timestamp,
        /// When the right ends.
        until: Timestamp,
    },
    /// Give the right to tell back: telling failed.
    Defer {
        /// The end of the lease that is given back.
        held_until: Timestamp,
        /// When telling failed first.
        first_failed_at: Timestamp,
        /// Telling is not tried before.
        next_attempt_at: Timestamp,
    },
    /// Give the right to tell back, for good: if it is ever told after all, it is as if for the first time.
    GiveUp {
        /// The end of the lease that is given back.
        held_until: Timestamp,
    },
    /// Its user was told.
    MarkDelivered {
        /// This moment.
        now: Timestamp,
    },
}

impl Transition for AlbumTransition<'_> {
    type State = AlbumState;

    fn tried(&self) -> &'static str {
        match self {
            Self::Add { .. } => "adding to",
            Self::Close { .. } => "closing",
            Self::TakeOver { .. } => "taking over",
            Self::Rest { .. } => "deferring",
            Self::PassOver { .. } => "passing over",
            Self::NoteToldOthers => "noting of",
            Self::NameParts(_) => "naming the parts of",
            Self::AnnounceStatus => "noting the message that says to wait for",
            Self::Enqueued { .. } => "recording as queued",
            Self::Lease { .. } => "leasing",
            Self::Defer { .. } => "deferring the answer of",
            Self::GiveUp { .. } => "giving up the answer of",
            Self::MarkDelivered { .. } => "marking as delivered",
        }
    }

    fn write(&self) -> Write {
        let update = UpdateExpression::new();
        let is_to_be_acted_on = || UNDELIVERED.is(Partition::Album);
        Write::Update(match *self {
            Self::Add { part, arrival } => add(part, arrival),
            Self::Close { arrival, until } => update
                .set(CLOSED, until)
                .set(LEASE_UNTIL, until)
                .when(CLOSED.absent())
                .when(is_to_be_acted_on())
                .when(LAST_ARRIVAL.is(arrival)),
            Self::TakeOver { now, until } => {
                update.set(CLOSED, until).add(TRIES, 1).when(is_to_be_acted_on()).lease(now, until)
            }
            Self::Rest { held_until, failing_since, gone_since, next_attempt_at, index_time } => update
                // Free at that very second.
                .extend_lease(held_until, next_attempt_at - std::time::Duration::from_secs(1))
                .set(FAILING_SINCE, failing_since)
                .set_or_remove(GONE_SINCE, gone_since)
                .set(TRIES, 0)
                .set(TIME, index_time)
                .when(CLOSED.exists())
                .when(is_to_be_acted_on()),
            Self::PassOver { held_until } => {
                update.remove(CLOSED).remove(UNDELIVERED).release(held_until).when(is_to_be_acted_on())
            }
            Self::NoteToldOthers => update.set(TOLD_OTHERS, true).when(KEY.exists()),
            Self::NameParts(parts) => update.set_if_absent(PARTS, parts.to_vec()).when(KEY.exists()),
            Self::AnnounceStatus => {
                update.set(STATUS_ANNOUNCED, true).when(KEY.exists()).when(STATUS_ANNOUNCED.absent())
            }
            Self::Enqueued { status_message_id } => update
                .set_if_some(STATUS_MESSAGE_ID, status_message_id)
                .remove(UNDELIVERED)
                .remove(LEASE_UNTIL)
                .when(CLOSED.exists())
                .when(is_to_be_acted_on()),
            Self::Lease { now, until } => update
                .remove(UNDELIVERED)
                .when(CLOSED.exists())
                .when(DELIVERED_AT.absent())
                .lease(now, until)
                .when(NEXT_ATTEMPT_AT.absent().or(NEXT_ATTEMPT_AT.at_most(now))),
            Self::Defer { held_until, first_failed_at, next_attempt_at } => update
                .set(FIRST_FAILED_AT, first_failed_at)
                .set(NEXT_ATTEMPT_AT, next_attempt_at)
                .release(held_until)
                .when(UNDELIVERED.absent()),
            Self::GiveUp { held_until } => {
                update.remove(FIRST_FAILED_AT).remove(NEXT_ATTEMPT_AT).release(held_until).when(UNDELIVERED.absent())
            }
            Self::MarkDelivered { now } => update
                .set(DELIVERED_AT, now)
                .remove(UNDELIVERED)
                .remove(LEASE_UNTIL)
                .when(KEY.exists())
                .when(DELIVERED_AT.absent()),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::Close { .. } => "close",
            Self::TakeOver { .. } => "take over",
            Self::Rest { .. } => "rest",
            Self::PassOver { .. } => "pass over",
            Self::NoteToldOthers => "note told others",
            Self::NameParts(_) => "name parts",
            Self::AnnounceStatus => "announce status",
            Self::Enqueued { .. } => "enqueued",
            Self::Lease { .. } => "lease",
            Self::Defer { .. } => "defer",
            Self::GiveUp { .. } => "give up",
            Self::MarkDelivered { .. } => "mark delivered",
        }
    }

    fn moves(&self) -> Vec<(AlbumState, AlbumState)> {
        let each = |from: &[AlbumState], to: AlbumState| from.iter().map(|from| (*from, to)).collect();
        match self {
            Self::Add { .. } => each(&[Absent, Open, PassedOver], Open),
            Self::Close { .. } => each(&[Open], Acting),
            Self::TakeOver { .. } => each(&[Open, Abandoned], Acting),
            Self::Rest { .. } => each(&[Acting], Acting),
            Self::PassOver { .. } => each(&[Acting], PassedOver),
            Self::NoteToldOthers | Self::NameParts(_) | Self::AnnounceStatus => {
                let there = AlbumState::ALL.iter().filter(|state| **state != Absent);
                there.map(|state| (*state, *state)).collect()
            }
            Self::Enqueued { .. } => each(&[Acting, Abandoned], Queued),
            Self::Lease { .. } => each(&[Abandoned, Queued], Telling),
            Self::Defer { .. } => each(&[Telling], Deferred),
            Self::GiveUp { .. } => each(&[Telling], Queued),
            Self::MarkDelivered { .. } => {
                each(&[Open, Acting, Abandoned, PassedOver, Queued, Telling, Deferred], Delivered)
            }
        }
    }

    fn is_note(&self) -> bool {
        matches!(self, Self::NoteToldOthers | Self::NameParts(_) | Self::AnnounceStatus)
    }
}

fn add(part: &Part, arrival: TimestampMillis) -> UpdateExpression {
    let (message_id, now) = (part.message_id, arrival.whole_seconds());
    let (prefix, content) = match &part.content {
        Content::Photo(file) => (PHOTO, file),
        Content::Document(file) => (DOCUMENT, file),
        Content::Other(what) => (OTHER, what),
    };
    UpdateExpression::new()
        .set(CHAT_ID, part.chat_id)
        .set(ASKER, part.sender)
        .set(LAST_ARRIVAL, arrival)
        .set(UNDELIVERED, Partition::Album)
        .set(TIME, now)
        .set(EXPIRES_AT, now + RETENTION)
        .set(Attribute::<String>::numbered(prefix, message_id), content.as_str())
        .set_if_some(Attribute::<String>::numbered(CAPTION, message_id), part.caption.as_deref())
        .set_if_some(ADDRESSED, part.is_addressed.then_some(true))
        .set_if_some(SPOILER, part.spoiler.then_some(true))
        .set_if_some(THREAD, part.thread)
        .when(CLOSED.absent())
}
