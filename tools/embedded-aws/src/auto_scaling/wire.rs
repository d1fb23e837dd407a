//! Auto Scaling's wire format: the fields of a form, the nodes of a reply, and the errors for a request that it can't serve.

use super::group::{Activity, Group, Instance, shown_time};
use super::state::State;
use crate::failure::Failure;
use crate::xml::Node;
use crate::{ACCOUNT, REGION};

/// What a group or policy keeps only to show it again.
const KEPT: [&str; 12] = [
    "AvailabilityZones",
    "CapacityRebalance",
    "DefaultCooldown",
    "HealthCheckGracePeriod",
    "HealthCheckType",
    "LaunchConfigurationName",
    "LaunchTemplate",
    "MaxInstanceLifetime",
    "MixedInstancesPolicy",
    "Tags",
    "TerminationPolicies",
    "VPCZoneIdentifier",
];

pub(super) fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("ValidationError", message)
}

pub(super) fn no_such_group(name: &str) -> Failure {
    invalid(format!("AutoScalingGroup name not found - AutoScalingGroup {name:?} not found"))
}

pub(super) fn no_such_instance(id: &str) -> Failure {
    invalid(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
}

pub(super) fn required<'a>(form: &'a Node, name: &str) -> Result<&'a str, Failure> {
    form.text(name).ok_or_else(|| invalid(format!("{name} is required.")))
}

pub(super) fn number(form: &Node, name: &str) -> Result<Option<u32>, Failure> {
    let read = |text: &str| text.parse().map_err(|_| invalid(format!("{name} must be a whole number, not {text:?}.")));
    form.text(name).map(read).transpose()
}

pub(super) fn flag(form: &Node, name: &str) -> Option<bool> {
    form.text(name).map(|text| text == "true")
}

pub(super) fn group_arn(name: &str) -> String {
    format!("arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:00000000:autoScalingGroupName/{name}")
}

/// The group that a form names.
pub(super) fn group_mut<'a>(state: &'a mut State, form: &Node) -> Result<&'a mut Group, Failure> {
    let name = required(form, "AutoScalingGroupName")?;
    state.groups.get_mut(name).ok_or_else(|| no_such_group(name))
}

/// Takes over the fields that a group has only to show them.
pub(super) fn keep(group: &mut Group, form: &Node) {
    let found = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), form.get(name)?.clone())));
    group.kept.extend(found);
}

pub(super) fn shown_instance(instance: &Instance) -> Node {
    Node::map()
        .with("InstanceId", &instance.id)
        .with("InstanceType", "local")
        .with("AvailabilityZone", format!("{REGION}a"))
        .with("LifecycleState", instance.state)
        .with("ProtectedFromScaleIn", instance.protected_from_scale_in)
}

pub(super) fn shown_group(group: &Group) -> Node {
    let instances = group
        .instances
        .iter()
        .map(|i| shown_instance(i).with("HealthStatus", if i.healthy { "Healthy" } else { "Unhealthy" }));
    let mut shown = Node::Map(group.kept.clone())
        .with("AutoScalingGroupName", &group.name)
        .with("AutoScalingGroupARN", group_arn(&group.name))
        .with("MinSize", group.min_size)
        .with("MaxSize", group.max_size)
        .with("DesiredCapacity", group.desired_capacity)
        .with("NewInstancesProtectedFromScaleIn", group.new_instances_protected)
        .with("CreatedTime", shown_time(group.created_at))
        .with("Instances", instances.collect::<Node>());
    if let Some(warmup) = group.default_instance_warmup {
        shown.set("DefaultInstanceWarmup", warmup);
    }
    shown
}

pub(super) fn shown_activity(activity: &Activity) -> Node {
    let mut shown = Node::map()
        .with("ActivityId", &activity.id)
        .with("AutoScalingGroupName", &activity.group)
        .with("Description", &activity.description)
        .with("Cause", &activity.cause)
        .with("StartTime", shown_time(activity.started_at))
        .with("StatusCode", &activity.status)
        .with("Progress", if activity.ended_at.is_some() { 100 } else { 50 });
    if let Some(ended_at) = activity.ended_at {
        shown.set("EndTime", shown_time(ended_at));
    }
    shown
}
