//! Operations on lifecycle hooks.

use std::time::Duration;

use tokio::time::Instant;

use crate::auto_scaling::group::{Hook, LifecycleState};
use crate::auto_scaling::groups::AutoScaling;
use crate::auto_scaling::state::State;
use crate::auto_scaling::wire::{group_mut, invalid, number, required};
use crate::failure::Failure;
use crate::xml::Node;

impl AutoScaling {
    pub(super) fn put_hook(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "LifecycleHookName")?;
        let mut state = self.lock();
        let group = group_mut(&mut state, form)?;
        let known = group.hooks.get(name);
        let transition = match form.text("LifecycleTransition") {
            Some("autoscaling:EC2_INSTANCE_LAUNCHING") => true,
            Some("autoscaling:EC2_INSTANCE_TERMINATING") => false,
            Some(other) => return Err(invalid(format!("There is no lifecycle transition {other:?}."))),
            None => known.map(|hook| hook.launching).ok_or_else(|| invalid("LifecycleTransition is required."))?,
        };
        let heartbeat_timeout = match number(form, "HeartbeatTimeout")? {
            Some(timeout) if (30..=7200).contains(&timeout) => timeout,
            Some(_) => return Err(invalid("HeartbeatTimeout must be between 30 and 7200 seconds.")),
            None => known.map_or(3600, |hook| hook.heartbeat_timeout),
        };
        let abandon_by_default = match form.text("DefaultResult") {
            Some(result) => result == "ABANDON",
            None => known.is_none_or(|hook| hook.abandon_by_default),
        };
        let transition_name = if transition { "LAUNCHING" } else { "TERMINATING" };
        let mut shown = Node::map()
            .with("LifecycleHookName", name)
            .with("AutoScalingGroupName", &group.name)
            .with("LifecycleTransition", format!("autoscaling:EC2_INSTANCE_{transition_name}"))
            .with("HeartbeatTimeout", heartbeat_timeout)
            .with("GlobalTimeout", (heartbeat_timeout * 100).min(172_800))
            .with("DefaultResult", if abandon_by_default { "ABANDON" } else { "CONTINUE" });
        for field in ["NotificationTargetARN", "RoleARN", "NotificationMetadata"] {
            if let Some(text) = form.text(field) {
                shown.set(field, text);
            }
        }
        group
            .hooks
            .insert(name.to_owned(), Hook { launching: transition, heartbeat_timeout, abandon_by_default, shown });
        Ok(Node::map())
    }

    pub(super) fn delete_hook(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "LifecycleHookName")?;
        let mut state = self.lock();
        let removed = group_mut(&mut state, form)?.hooks.remove(name);
        removed.map(|_| Node::map()).ok_or_else(|| invalid(format!("No Lifecycle Hook found {name:?}")))
    }

    pub(super) fn describe_hooks(&self, form: &Node) -> Result<Node, Failure> {
        let names = form.texts("LifecycleHookNames");
        let mut state = self.lock();
        let hooks = &group_mut(&mut state, form)?.hooks;
        let asked = hooks.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
        Ok(Node::map().with("LifecycleHooks", asked.map(|(_, hook)| hook.shown.clone()).collect::<Node>()))
    }

    pub(super) fn complete_lifecycle_action(&self, form: &Node) -> Result<Node, Failure> {
        let abandon = required(form, "LifecycleActionResult")? == "ABANDON";
        let mut state = self.lock();
        let id = waiting(&mut state, form)?;
        state.proceed(&id, abandon);
        Ok(Node::map())
    }

    pub(super) fn record_heartbeat(&self, form: &Node) -> Result<Node, Failure> {
        let mut state = self.lock();
        let id = waiting(&mut state, form)?;
        let name = required(form, "LifecycleHookName")?;
        let timeout = group_mut(&mut state, form)?.hooks.get(name).map_or(3600, |hook| hook.heartbeat_timeout);
        state.waits.insert(id, Instant::now() + Duration::from_secs(timeout.into()));
        Ok(Node::map())
    }
}

/// The instance that a lifecycle call is about, if a hook of that name holds it.
fn waiting(state: &mut State, form: &Node) -> Result<String, Failure> {
    let name = required(form, "LifecycleHookName")?;
    let id = required(form, "InstanceId")?;
    let group = group_mut(state, form)?;
    let launching = group.hooks.get(name).map(|hook| hook.launching);
    let held = group.instances.iter().find(|i| i.id == id).map(|i| i.state);
    match (launching, held) {
        (Some(true), Some(LifecycleState::PendingWait)) | (Some(false), Some(LifecycleState::TerminatingWait)) => {
            Ok(id.to_owned())
        }
        _ => Err(invalid(format!("No active Lifecycle Action found with instance ID {id}"))),
    }
}
