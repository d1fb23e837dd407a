//! Albums.

use fleet::TimestampMillis;
use fleet::table::album::{AlbumState, AlbumTransition, Content, Part};
use fleet::table::attribute::{
    CHAT_ID, CLOSED, DELIVERED_AT, FIRST_FAILED_AT, LAST_ARRIVAL, LEASE_UNTIL, NEXT_ATTEMPT_AT, PARTS,
    STATUS_MESSAGE_ID, TIME, TRIES, UNDELIVERED, Value,
};
use fleet::table::{Attribute, Item, Key, Partition};
use uuid::Uuid;

use crate::{Db, HELD_UNTIL, LATER, NOW, ago, are_complete, item as item_of, with, without};

/// When the last photo arrived.
const ARRIVAL: TimestampMillis = TimestampMillis::from_millis(NOW.as_secs() * 1000 - 2500);

fn key() -> Key {
    Key::Album("album#5#1".into())
}

/// An album in this state, as the writes before have left it.
fn item(state: AlbumState) -> Option<Item> {
    let open = item_of([
        (CHAT_ID.name(), 5_i64.into_attribute()),
        (LAST_ARRIVAL.name(), ARRIVAL.into_attribute()),
        (UNDELIVERED.name(), Partition::Album.into_attribute()),
        (TIME.name(), ago(3).into_attribute()),
    ]);
    let closed = with(open.clone(), CLOSED, HELD_UNTIL);
    let queued = with(without(closed.clone(), UNDELIVERED), PARTS, vec![Uuid::from_u128(7)]);
    Some(match state {
        AlbumState::Absent => return None,
        AlbumState::Open => open,
        AlbumState::Acting => with(closed, LEASE_UNTIL, HELD_UNTIL),
        AlbumState::Abandoned => with(closed, LEASE_UNTIL, ago(1)),
        AlbumState::PassedOver => without(without(closed, CLOSED), UNDELIVERED),
        AlbumState::Queued => queued,
        AlbumState::Telling => with(queued, LEASE_UNTIL, HELD_UNTIL),
        AlbumState::Deferred => with(with(queued, FIRST_FAILED_AT, ago(50)), NEXT_ATTEMPT_AT, LATER),
        AlbumState::Delivered => with(queued, DELIVERED_AT, ago(9)),
    })
}

fn part() -> Part {
    Part {
        chat_id: 5,
        sender: 6,
        message_id: 12,
        content: Content::Photo("file".into()),
        caption: Some("blur".into()),
        is_addressed: true,
        spoiler: false,
        thread: None,
    }
}

fn rest() -> AlbumTransition<'static> {
    AlbumTransition::Rest {
        held_until: HELD_UNTIL,
        failing_since: NOW,
        gone_since: None,
        next_attempt_at: LATER,
        index_time: LATER,
    }
}

fn examples<'a>(part: &'a Part, parts: &'a [Uuid]) -> Vec<AlbumTransition<'a>> {
    vec![
        AlbumTransition::Add { part, arrival: ARRIVAL },
        AlbumTransition::Close { arrival: ARRIVAL, until: HELD_UNTIL },
        AlbumTransition::TakeOver { now: NOW, until: HELD_UNTIL },
        rest(),
        AlbumTransition::PassOver { held_until: HELD_UNTIL },
        AlbumTransition::NoteToldOthers,
        AlbumTransition::NameParts(parts),
        AlbumTransition::AnnounceStatus,
        AlbumTransition::Enqueued { status_message_id: Some(9) },
        AlbumTransition::Lease { now: NOW, until: HELD_UNTIL },
        AlbumTransition::Defer { held_until: HELD_UNTIL, first_failed_at: NOW, next_attempt_at: LATER },
        AlbumTransition::GiveUp { held_until: HELD_UNTIL },
        AlbumTransition::MarkDelivered { now: NOW },
    ]
}

/// For [`are_complete`]: a new variant does not compile without a number here.
fn number(transition: &AlbumTransition<'_>) -> usize {
    match transition {
        AlbumTransition::Add { .. } => 0,
        AlbumTransition::Close { .. } => 1,
        AlbumTransition::TakeOver { .. } => 2,
        AlbumTransition::Rest { .. } => 3,
        AlbumTransition::PassOver { .. } => 4,
        AlbumTransition::NoteToldOthers => 5,
        AlbumTransition::NameParts(_) => 6,
        AlbumTransition::AnnounceStatus => 7,
        AlbumTransition::Enqueued { .. } => 8,
        AlbumTransition::Lease { .. } => 9,
        AlbumTransition::Defer { .. } => 10,
        AlbumTransition::GiveUp { .. } => 11,
        AlbumTransition::MarkDelivered { .. } => 12,
    }
}

#[tokio::test]
async fn each_transition_happens_from_its_states_and_from_no_other() {
    let db = Db::start().await;
    let (part, parts) = (part(), [Uuid::from_u128(8)]);
    let examples = examples(&part, &parts);
    are_complete(&examples, number);
    for transition in &examples {
        db.holds(transition, &AlbumState::ALL, &key(), item, |item| AlbumState::of(item, NOW)).await;
    }
}

#[tokio::test]
async fn the_last_photo_closes_the_album() {
    let db = Db::start().await;
    let open = item(AlbumState::Open).expect("an item");
    let later = with(open, LAST_ARRIVAL, TimestampMillis::from_millis(ARRIVAL.as_millis() + 1));
    let close = AlbumTransition::Close { arrival: ARRIVAL, until: HELD_UNTIL };
    assert!(!db.after(&key(), Some(&later), &close).await.1);
}

#[tokio::test]
async fn a_part_is_kept_with_what_it_says() {
    let db = Db::start().await;
    let part = part();
    let (added, _) = db.after(&key(), None, &AlbumTransition::Add { part: &part, arrival: ARRIVAL }).await;
    let added = added.expect("an item");
    let text = |prefix: &str| Attribute::<String>::numbered(prefix, 12).of(&added);
    assert_eq!((text("photo_").as_deref(), text("caption_").as_deref()), (Some("file"), Some("blur")));
    assert!(
        added.contains_key("addressed") && !added.contains_key("spoiler") && !added.contains_key("message_thread_id")
    );
    assert_eq!(TIME.of(&added), Some(ARRIVAL.whole_seconds()));
}

#[tokio::test]
async fn tries_are_counted_until_it_rests() {
    let db = Db::start().await;
    let abandoned = item(AlbumState::Abandoned).expect("an item");
    let take_over = AlbumTransition::TakeOver { now: NOW, until: HELD_UNTIL };
    let (taken, _) = db.after(&key(), Some(&abandoned), &take_over).await;
    assert_eq!(TRIES.of(&taken.expect("an item")), Some(1));
    let (taken, _) = db.after(&key(), Some(&with(abandoned, TRIES, 2)), &take_over).await;
    assert_eq!(TRIES.of(taken.as_ref().expect("an item")), Some(3));
    let rest = rest();
    let (rested, _) = db.after(&key(), taken.as_ref(), &rest).await;
    let rested = rested.expect("an item");
    assert_eq!(TRIES.of(&rested), Some(0));
    // It is taken over at that very second, and not before.
    for (now, expected) in [(LATER, AlbumState::Abandoned), (HELD_UNTIL, AlbumState::Acting)] {
        assert_eq!(AlbumState::of(Some(&rested), now), expected, "{now}");
        let (_, written) = db.after(&key(), Some(&rested), &AlbumTransition::TakeOver { now, until: LATER }).await;
        assert_eq!(written, expected == AlbumState::Abandoned, "{now}");
    }
}

#[tokio::test]
async fn who_lost_the_right_to_act_does_not_defer_what_another_acts_on() {
    let db = Db::start().await;
    let taken_over = with(item(AlbumState::Acting).expect("an item"), LEASE_UNTIL, LATER);
    assert!(!db.after(&key(), Some(&taken_over), &rest()).await.1);
}

#[tokio::test]
async fn that_one_has_to_wait_is_announced_once() {
    let db = Db::start().await;
    let acting = item(AlbumState::Acting).expect("an item");
    let (announced, written) = db.after(&key(), Some(&acting), &AlbumTransition::AnnounceStatus).await;
    assert!(written);
    assert!(!db.after(&key(), announced.as_ref(), &AlbumTransition::AnnounceStatus).await.1);
}

#[tokio::test]
async fn the_first_call_names_the_parts() {
    let db = Db::start().await;
    let (first, second) = ([Uuid::from_u128(1), Uuid::from_u128(2)], [Uuid::from_u128(3)]);
    let acting = item(AlbumState::Acting).expect("an item");
    let (named, _) = db.after(&key(), Some(&acting), &AlbumTransition::NameParts(&first)).await;
    let (named, _) = db.after(&key(), named.as_ref(), &AlbumTransition::NameParts(&second)).await;
    assert_eq!(PARTS.of(&named.expect("an item")), Some(first.to_vec()));
}

#[tokio::test]
async fn the_second_instance_to_queue_an_album_learns_that_it_was_second() {
    let db = Db::start().await;
    let acting = item(AlbumState::Acting).expect("an item");
    let (queued, written) =
        db.after(&key(), Some(&acting), &AlbumTransition::Enqueued { status_message_id: Some(9) }).await;
    assert!(written);
    let (queued, written) =
        db.after(&key(), queued.as_ref(), &AlbumTransition::Enqueued { status_message_id: Some(10) }).await;
    assert!(!written);
    assert_eq!(STATUS_MESSAGE_ID.of(&queued.expect("an item")), Some(9));
}

/// For the diagram.
pub(crate) fn moves() -> (Vec<crate::arrows::Arrow>, Vec<&'static str>) {
    crate::arrows::arrows(&examples(&part(), &[]), AlbumState::Absent)
}
