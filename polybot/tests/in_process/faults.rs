//! Many photos while AWS or Telegram misbehaves: none is lost, each is answered once.

use embedded_aws::{Action, Fault, Service};
use polybot::reply;
use telegram_sandbox::{Fault as TelegramFault, User};

use crate::support::{SWEEP, Setup, World, jpeg};

const PHOTOS: usize = 40;

/// Photos by as many people, as Telegram's limits are for each chat.
struct Flood(Vec<(User, i32)>);

impl Flood {
    fn post(world: &World, photos: usize) -> Self {
        let post = |number| {
            let user = world.telegram.user(&format!("user {number}"));
            let photo = user.post_photo(jpeg(), None);
            (user, photo)
        };
        Self((0..photos).map(post).collect())
    }

    /// Wait until each is answered.
    async fn answered(&self, world: &World) {
        let is_done = async || self.0.iter().all(|(user, _)| !world.answers(user).is_empty()).then_some(());
        world.in_the_end(is_done).await;
    }

    /// Wait until each is answered and nothing is left that could answer again. Returns how many were told that it failed.
    async fn audit(&self, world: &World) -> usize {
        self.answered(world).await;
        world.in_the_end(async || world.is_settled().await.then_some(())).await;
        let answers: Vec<_> = self.0.iter().map(|(user, _)| world.answers(user)).collect();
        assert!(answers.iter().all(|answers| answers.len() == 1), "{answers:?}");
        answers.iter().flatten().filter(|answer| answer.words() == reply::failed(reply::KEPT_FAILING)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_brings_every_fifth_message_twice() {
    let world = Setup::of(2, 2).start().await;
    let twice = Fault::new(Action::Duplicate).on(Service::Sqs).operation("ReceiveMessage").probability(0.2);
    let twice = world.aws.faults().add(twice);
    let flood = Flood::post(&world, PHOTOS);
    assert_eq!(flood.audit(&world).await, 0);
    assert!(twice.fired() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_throttles_every_third_call() {
    let world = Setup::of(2, 2).start().await;
    let throttled = world.aws.faults().add(Fault::throttled(Service::DynamoDb).probability(0.3));
    let flood = Flood::post(&world, PHOTOS);
    flood.answered(&world).await;
    assert!(throttled.fired() > 0);
    throttled.remove();
    assert!(flood.audit(&world).await < PHOTOS / 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_fails_every_fifth_call() {
    let world = Setup::of(2, 2).start().await;
    let failed = world.aws.faults().add(Fault::internal_error(Service::S3).probability(0.2));
    let flood = Flood::post(&world, PHOTOS);
    assert!(flood.audit(&world).await < PHOTOS / 4);
    assert!(failed.fired() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn polybot_can_not_be_called_back() {
    let world = Setup::of(2, 2).without_callback().start().await;
    let flood = Flood::post(&world, PHOTOS);
    assert_eq!(flood.audit(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_telegram_is_survived() {
    let world = Setup::of(2, 1).start().await;
    world.telegram.fail_next("sendPhoto", 10_000, TelegramFault::Drop);
    let flood = Flood::post(&world, 5);
    // By whoever is called back, and by the sweep.
    for _ in 0..4 {
        let tries = world.telegram.calls("sendPhoto");
        world.until(async || (world.telegram.calls("sendPhoto") > tries).then_some(())).await;
        world.pass(2 * SWEEP);
    }
    world.telegram.fail_no_more("sendPhoto");
    assert_eq!(flood.audit(&world).await, 0);
}
