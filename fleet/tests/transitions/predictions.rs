//! Predictions.

use fleet::table::attribute::{
    CHAT_ID, DEAD_LETTER, DELIVERED_AT, FIRST_FAILED_AT, LEASE_UNTIL, NEXT_ATTEMPT_AT, ORIGINAL, REDRIVEN_AT, STATUS,
    STATUS_MESSAGE_ID, TIME, UNDELIVERED, Value,
};
use fleet::table::prediction::{Deferral, PredictionState, PredictionTransition};
use fleet::table::{Item, Key, Partition, Transition};
use fleet::{DetectionResult, FailureReason, Label, Prediction, Status, Timestamp};
use uuid::Uuid;

use crate::{Db, HELD_UNTIL, LATER, NOW, ago, are_complete, with, without};

const ID: Uuid = Uuid::from_u128(7);
const KEY: Key = Key::Prediction(ID);
/// When the record was queued.
const QUEUED_AT: Timestamp = Timestamp::from_secs(NOW.as_secs() - 100);

fn queued() -> Prediction {
    Prediction::queued(ID, 5, 6, format!("images/original/{ID}.jpg"), QUEUED_AT)
}

/// A record in this state, as the writes before have left it.
fn item(state: PredictionState, is_dead_letter: bool) -> Option<Item> {
    let record: Item = serde_dynamo::to_item(queued()).expect("an item");
    let record = record.into_iter().filter(|(name, value)| !value.is_null() && name != "prediction_id").collect();
    let record = with(record, UNDELIVERED, Status::Queued);
    let status = if is_dead_letter { Status::Failed } else { Status::Done };
    let finished = with(with(record.clone(), STATUS, status), UNDELIVERED, status);
    let finished = if is_dead_letter { with(finished, DEAD_LETTER, true) } else { finished };
    Some(match state {
        PredictionState::Absent => return None,
        PredictionState::Queued => record,
        PredictionState::Finished => finished,
        PredictionState::Held => with(finished, LEASE_UNTIL, HELD_UNTIL),
        PredictionState::Deferred => with(with(finished, FIRST_FAILED_AT, ago(50)), NEXT_ATTEMPT_AT, LATER),
        PredictionState::Undeliverable => with(finished, UNDELIVERED, Partition::Undeliverable),
        PredictionState::Delivered => without(with(finished, DELIVERED_AT, ago(9)), UNDELIVERED),
        PredictionState::DeadLetter => with(with(finished, DELIVERED_AT, ago(9)), UNDELIVERED, Partition::DeadLetter),
        PredictionState::Forgotten => {
            let tombstone = with(with(finished, ORIGINAL, ""), CHAT_ID, 0);
            let tombstone = without(without(tombstone, UNDELIVERED), DEAD_LETTER);
            with(with(tombstone, DELIVERED_AT, ago(9)), STATUS, Status::Failed)
        }
    })
}

fn result() -> DetectionResult {
    let label = Label { class: "bus".into(), cx: 0.5, cy: 0.25, width: 0.5, height: 0.125, confidence: 0.75 };
    DetectionResult { predicted_img_path: "p.jpg".into(), labels: vec![label], model: "m".into() }
}

/// One of each, with `status` as it was read.
pub(crate) fn examples<'a>(
    prediction: &'a Prediction,
    result: &'a DetectionResult,
    status: Status,
) -> Vec<PredictionTransition<'a>> {
    let deferral = Deferral { held_until: HELD_UNTIL, first_failed_at: NOW, next_attempt_at: LATER, index_time: LATER };
    vec![
        PredictionTransition::Insert(prediction, serde_dynamo::to_item(prediction).expect("an item")),
        PredictionTransition::Complete { result, now: NOW },
        PredictionTransition::Fail { reason: &FailureReason::Damaged, now: NOW },
        PredictionTransition::BecomeDeadLetter { reason: &FailureReason::Damaged, submitted_at: ago(100), now: NOW },
        PredictionTransition::Redrive { now: NOW },
        PredictionTransition::Requeue { seen_at: ago(100), times: 1, now: NOW },
        PredictionTransition::Lease { status, now: NOW, until: HELD_UNTIL },
        PredictionTransition::Defer(deferral),
        PredictionTransition::SetIndexTime { status, index_time: LATER },
        PredictionTransition::GiveUp { status },
        PredictionTransition::Resume { status, now: NOW },
        PredictionTransition::MarkDelivered { status, dead_letter: false, status_message_id: None, now: NOW },
        PredictionTransition::MarkDelivered { status, dead_letter: true, status_message_id: None, now: NOW },
        PredictionTransition::NoteStatusMessage { message_id: 8 },
        PredictionTransition::MoveToChat { chat_id: -100 },
        PredictionTransition::Forget { status, now: NOW },
        PredictionTransition::Forget { status: Status::Queued, now: NOW },
        PredictionTransition::ForgetBefore { now: NOW },
    ]
}

/// For [`are_complete`]: a new variant does not compile without a number here.
fn number(transition: &PredictionTransition<'_>) -> usize {
    match transition {
        PredictionTransition::Insert(..) => 0,
        PredictionTransition::Complete { .. } => 1,
        PredictionTransition::Fail { .. } => 2,
        PredictionTransition::BecomeDeadLetter { .. } => 3,
        PredictionTransition::Redrive { .. } => 4,
        PredictionTransition::Requeue { .. } => 5,
        PredictionTransition::Lease { .. } => 6,
        PredictionTransition::Defer(_) => 7,
        PredictionTransition::SetIndexTime { .. } => 8,
        PredictionTransition::GiveUp { .. } => 9,
        PredictionTransition::Resume { .. } => 10,
        PredictionTransition::MarkDelivered { .. } => 11,
        PredictionTransition::NoteStatusMessage { .. } => 12,
        PredictionTransition::MoveToChat { .. } => 13,
        PredictionTransition::Forget { .. } => 14,
        PredictionTransition::ForgetBefore { .. } => 15,
    }
}

/// All states that a record without, or with, the mark of a dead letter can be in.
fn states(is_dead_letter: bool) -> Vec<PredictionState> {
    let unlike = if is_dead_letter { PredictionState::Delivered } else { PredictionState::DeadLetter };
    PredictionState::ALL.into_iter().filter(|state| *state != unlike).collect()
}

#[tokio::test]
async fn each_transition_happens_from_its_states_and_from_no_other() {
    let db = Db::start().await;
    let (prediction, result) = (queued(), result());
    are_complete(&examples(&prediction, &result, Status::Done), number);
    for (is_dead_letter, status) in [(false, Status::Done), (true, Status::Failed)] {
        for transition in examples(&prediction, &result, status) {
            let is_unlike = match transition {
                // Only dead letters are redriven, and each is marked as what it is.
                PredictionTransition::Redrive { .. } => !is_dead_letter,
                PredictionTransition::MarkDelivered { dead_letter, .. } => dead_letter != is_dead_letter,
                _ => false,
            };
            if is_unlike {
                continue;
            }
            let state_of = |item: Option<&Item>| PredictionState::of(item, NOW);
            db.holds(&transition, &states(is_dead_letter), &KEY, |state| item(state, is_dead_letter), state_of).await;
        }
    }
}

#[tokio::test]
async fn only_a_dead_letter_is_redriven() {
    let db = Db::start().await;
    for state in states(false) {
        let (_, written) =
            db.after(&KEY, item(state, false).as_ref(), &PredictionTransition::Redrive { now: NOW }).await;
        assert!(!written, "{state:?}");
    }
    let (redriven, _) = db
        .after(&KEY, item(PredictionState::DeadLetter, true).as_ref(), &PredictionTransition::Redrive { now: NOW })
        .await;
    let redriven = redriven.expect("it is there");
    assert_eq!((DEAD_LETTER.of(&redriven), REDRIVEN_AT.of(&redriven)), (None, Some(NOW)));
}

#[tokio::test]
async fn what_is_left_of_messages_from_before_a_redrive_changes_nothing() {
    let db = Db::start().await;
    let redriven = with(item(PredictionState::Queued, false).expect("an item"), REDRIVEN_AT, ago(50));
    for (submitted_at, expected) in [(ago(51), false), (ago(50), true), (NOW, true)] {
        let transition =
            PredictionTransition::BecomeDeadLetter { reason: &FailureReason::Damaged, submitted_at, now: NOW };
        let (_, written) = db.after(&KEY, Some(&redriven), &transition).await;
        assert_eq!(written, expected, "{submitted_at}");
    }
}

#[tokio::test]
async fn what_a_message_still_says_to_wait_for_is_not_marked_as_delivered() {
    let db = Db::start().await;
    let held = item(PredictionState::Held, false).expect("an item");
    let told = with(held.clone(), STATUS_MESSAGE_ID, 8);
    let marked = |status_message_id| PredictionTransition::MarkDelivered {
        status: Status::Done,
        dead_letter: false,
        status_message_id,
        now: NOW,
    };
    for (item, removed, expected) in [
        (&held, None, true),
        (&held, Some(8), true),
        (&told, Some(8), true),
        (&told, None, false),
        (&told, Some(7), false),
    ] {
        assert_eq!(db.after(&KEY, Some(item), &marked(removed)).await.1, expected, "{removed:?}");
    }
}

#[tokio::test]
async fn a_lease_that_ended_or_is_another_ones_holds_nothing() {
    let db = Db::start().await;
    let finished = item(PredictionState::Finished, false).expect("an item");
    let lease = PredictionTransition::Lease { status: Status::Done, now: NOW, until: HELD_UNTIL };
    for (held_until, expected) in [(ago(1), true), (NOW, false)] {
        let held = with(finished.clone(), LEASE_UNTIL, held_until);
        assert_eq!(db.after(&KEY, Some(&held), &lease).await.1, expected, "{held_until}");
    }
    // It is due at that very second.
    let due = with(finished.clone(), NEXT_ATTEMPT_AT, NOW);
    assert!(db.after(&KEY, Some(&due), &lease).await.1);
    let of_another = with(finished, LEASE_UNTIL, LATER);
    let deferral = Deferral { held_until: HELD_UNTIL, first_failed_at: NOW, next_attempt_at: LATER, index_time: LATER };
    assert!(!db.after(&KEY, Some(&of_another), &PredictionTransition::Defer(deferral)).await.1);
}

#[tokio::test]
async fn what_was_given_up_and_is_told_after_all_is_in_the_sweeps_sight_again() {
    let db = Db::start().await;
    let given_up = item(PredictionState::Undeliverable, false);
    let lease = PredictionTransition::Lease { status: Status::Done, now: NOW, until: HELD_UNTIL };
    let (held, _) = db.after(&KEY, given_up.as_ref(), &lease).await;
    let held = held.expect("it is there");
    assert_eq!(UNDELIVERED.of(&held), Some(Partition::Untold(Status::Done)));
    let (deferred, _) = db.after(&KEY, Some(&held), &defer(LATER)).await;
    assert_eq!(PredictionState::of(deferred.as_ref(), NOW), PredictionState::Deferred);
    let (given_up, _) = db.after(&KEY, Some(&held), &PredictionTransition::GiveUp { status: Status::Done }).await;
    assert_eq!(PredictionState::of(given_up.as_ref(), NOW), PredictionState::Undeliverable);
}

#[tokio::test]
async fn what_is_deferred_to_this_moment_is_due() {
    let db = Db::start().await;
    let (due, _) = db.after(&KEY, item(PredictionState::Held, false).as_ref(), &defer(NOW)).await;
    assert_eq!(PredictionState::of(due.as_ref(), NOW), PredictionState::Finished);
}

fn defer(next_attempt_at: Timestamp) -> PredictionTransition<'static> {
    let (held_until, first_failed_at) = (HELD_UNTIL, NOW);
    PredictionTransition::Defer(Deferral { held_until, first_failed_at, next_attempt_at, index_time: next_attempt_at })
}

#[tokio::test]
async fn a_job_is_requeued_once_for_each_look() {
    let db = Db::start().await;
    let queued = item(PredictionState::Queued, false).expect("an item");
    let requeue = PredictionTransition::Requeue { seen_at: ago(100), times: 2, now: NOW };
    let (after, written) = db.after(&KEY, Some(&queued), &requeue).await;
    assert!(written && TIME.of(&after.expect("it is there")) == Some(NOW));
    let by_another = with(queued, TIME, ago(3));
    assert!(!db.after(&KEY, Some(&by_another), &requeue).await.1);
}

#[tokio::test]
async fn a_record_is_read_as_it_was_written() {
    let db = Db::start().await;
    let (prediction, result) = (queued(), result());
    let insert = PredictionTransition::Insert(&prediction, serde_dynamo::to_item(&prediction).expect("an item"));
    let (inserted, _) = db.after(&KEY, None, &insert).await;
    let inserted = inserted.expect("it is there");
    assert_eq!(UNDELIVERED.of(&inserted), Some(Partition::Untold(Status::Queued)));
    assert!(inserted.values().all(|value| !value.is_null()), "{inserted:?}");
    db.table.apply(&KEY, &PredictionTransition::Complete { result: &result, now: NOW }).await.expect("AWS");
    let done: Prediction =
        serde_dynamo::from_item(db.table.get(&KEY).await.expect("AWS").expect("a record")).expect("read");
    let expected = Prediction {
        status: Status::Done,
        predicted_img_path: Some("p.jpg".into()),
        labels: result.labels,
        model: Some("m".into()),
        time: NOW,
        expires_at: NOW + fleet::prediction::RETENTION,
        ..queued()
    };
    assert_eq!(done, expected);
    let found = db.table.due(Partition::Untold(Status::Done), NOW, 10).await.expect("AWS");
    assert_eq!(found, [ID.to_string()]);
    assert!(db.table.due(Partition::Untold(Status::Done), ago(1), 10).await.expect("AWS").is_empty());
}

#[test]
fn what_was_given_up_has_a_partition_of_its_own() {
    for partition in ["queued", "done", "failed", "dead-letter", "undeliverable", "album", "update"] {
        let value = aws_sdk_dynamodb::types::AttributeValue::S(partition.into());
        assert_eq!(Partition::from_attribute(&value).map(Partition::as_str), Some(partition));
    }
    let unknown = aws_sdk_dynamodb::types::AttributeValue::S("else".into());
    assert_eq!(Partition::from_attribute(&unknown), None);
}

/// For the diagram.
pub(crate) fn moves() -> (Vec<crate::arrows::Arrow>, Vec<&'static str>) {
    let (prediction, result) = (queued(), result());
    let done = Prediction { status: Status::Done, delivered_at: Some(NOW), ..queued() };
    let failed = Prediction { status: Status::Failed, ..queued() };
    let mut all = examples(&prediction, &result, Status::Done);
    // A photo of an album that can't be had, and what a caller of /predict waits for.
    all.extend([&failed, &done].map(|record| PredictionTransition::Insert(record, Item::new())));
    crate::arrows::arrows(&all, PredictionState::Absent)
}

#[tokio::test]
async fn a_record_may_begin_finished() {
    let db = Db::start().await;
    for (delivered_at, state) in [(None, PredictionState::Finished), (Some(NOW), PredictionState::Delivered)] {
        let record = Prediction { status: Status::Failed, delivered_at, ..queued() };
        let insert = PredictionTransition::Insert(&record, serde_dynamo::to_item(&record).expect("an item"));
        let (after, _) = db.after(&KEY, None, &insert).await;
        assert_eq!(PredictionState::of(after.as_ref(), NOW), state);
        assert_eq!(insert.moves(), [(PredictionState::Absent, state)]);
    }
}
