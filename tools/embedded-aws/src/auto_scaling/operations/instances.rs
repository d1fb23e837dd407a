//! Operations on instances, and what groups did with them.

use time::OffsetDateTime;

use crate::auto_scaling::group::{Activity, shown_time};
use crate::auto_scaling::groups::AutoScaling;
use crate::auto_scaling::wire::{flag, group_mut, invalid, no_such_instance, required, shown_activity, shown_instance};
use crate::failure::Failure;
use crate::xml::Node;

impl AutoScaling {
    pub(super) fn describe_instances(&self, form: &Node) -> Node {
        let ids = form.texts("InstanceIds");
        let state = self.lock();
        let all = state.groups.values().flat_map(|group| group.instances.iter().map(move |i| (group, i)));
        let asked = all.filter(|(_, i)| ids.is_empty() || ids.contains(&i.id.as_str()));
        let shown = asked.map(|(group, i)| {
            let health = if i.healthy { "HEALTHY" } else { "UNHEALTHY" };
            shown_instance(i).with("AutoScalingGroupName", &group.name).with("HealthStatus", health)
        });
        Node::map().with("AutoScalingInstances", shown.collect::<Node>())
    }

    pub(super) fn terminate_instance(&self, form: &Node) -> Result<Node, Failure> {
        let id = required(form, "InstanceId")?;
        let decrement = flag(form, "ShouldDecrementDesiredCapacity")
            .ok_or_else(|| invalid("ShouldDecrementDesiredCapacity is required."))?;
        {
            let mut state = self.lock();
            let (group, instance) = state.find(id).ok_or_else(|| no_such_instance(id))?;
            if decrement
                && !instance.is_terminating()
                && let Some(group) = state.groups.get_mut(&group)
            {
                let desired = group.desired_capacity.saturating_sub(1);
                if desired < group.min_size {
                    return Err(invalid(
                        "Currently, desiredSize equals minSize. Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                    ));
                }
                group.desire(desired, "termination of an instance");
            }
        }
        let cause = format!(
            "At {} instance {id} was taken out of service in response to a user request.",
            shown_time(OffsetDateTime::now_utc())
        );
        self.terminate(id, Some(cause)).map_err(|_| no_such_instance(id))?;
        let state = self.lock();
        let of_instance = |activity: &&Activity| activity.description.ends_with(id);
        let activity = state.activities.iter().find(of_instance).map(shown_activity);
        Ok(Node::map().with("Activity", activity.unwrap_or_else(Node::map)))
    }

    pub(super) fn set_instance_protection(&self, form: &Node) -> Result<Node, Failure> {
        let protected =
            flag(form, "ProtectedFromScaleIn").ok_or_else(|| invalid("ProtectedFromScaleIn is required."))?;
        let mut state = self.lock();
        let group = group_mut(&mut state, form)?;
        let ids = form.texts("InstanceIds");
        // All or none.
        if let Some(odd) =
            ids.iter().find(|id| !group.instances.iter().any(|i| i.id == **id && !i.state.is_terminating()))
        {
            return Err(invalid(format!("The instance {odd} is not part of Auto Scaling group {}.", group.name)));
        }
        for id in ids {
            if let Some(instance) = group.instance_mut(id) {
                instance.protected_from_scale_in = protected;
            }
        }
        Ok(Node::map())
    }

    /// An instance that says it is unhealthy is on its way out, and will be replaced.
    pub(super) fn set_instance_health(&self, form: &Node) -> Result<Node, Failure> {
        let id = required(form, "InstanceId")?;
        let healthy = required(form, "HealthStatus")? == "Healthy";
        self.lock().instance_mut(id).ok_or_else(|| no_such_instance(id))?.healthy = healthy;
        if !healthy {
            let cause = "An instance was taken out of service in response to a user health-check.".to_owned();
            self.terminate(id, Some(cause)).map_err(|_| no_such_instance(id))?;
        }
        Ok(Node::map())
    }

    pub(super) fn describe_activities(&self, form: &Node) -> Node {
        let ids = form.texts("ActivityIds");
        let most = form.text("MaxRecords").and_then(|text| text.parse().ok()).unwrap_or(100);
        let state = self.lock();
        let asked = state.activities.iter().filter(|activity| {
            form.text("AutoScalingGroupName").is_none_or(|group| group == activity.group)
                && (ids.is_empty() || ids.contains(&activity.id.as_str()))
        });
        Node::map().with("Activities", asked.take(most).map(shown_activity).collect::<Node>())
    }
}
