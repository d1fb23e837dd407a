//! A worker whose machine is going to end: it drains, and says so.

use embedded_aws::{AutoScaling, LifecycleState, Service};

use crate::support::resources::GROUP;
use crate::support::{SWEEP, Setup, World, jpeg};

/// A fleet whose worker runs on an instance of the group.
async fn fleet(model: &str) -> (World, AutoScaling, String) {
    let setup = Setup::of(1, 0).worker(model).worker("--asg-name=workers").worker("--lifecycle-hook=drain");
    let mut world = setup.worker("--scale-in-protection=true").start().await;
    let auto_scaling = world.aws.auto_scaling().clone();
    let instance = auto_scaling.launching(GROUP).expect("it is launched");
    auto_scaling.in_service(&instance).expect("it is in service");
    world.metadata.is_about(&instance, &auto_scaling);
    world.add_worker().await;
    (world, auto_scaling, instance)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_scaled_in_is_protected_while_it_works_drains_and_says_so() {
    let (mut world, auto_scaling, instance) = fleet("--model=stand-in:200").await;
    let protected = |wished| {
        let auto_scaling = auto_scaling.clone();
        async move { auto_scaling.wait_for(GROUP, |group| group.instances[0].protected_from_scale_in == wished).await }
    };
    let ann = world.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(), None);
    world.soon(protected(true)).await;
    world.answer(&ann, photo).await;
    // The worker is idle a little after its answer is there.
    let is_protected = || auto_scaling.group(GROUP).expect("the group").instances[0].protected_from_scale_in;
    world.in_the_end(async || (!is_protected()).then_some(())).await;

    auto_scaling.terminating(&instance).expect("it may be ended");
    let worker = world.workers.remove(0);
    world.soon(worker.ended()).await;
    let proceeds = auto_scaling.wait_for(GROUP, |group| {
        group.instances.iter().all(|it| it.id != instance || it.state == LifecycleState::TerminatingProceed)
    });
    world.soon(proceeds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ec2_takes_back_finishes_what_runs_and_leaves_the_rest() {
    const FEW: usize = 8;
    let (mut world, _, _) = fleet("--model=stand-in:300").await;
    let people: Vec<_> = (0..FEW).map(|number| world.telegram.user(&format!("{number}"))).collect();
    let photos: Vec<_> = people.iter().map(|user| user.post_photo(jpeg(), None)).collect();
    world.soon(world.aws.calls().at_least(Service::S3, "GetObject", 2)).await;
    world.metadata.take_back(true);
    world.pass(SWEEP);
    let worker = world.workers.remove(0);
    world.soon(worker.ended()).await;
    // No hook waits yet, so none is completed.
    assert_eq!(world.aws.calls().count(Service::AutoScaling, "CompleteLifecycleAction"), 0);
    let answered = people.iter().filter(|user| !world.answers(user).is_empty()).count();
    assert!(answered < FEW, "it should have stopped before the last photo");

    world.metadata.take_back(false);
    world.add_worker().await;
    for (user, photo) in people.iter().zip(photos) {
        world.answer(user, photo).await;
    }
    world.all_settled().await;
    // Stored once by polybot and once by a worker: what ran was finished, what waited was not begun.
    assert_eq!(world.aws.calls().count(Service::S3, "PutObject"), 2 * FEW as u64);
}
