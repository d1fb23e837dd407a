//! Updates.

use fleet::table::attribute::{
    ASKED, DEATHS, FAILING_SINCE, GONE_SINCE, HANDLED, LEASE_UNTIL, TIME, UNDELIVERED, Value, WORK_ID,
};
use fleet::table::update::{UpdateState, UpdateTransition};
use fleet::table::{Item, Key, Partition};
use uuid::Uuid;

use crate::{Db, HELD_UNTIL, LATER, NOW, ago, are_complete, item as item_of, with};

const KEY: Key = Key::Update(3);

/// An update in this state, as the writes before have left it.
fn item(state: UpdateState) -> Option<Item> {
    let kept = item_of([
        (ASKED.name(), "{}".to_owned().into_attribute()),
        (UNDELIVERED.name(), Partition::Update.into_attribute()),
        (WORK_ID.name(), Uuid::from_u128(7).into_attribute()),
        (DEATHS.name(), 1_i64.into_attribute()),
    ]);
    Some(match state {
        UpdateState::Absent => return None,
        UpdateState::Held => with(with(kept, LEASE_UNTIL, HELD_UNTIL), TIME, HELD_UNTIL),
        UpdateState::Deferred => with(with(kept, TIME, LATER), FAILING_SINCE, ago(50)),
        UpdateState::Due => with(kept, TIME, NOW),
        UpdateState::Handled => item_of([(HANDLED.name(), true.into_attribute())]),
    })
}

fn examples() -> Vec<UpdateTransition<'static>> {
    let (asked, work_id) = ("{}", Uuid::from_u128(8));
    vec![
        UpdateTransition::Take { asked, asker: 5, chat_id: 6, work_id, now: NOW, until: HELD_UNTIL },
        UpdateTransition::TakeOver { now: NOW, until: HELD_UNTIL },
        UpdateTransition::Begin { held_until: HELD_UNTIL, until: LATER, deaths: 1 },
        UpdateTransition::Defer {
            held_until: HELD_UNTIL,
            failing_since: NOW,
            gone_since: None,
            next_attempt_at: LATER,
        },
        UpdateTransition::GiveBack { held_until: HELD_UNTIL },
        UpdateTransition::End { now: NOW },
    ]
}

/// For [`are_complete`]: a new variant does not compile without a number here.
fn number(transition: &UpdateTransition<'_>) -> usize {
    match transition {
        UpdateTransition::Take { .. } => 0,
        UpdateTransition::TakeOver { .. } => 1,
        UpdateTransition::Begin { .. } => 2,
        UpdateTransition::Defer { .. } => 3,
        UpdateTransition::GiveBack { .. } => 4,
        UpdateTransition::End { .. } => 5,
    }
}

#[tokio::test]
async fn each_transition_happens_from_its_states_and_from_no_other() {
    let db = Db::start().await;
    are_complete(&examples(), number);
    for transition in &examples() {
        db.holds(transition, &UpdateState::ALL, &KEY, item, |item| UpdateState::of(item, NOW)).await;
    }
}

#[tokio::test]
async fn every_try_has_the_same_work_and_deaths_are_counted_from_each_beginning_until_it_is_deferred() {
    let db = Db::start().await;
    let due = item(UpdateState::Due).expect("an item");
    let (taken, _) = db.after(&KEY, Some(&due), &UpdateTransition::TakeOver { now: NOW, until: HELD_UNTIL }).await;
    let taken = taken.expect("an item");
    assert_eq!((DEATHS.of(&taken), WORK_ID.of(&taken)), (Some(1), Some(Uuid::from_u128(7))), "it only waits");
    let begin = UpdateTransition::Begin { held_until: HELD_UNTIL, until: HELD_UNTIL, deaths: 2 };
    let (begun, _) = db.after(&KEY, Some(&taken), &begin).await;
    let begun = begun.expect("an item");
    assert_eq!(DEATHS.of(&begun), Some(2));
    let given_back = UpdateTransition::GiveBack { held_until: HELD_UNTIL };
    let (given_back, _) = db.after(&KEY, Some(&taken), &given_back).await;
    assert_eq!(DEATHS.of(&given_back.expect("an item")), Some(1), "those of the tries before");
    let defer = UpdateTransition::Defer {
        held_until: HELD_UNTIL,
        failing_since: ago(5),
        gone_since: Some(ago(3)),
        next_attempt_at: LATER,
    };
    let (deferred, _) = db.after(&KEY, Some(&begun), &defer).await;
    let deferred = deferred.expect("an item");
    assert_eq!((DEATHS.of(&deferred), FAILING_SINCE.of(&deferred)), (Some(0), Some(ago(5))));
    assert_eq!(GONE_SINCE.of(&deferred), Some(ago(3)));
}

#[tokio::test]
async fn an_instance_of_an_older_version_that_keeps_nothing_is_waited_for() {
    let db = Db::start().await;
    let take = &examples()[0];
    let busy = item_of([(LEASE_UNTIL.name(), HELD_UNTIL.into_attribute())]);
    assert!(!db.after(&KEY, Some(&busy), take).await.1);
    let gone = item_of([(LEASE_UNTIL.name(), ago(1).into_attribute())]);
    let states = [&busy, &gone].map(|item| UpdateState::of(Some(item), NOW));
    assert_eq!(states, [UpdateState::Held, UpdateState::Absent]);
    assert!(db.after(&KEY, Some(&gone), take).await.1);
}

#[tokio::test]
async fn what_was_handled_says_nothing_of_what_was_asked() {
    let db = Db::start().await;
    let held = item(UpdateState::Held);
    let (ended, _) = db.after(&KEY, held.as_ref(), &UpdateTransition::End { now: NOW }).await;
    let mut left: Vec<String> = ended.expect("an item").into_keys().collect();
    left.sort_unstable();
    assert_eq!(left, ["expires_at", "handled", "prediction_id", "work_id"]);
}

/// For the diagram.
pub(crate) fn moves() -> (Vec<crate::arrows::Arrow>, Vec<&'static str>) {
    crate::arrows::arrows(&examples(), UpdateState::Absent)
}
