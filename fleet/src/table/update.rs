//! The states of an update of Telegram's, and what leads from one to another.

use std::time::Duration;

use uuid::Uuid;

use super::attribute::{
    ASKED, ASKER, CHAT_ID, DEATHS, EXPIRES_AT, FAILING_SINCE, GONE_SINCE, HANDLED, Item, LEASE_UNTIL, Partition, TIME,
    UNDELIVERED, WORK_ID,
};
use super::expression::UpdateExpression;
use super::transition::{Transition, Write};
use crate::Timestamp;
use crate::prediction::RETENTION;

/// How long an update is remembered after it was handled: Telegram gives up long before.
pub const HANDLED_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// What an update can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateState {
    /// The item does not exist.
    Absent,
    /// An instance holds the lease and handles it.
    Held,
    /// Handling failed and waits for its next attempt.
    Deferred,
    /// Nobody holds it, and it is to be handled.
    Due,
    /// It was handled; what it asked is forgotten.
    Handled,
}

use UpdateState::{Absent, Deferred, Due, Handled, Held};

impl UpdateState {
    /// All of them.
    pub const ALL: [Self; 5] = [Absent, Held, Deferred, Due, Handled];

    /// What an item is `now`.
    #[must_use]
    pub fn of(item: Option<&Item>, now: Timestamp) -> Self {
        let Some(item) = item else { return Absent };
        if HANDLED.is_in(item) {
            return Handled;
        }
        if LEASE_UNTIL.of(item).is_some_and(|until| until >= now) {
            return Held;
        }
        // What an instance of an older version left, which kept nothing but a lease.
        if !ASKED.is_in(item) {
            return Absent;
        }
        if TIME.of(item).is_some_and(|time| time > now) { Deferred } else { Due }
    }
}

/// Every write of an update.
#[derive(Clone, Debug)]
pub enum UpdateTransition<'a> {
    /// Keep a new one, and hold it.
    Take {
        /// What it asks, as JSON.
        asked: &'a str,
        /// The sender.
        asker: i64,
        /// The chat.
        chat_id: i64,
        /// The prediction that may come of it, unless an earlier try named one.
        work_id: Uuid,
        /// This moment.
        now: Timestamp,
        /// When the lease ends.
        until: Timestamp,
    },
    /// Hold one that is due.
    TakeOver {
        /// This moment.
        now: Timestamp,
        /// When the lease ends.
        until: Timestamp,
    },
    /// Begin to work on one that is held, which may have waited for others of its chat. It counts as a death until it is deferred
    /// or ends.
    Begin {
        /// The end of the lease that is held.
        held_until: Timestamp,
        /// The new end.
        until: Timestamp,
        /// How often it was begun, with this time.
        deaths: i64,
    },
    /// Handling it failed.
    Defer {
        /// The end of the lease that is given back.
        held_until: Timestamp,
        /// When handling failed first.
        failing_since: Timestamp,
        /// Since when Telegram does not give its file, if that is why.
        gone_since: Option<Timestamp>,
        /// It is not tried before.
        next_attempt_at: Timestamp,
    },
    /// It was not begun; anybody may have it at once.
    GiveBack {
        /// The end of the lease that is given back.
        held_until: Timestamp,
    },
    /// It was handled. An instance that says so is believed, also after its lease.
    End {
        /// This moment.
        now: Timestamp,
    },
}

impl Transition for UpdateTransition<'_> {
    type State = UpdateState;

    fn tried(&self) -> &'static str {
        match self {
            Self::Take { .. } => "taking",
            Self::TakeOver { .. } => "taking over",
            Self::Begin { .. } => "beginning",
            Self::Defer { .. } => "deferring",
            Self::GiveBack { .. } => "giving back",
            Self::End { .. } => "closing",
        }
    }

    fn write(&self) -> Write {
        let update = UpdateExpression::new();
        Write::Update(match *self {
            Self::Take { asked, asker, chat_id, work_id, now, until } => update
                .set(ASKED, asked)
                .set(UNDELIVERED, Partition::Update)
                .set(TIME, until)
                .set(DEATHS, 0)
                .set(EXPIRES_AT, now + RETENTION)
                .set(ASKER, asker)
                .set(CHAT_ID, chat_id)
                .set_if_absent(WORK_ID, work_id)
                .when(HANDLED.absent())
                .when(ASKED.absent())
                .lease(now, until),
            Self::TakeOver { now, until } => update
                .set(TIME, until)
                .when(UNDELIVERED.is(Partition::Update))
                .when(TIME.at_most(now))
                .lease(now, until),
            Self::Begin { held_until, until, deaths } => {
                update.extend_lease(held_until, until).set(TIME, until).set(DEATHS, deaths)
            }
            Self::Defer { held_until, failing_since, gone_since, next_attempt_at } => update
                .set(FAILING_SINCE, failing_since)
                .set_or_remove(GONE_SINCE, gone_since)
                .set(TIME, next_attempt_at)
                .set(DEATHS, 0)
                .release(held_until),
            Self::GiveBack { held_until } => update.set(TIME, Timestamp::from_secs(0)).release(held_until),
            Self::End { now } => update
                .set(HANDLED, true)
                .set(EXPIRES_AT, now + HANDLED_RETENTION)
                .remove(ASKED)
                .remove(ASKER)
                .remove(CHAT_ID)
                .remove(LEASE_UNTIL)
                .remove(UNDELIVERED)
                .remove(TIME)
                .remove(FAILING_SINCE)
                .remove(GONE_SINCE)
                .remove(DEATHS),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Take { .. } => "take",
            Self::TakeOver { .. } => "take over",
            Self::Begin { .. } => "begin",
            Self::Defer { .. } => "defer",
            Self::GiveBack { .. } => "give back",
            Self::End { .. } => "end",
        }
    }

    fn moves(&self) -> Vec<(UpdateState, UpdateState)> {
        let each = |from: &[UpdateState], to: UpdateState| from.iter().map(|from| (*from, to)).collect();
        match self {
            Self::Take { .. } => each(&[Absent], Held),
            Self::TakeOver { .. } => each(&[Due], Held),
            Self::Begin { .. } => each(&[Held], Held),
            Self::Defer { .. } => each(&[Held], Deferred),
            Self::GiveBack { .. } => each(&[Held], Due),
            Self::End { .. } => each(&UpdateState::ALL, Handled),
        }
    }
}
