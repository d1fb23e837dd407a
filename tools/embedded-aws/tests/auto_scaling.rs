//! Auto Scaling through the SDK's client and, as a launcher would, through the handle.
#![allow(clippy::unwrap_used)]

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::error::ProvideErrorMetadata;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, CustomizedMetricSpecification, LifecycleState as SdkState, MetricDimension, MetricStatistic,
    TargetTrackingConfiguration,
};
use embedded_aws::{CAUSE_HEADER, EmbeddedAws, LifecycleState};

async fn start() -> (EmbeddedAws, Client) {
    let aws = EmbeddedAws::start().await.unwrap();
    let client = Client::new(&aws.sdk_config().await);
    client
        .create_auto_scaling_group()
        .auto_scaling_group_name("workers")
        .min_size(1)
        .max_size(4)
        .desired_capacity(2)
        .send()
        .await
        .unwrap();
    (aws, client)
}

async fn described(client: &Client) -> AutoScalingGroup {
    let got = client.describe_auto_scaling_groups().auto_scaling_group_names("workers").send().await.unwrap();
    got.auto_scaling_groups()[0].clone()
}

/// Starts what the group lacks.
fn launch(aws: &EmbeddedAws) -> Vec<String> {
    let groups = aws.auto_scaling();
    let shortage = groups.group("workers").unwrap().shortage();
    (0..shortage).map(|_| groups.launching("workers").unwrap()).collect()
}

#[tokio::test]
async fn a_launcher_makes_the_group_what_it_should_be() {
    let (aws, client) = start().await;
    let groups = aws.auto_scaling();
    let ids = launch(&aws);
    let group = described(&client).await;
    assert_eq!((group.min_size(), group.max_size(), group.desired_capacity()), (Some(1), Some(4), Some(2)));
    assert_eq!(group.instances().len(), 2);
    assert_eq!(group.instances()[0].lifecycle_state(), Some(&SdkState::Pending));
    ids.iter().for_each(|id| groups.in_service(id).unwrap());
    let group = described(&client).await;
    assert!(group.instances().iter().all(|i| i.lifecycle_state() == Some(&SdkState::InService)));
    assert_eq!(group.instances()[0].health_status(), Some("Healthy"));

    let mut changes = groups.changes();
    client.set_desired_capacity().auto_scaling_group_name("workers").desired_capacity(1).send().await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(groups.group("workers").unwrap().surplus(), [ids[0].clone()]);
    client
        .set_instance_protection()
        .auto_scaling_group_name("workers")
        .instance_ids(&ids[0])
        .protected_from_scale_in(true)
        .send()
        .await
        .unwrap();
    assert_eq!(groups.group("workers").unwrap().surplus(), [ids[1].clone()]);
    groups.terminating(&ids[1]).unwrap();
    assert!(groups.group("workers").unwrap().surplus().is_empty());
    groups.terminated(&ids[1]).unwrap();
    assert!(groups.terminated(&ids[1]).is_err());
    let all = client.describe_auto_scaling_instances().send().await.unwrap();
    assert_eq!(all.auto_scaling_instances().len(), 1);
    let instance = &all.auto_scaling_instances()[0];
    assert_eq!((instance.instance_id(), instance.protected_from_scale_in()), (Some(ids[0].as_str()), Some(true)));
    assert_eq!(instance.auto_scaling_group_name(), Some("workers"));

    // One that dies by itself is missed.
    groups.terminated(&ids[0]).unwrap();
    assert_eq!(groups.group("workers").unwrap().shortage(), 1);
    let got = client.describe_scaling_activities().auto_scaling_group_name("workers").send().await.unwrap();
    assert_eq!(got.activities().len(), 4);
    let done = got.activities().iter().all(|a| a.status_code().is_some_and(|s| s.as_str() == "Successful"));
    assert!(done, "{got:?}");
    assert!(got.activities()[1].cause().unwrap().contains("from 2 to 1"), "{got:?}");
    assert!(got.activities()[0].end_time().is_some());
}

#[tokio::test]
async fn who_sets_the_capacity_may_say_why() {
    let (aws, client) = start().await;
    launch(&aws);
    let call = client.set_desired_capacity().auto_scaling_group_name("workers").desired_capacity(3).customize();
    let because = |request: &mut aws_sdk_autoscaling::config::http::HttpRequest| {
        request.headers_mut().insert(CAUSE_HEADER, "an alarm changed the desired capacity from 2 to 3.");
    };
    call.mutate_request(because).send().await.unwrap();
    launch(&aws);
    let got = client.describe_scaling_activities().auto_scaling_group_name("workers").send().await.unwrap();
    let cause = got.activities()[0].cause().unwrap();
    assert!(cause.starts_with("an alarm changed the desired capacity from 2 to 3. At "), "{cause}");
    assert!(cause.ends_with("increasing the capacity from 2 to 3."), "{cause}");
}

#[tokio::test]
async fn a_terminating_hook_holds_an_instance_until_it_is_completed() {
    let (aws, client) = start().await;
    let groups = aws.auto_scaling();
    client
        .put_lifecycle_hook()
        .auto_scaling_group_name("workers")
        .lifecycle_hook_name("drain")
        .lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING")
        .heartbeat_timeout(120)
        .default_result("CONTINUE")
        .send()
        .await
        .unwrap();
    let hooks = client.describe_lifecycle_hooks().auto_scaling_group_name("workers").send().await.unwrap();
    assert_eq!(hooks.lifecycle_hooks()[0].heartbeat_timeout(), Some(120));
    let ids = launch(&aws);
    ids.iter().for_each(|id| groups.in_service(id).unwrap());
    let ended = client
        .terminate_instance_in_auto_scaling_group()
        .instance_id(&ids[0])
        .should_decrement_desired_capacity(true)
        .send()
        .await
        .unwrap();
    assert!(ended.activity().unwrap().description().unwrap().contains(&ids[0]));
    assert_eq!(described(&client).await.desired_capacity(), Some(1));
    assert_eq!(groups.instance(&ids[0]).unwrap().1.state, LifecycleState::TerminatingWait);
    client
        .record_lifecycle_action_heartbeat()
        .auto_scaling_group_name("workers")
        .lifecycle_hook_name("drain")
        .instance_id(&ids[0])
        .send()
        .await
        .unwrap();
    let complete = || {
        client
            .complete_lifecycle_action()
            .auto_scaling_group_name("workers")
            .lifecycle_hook_name("drain")
            .lifecycle_action_result("CONTINUE")
            .instance_id(&ids[0])
            .send()
    };
    complete().await.unwrap();
    let proceeding = |g: &embedded_aws::Group| g.instances[0].state == LifecycleState::TerminatingProceed;
    groups.wait_for("workers", proceeding).await;
    assert_eq!(complete().await.unwrap_err().code(), Some("ValidationError"));
    // Without decrementing below the minimum.
    let refused = client
        .terminate_instance_in_auto_scaling_group()
        .instance_id(&ids[1])
        .should_decrement_desired_capacity(true)
        .send()
        .await;
    assert_eq!(refused.unwrap_err().code(), Some("ValidationError"));
    aws.stop().await;
}

#[tokio::test]
async fn a_policy_keeps_its_target_tracking_configuration() {
    let (_aws, client) = start().await;
    let metric = CustomizedMetricSpecification::builder()
        .namespace("Polybot")
        .metric_name("BacklogPerInstance")
        .dimensions(MetricDimension::builder().name("Queue").value("jobs & more").build())
        .dimensions(MetricDimension::builder().name("Group").value("workers").build())
        .statistic(MetricStatistic::Average)
        .build();
    let tracking = TargetTrackingConfiguration::builder()
        .customized_metric_specification(metric.clone())
        .target_value(10.5)
        .disable_scale_in(false)
        .build();
    let put = client
        .put_scaling_policy()
        .auto_scaling_group_name("workers")
        .policy_name("backlog")
        .policy_type("TargetTrackingScaling")
        .target_tracking_configuration(tracking.clone())
        .estimated_instance_warmup(60)
        .send()
        .await
        .unwrap();
    assert_eq!(put.alarms().len(), 2);
    let got = client.describe_policies().auto_scaling_group_name("workers").send().await.unwrap();
    let policy = &got.scaling_policies()[0];
    assert_eq!(policy.policy_arn(), put.policy_arn());
    assert_eq!(policy.estimated_instance_warmup(), Some(60));
    assert_eq!(policy.target_tracking_configuration(), Some(&tracking));
}

#[tokio::test]
async fn refusals_are_those_that_the_sdk_knows() {
    let (_aws, client) = start().await;
    let again = client.create_auto_scaling_group().auto_scaling_group_name("workers").min_size(0).max_size(1);
    assert!(again.send().await.unwrap_err().into_service_error().is_already_exists_fault());
    let too_many = client.set_desired_capacity().auto_scaling_group_name("workers").desired_capacity(5);
    assert_eq!(too_many.send().await.unwrap_err().code(), Some("ValidationError"));
    assert_eq!(client.describe_account_limits().send().await.unwrap_err().code(), Some("InvalidAction"));
    let update = client.update_auto_scaling_group().auto_scaling_group_name("workers").min_size(3);
    update.send().await.unwrap();
    assert_eq!(described(&client).await.desired_capacity(), Some(3));
    client.delete_auto_scaling_group().auto_scaling_group_name("workers").send().await.unwrap();
    assert!(client.describe_auto_scaling_groups().send().await.unwrap().auto_scaling_groups().is_empty());
}
