//! Operations on groups.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::REGION;
use crate::auto_scaling::group::{Group, shown_time};
use crate::auto_scaling::groups::AutoScaling;
use crate::auto_scaling::wire::{flag, group_mut, invalid, keep, number, required, shown_group};
use crate::failure::Failure;
use crate::xml::Node;

impl AutoScaling {
    pub(super) fn create_group(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "AutoScalingGroupName")?.to_owned();
        let need = |field| number(form, field)?.ok_or_else(|| invalid(format!("{field} is required.")));
        let (min_size, max_size) = (need("MinSize")?, need("MaxSize")?);
        let desired_capacity = number(form, "DesiredCapacity")?.unwrap_or(min_size);
        check_sizes(min_size, max_size, desired_capacity)?;
        let mut state = self.lock();
        if state.groups.contains_key(&name) {
            let message = "AutoScalingGroup by this name already exists - A group with the name already exists";
            return Err(Failure::bad("AlreadyExists", message));
        }
        let now = OffsetDateTime::now_utc();
        let mut group = Group {
            name: name.clone(),
            min_size,
            max_size,
            desired_capacity,
            default_instance_warmup: number(form, "DefaultInstanceWarmup")?,
            new_instances_protected: flag(form, "NewInstancesProtectedFromScaleIn").unwrap_or(false),
            instances: Vec::new(),
            created_at: now,
            cause: format!(
                "At {} a user request created an AutoScalingGroup changing the desired capacity from 0 to \
                 {desired_capacity}.",
                shown_time(now)
            ),
            hooks: BTreeMap::new(),
            kept: [
                ("AvailabilityZones", Node::List(vec![format!("{REGION}a").into()])),
                ("DefaultCooldown", 300.into()),
                ("HealthCheckGracePeriod", 0.into()),
                ("HealthCheckType", "EC2".into()),
            ]
            .map(|(name, node)| (name.to_owned(), node))
            .into(),
        };
        keep(&mut group, form);
        state.groups.insert(name, group);
        Ok(Node::map())
    }

    pub(super) fn update_group(&self, form: &Node) -> Result<Node, Failure> {
        let mut state = self.lock();
        let group = group_mut(&mut state, form)?;
        let min_size = number(form, "MinSize")?.unwrap_or(group.min_size);
        let max_size = number(form, "MaxSize")?.unwrap_or(group.max_size);
        // New limits move what is desired, unless that is set with them.
        let desired = match number(form, "DesiredCapacity")? {
            Some(desired) => desired,
            None => group.desired_capacity.max(min_size).min(max_size),
        };
        check_sizes(min_size, max_size, desired)?;
        (group.min_size, group.max_size) = (min_size, max_size);
        group.desire(desired, "update of AutoScalingGroup constraints");
        if let Some(warmup) = number(form, "DefaultInstanceWarmup")? {
            group.default_instance_warmup = Some(warmup);
        }
        if let Some(protected) = flag(form, "NewInstancesProtectedFromScaleIn") {
            group.new_instances_protected = protected;
        }
        keep(group, form);
        Ok(Node::map())
    }

    /// With `ForceDelete` its instances go with it: a launcher sees that they are in no group any more.
    pub(super) fn delete_group(&self, form: &Node) -> Result<Node, Failure> {
        let mut state = self.lock();
        let group = group_mut(&mut state, form)?;
        if !group.instances.is_empty() && flag(form, "ForceDelete") != Some(true) {
            return Err(Failure::bad(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances.",
            ));
        }
        let name = group.name.clone();
        state.groups.remove(&name);
        state.policies.retain(|(group, _), _| *group != name);
        Ok(Node::map())
    }

    pub(super) fn describe_groups(&self, form: &Node) -> Node {
        let names = form.texts("AutoScalingGroupNames");
        let state = self.lock();
        let groups = state.groups.values().filter(|g| names.is_empty() || names.contains(&g.name.as_str()));
        Node::map().with("AutoScalingGroups", groups.map(shown_group).collect::<Node>())
    }

    pub(super) fn set_desired_capacity(&self, form: &Node, cause: Option<&str>) -> Result<Node, Failure> {
        let desired = number(form, "DesiredCapacity")?.ok_or_else(|| invalid("DesiredCapacity is required."))?;
        let mut state = self.lock();
        let group = group_mut(&mut state, form)?;
        if desired < group.min_size {
            let min = group.min_size;
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is below min value {min} for the AutoScalingGroup."
            )));
        }
        if desired > group.max_size {
            let max = group.max_size;
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is above max value {max} for the AutoScalingGroup."
            )));
        }
        group.desire(desired, "explicit set group desired capacity");
        if let Some(cause) = cause {
            group.cause = cause.to_owned();
        }
        Ok(Node::map())
    }
}

fn check_sizes(min: u32, max: u32, desired: u32) -> Result<(), Failure> {
    if min > max {
        return Err(invalid(format!("Max bound, {max}, must be greater than or equal to min bound, {min}")));
    }
    if !(min..=max).contains(&desired) {
        return Err(invalid(format!(
            "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
        )));
    }
    Ok(())
}
