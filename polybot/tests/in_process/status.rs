//! The message that says "being processed": wherever a polybot dies, none stays behind whose number Telegram has told.

use embedded_aws::{Action, Fault, Service};
use fleet::Status;
use telegram_sandbox::{Fault as TelegramFault, Post};

use crate::support::{LEASE_IS_OVER, PATIENCE, SWEEP, Setup, World, jpeg};

/// A photo that is done, of which nobody was told; the message that says to wait is there.
async fn waiting() -> (World, telegram_sandbox::User, i32) {
    let world = Setup::default().without_callback().start().await;
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.record(&ann, photo, |record| record.status == Status::Done && record.status_message_id.is_some()).await;
    assert_eq!(world.told_to_wait(&ann), 1);
    (world, ann, photo)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_gone_when_the_answer_is_there() {
    let (world, ann, photo) = waiting().await;
    world.pass(2 * SWEEP);
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    assert_eq!((world.answers(&ann).len(), world.told_to_wait(&ann)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_as_long_as_the_answer_can_not_be_sent() {
    let (world, ann, photo) = waiting().await;
    world.telegram.fail_next("sendPhoto", 1000, TelegramFault::Drop);
    world.pass(2 * SWEEP);
    world.record(&ann, photo, |record| record.first_failed_at.is_some()).await;
    assert_eq!((world.answers(&ann).len(), world.told_to_wait(&ann), world.telegram.calls("deleteMessage")), (0, 1, 0));
    world.telegram.fail_no_more("sendPhoto");
    for _ in 0..3 {
        world.pass(SWEEP);
    }
    world.answer(&ann, photo).await;
    world.nobody_waits(&ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polybot_that_dies_while_it_removes_it_leaves_it_to_another() {
    let (mut world, ann, photo) = waiting().await;
    world.telegram.fail_next("deleteMessage", 1, TelegramFault::Hold);
    world.pass(2 * SWEEP);
    world.answer(&ann, photo).await;
    world.kill_polybot(0).await;
    world.add_polybot().await;
    world.pass(LEASE_IS_OVER);
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    assert_eq!(world.told_to_wait(&ann), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polybot_that_dies_while_it_marks_leaves_none() {
    let (mut world, ann, photo) = waiting().await;
    // It is leased when its picture is fetched; of the writes that follow the mark is the first.
    let fetched = Fault::new(Action::Delay(std::time::Duration::from_millis(300))).on(Service::S3);
    let fetched = world.aws.faults().add(fetched.operation("GetObject").times(1));
    world.pass(2 * SWEEP);
    world.soon(fetched.fired_at_least(1)).await;
    let stuck = Fault::new(Action::Delay(PATIENCE)).on(Service::DynamoDb).operation("UpdateItem");
    let stuck = world.aws.faults().add(stuck);
    world.answer(&ann, photo).await;
    world.kill_polybot(0).await;
    stuck.remove();
    world.add_polybot().await;
    world.pass(LEASE_IS_OVER);
    world.record(&ann, photo, |record| record.delivered_at.is_some()).await;
    assert_eq!(world.told_to_wait(&ann), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_that_does_not_remove_it_at_once_is_asked_again() {
    let (world, ann, photo) = waiting().await;
    world.telegram.fail_next("deleteMessage", 2, TelegramFault::too_many_requests(3));
    world.pass(2 * SWEEP);
    world.answer(&ann, photo).await;
    world.nobody_waits(&ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_that_does_not_answer_is_asked_again_to_remove_it() {
    let (world, ann, photo) = waiting().await;
    world.telegram.fail_next("deleteMessage", 2, TelegramFault::Drop);
    world.pass(2 * SWEEP);
    world.answer(&ann, photo).await;
    world.nobody_waits(&ann).await;
}

/// The answer comes before the message that says to wait: Telegram takes that one late.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_after_the_answer_is_removed() {
    let world = Setup::of(1, 2).start().await;
    // Its number is recorded late.
    let late = Fault::new(Action::Delay(std::time::Duration::from_millis(150))).on(Service::DynamoDb);
    world.aws.faults().add(late.operation("UpdateItem").probability(0.3));
    let people: Vec<_> = (0..10).map(|number| world.telegram.user(&format!("{number}"))).collect();
    let photos: Vec<_> = people.iter().map(|user| user.post_photo(jpeg(), None)).collect();
    for (user, photo) in people.iter().zip(photos) {
        world.answer(user, photo).await;
        world.nobody_waits(user).await;
        assert_eq!(world.answers(user).len(), 1);
    }
}

/// Telegram took the message, and its number died with the polybot: the Bot API has no way to find it again. It is the only one.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_number_nobody_knows_is_not_followed_by_a_second() {
    let mut world = Setup::of(1, 0).start().await;
    world.telegram.fail_next("sendMessage", 1, TelegramFault::HoldAnswer);
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    let ben = world.telegram.user("Ben");
    world.until(async || (world.told_to_wait(&ann) == 1).then_some(())).await;
    world.telegram.fail_next("sendMessage", 1, TelegramFault::HoldAnswer);
    let album = ben.post_album([0, 1].map(|_| Post::photo(jpeg())));
    world.until(async || (world.told_to_wait(&ben) == 1).then_some(())).await;
    world.kill_polybot(0).await;
    world.add_polybot().await;
    world.add_worker().await;
    world.pass(LEASE_IS_OVER);
    world.answer(&ann, photo).await;
    world.answer(&ben, album[0]).await;
    world.all_settled().await;
    assert_eq!((world.told_to_wait(&ann), world.told_to_wait(&ben)), (1, 1));
}
