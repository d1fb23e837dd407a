//! `docs/contract.json` lists no call to AWS that no service makes: each is made here. That it lists all that are made is checked at
//! the end of every scenario.

use std::time::Duration;

use aws_config::AppName;
use embedded_aws::{Action, Fault, LifecycleState, Service};
use fleet::{JobQueue, Prediction, PredictionStore};
use telegram_sandbox::Post;

use crate::support::resources::{self, GROUP};
use crate::support::{Instance, PATIENCE, SWEEP, Setup, World, aws_calls, jpeg};

/// Longer than a queued record may be there before its message is looked for.
const STALE: Duration = Duration::from_secs(901);

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_the_contract_lists_is_made() {
    let setup = Setup::of(0, 0).polybot("--telegram-secret-id=token").worker("--model=stand-in:300");
    let setup =
        setup.worker("--asg-name=workers").worker("--lifecycle-hook=drain").worker("--scale-in-protection=true");
    let mut world = setup.start().await;
    let secrets = aws_sdk_secretsmanager::Client::new(&world.aws.sdk_config().await);
    secrets.create_secret().name("token").secret_string(world.telegram.token()).send().await.expect("a secret");
    world.add_polybot().await;

    the_first_photo_wakes_the_fleet(&world).await;
    a_lost_job_is_sent_again(&mut world).await;
    photos_are_answered_and_forgotten(&world).await;
    a_dead_letter_is_redriven(&world).await;
    the_worker_drains(&mut world).await;

    let made = aws_calls::made(&world.aws);
    if std::env::var_os("UPDATE").is_some() {
        return made.iter().for_each(|(name, actions)| aws_calls::write(name, actions));
    }
    for (name, listed) in aws_calls::listed() {
        let only_listed: Vec<_> = listed.difference(&made[name]).collect();
        assert!(only_listed.is_empty(), "docs/contract.json lists {only_listed:?} of {name}, which nothing here calls");
    }
}

/// metric-streamer looks, publishes, and asks for a worker.
async fn the_first_photo_wakes_the_fleet(world: &World) {
    let auto_scaling = aws_sdk_autoscaling::Client::new(&world.aws.sdk_config().await);
    let emptied = auto_scaling.set_desired_capacity().auto_scaling_group_name(GROUP).desired_capacity(0);
    emptied.send().await.expect("the group is empty");
    let _streamer = Instance::streamer(world).await;
    world.telegram.user("Ann").post_photo(jpeg(), None);
    world.soon(world.aws.calls().at_least(Service::Sqs, "SendMessage", 1)).await;
    world
        .in_the_end(async || {
            let woken = world.aws.auto_scaling().group(GROUP)?.desired_capacity == 1;
            let is_called = |service, operation| world.aws.calls().count(service, operation) > 0;
            let read = is_called(Service::DynamoDb, "BatchGetItem");
            (woken && read && is_called(Service::CloudWatch, "PutMetricData")).then_some(())
        })
        .await;
}

async fn a_lost_job_is_sent_again(world: &mut World) {
    world.resources.sqs.purge_queue().queue_url(&world.resources.queue_url).send().await.expect("purged");
    world.pass(STALE);
    world.until(async || world.records().await.iter().any(|record| record.requeued == 1).then_some(())).await;
    let auto_scaling = world.aws.auto_scaling().clone();
    let instance = auto_scaling.launching(GROUP).expect("it is launched");
    auto_scaling.in_service(&instance).expect("it is in service");
    world.metadata.is_about(&instance, &auto_scaling);
    world.add_worker().await;
    world.all_settled().await;
}

async fn photos_are_answered_and_forgotten(world: &World) {
    let bob = world.telegram.user("Bob");
    let album = bob.post_album([0, 1].map(|_| Post::photo(jpeg())));
    world.answer(&bob, album[0]).await;
    // One that has no record, as load generators send.
    let id = uuid::Uuid::now_v7();
    let key = fleet::images::original_key(id, "jpg");
    world.images.put(&key, jpeg().into(), "image/jpeg").await.expect("stored");
    let record = Prediction::queued(id, bob.chat_id(), 1, key, world.clock.now());
    world.queue.send(&record.job(world.clock.date())).await.expect("queued");
    world.all_settled().await;
    // And one that is forgotten while the worker stores its result.
    let stored = world.aws.calls().count(Service::S3, "PutObject");
    bob.post_photo(jpeg(), None);
    world.soon(world.aws.calls().at_least(Service::S3, "PutObject", stored + 1)).await;
    let slow = Fault::new(Action::Delay(Duration::from_secs(1))).on(Service::S3).operation("PutObject").times(1);
    let slow = world.aws.faults().add(slow);
    world.soon(slow.fired_at_least(1)).await;
    let forget = bob.post_text("/forget");
    world.answer(&bob, forget).await;
    world.all_settled().await;
}

async fn a_dead_letter_is_redriven(world: &World) {
    let broken = world.aws.faults().add(Fault::internal_error(Service::S3).operation("GetObject"));
    let eve = world.telegram.user("Eve");
    let photo = eve.post_photo(jpeg(), None);
    world.record(&eve, photo, |record| record.dead_letter && record.delivered_at.is_some()).await;
    broken.remove();
    // `polybot redrive`, which has polybot's role.
    let name = AppName::new("polybot").expect("a name");
    let config = world.aws.sdk_config().await.to_builder().app_name(name).build();
    let predictions = PredictionStore::new(aws_sdk_dynamodb::Client::new(&config), resources::TABLE);
    let queue = JobQueue::new(aws_sdk_sqs::Client::new(&config), &world.resources.queue_url);
    let redriven = polybot::redrive(&predictions, &queue, &world.clock, false).await.expect("redriven");
    assert_eq!(redriven.jobs, 1);
    world.all_settled().await;
}

async fn the_worker_drains(world: &mut World) {
    world.pass(SWEEP);
    let auto_scaling = world.aws.auto_scaling().clone();
    let instance = auto_scaling.group(GROUP).expect("a group").instances[0].id.clone();
    auto_scaling.terminating(&instance).expect("it may be ended");
    let worker = world.workers.remove(0);
    let time_passes = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            world.pass(Duration::from_secs(1));
        }
    };
    tokio::select! {
        () = worker.ended() => {}
        () = time_passes => {}
        () = tokio::time::sleep(PATIENCE) => panic!("it does not end"),
    }
    let proceeds = auto_scaling.wait_for(GROUP, |group| {
        group.instances.iter().all(|it| it.id != instance || it.state == LifecycleState::TerminatingProceed)
    });
    world.soon(proceeds).await;
}
