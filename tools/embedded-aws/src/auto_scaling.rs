//! EC2 Auto Scaling's groups, in awsQuery. A group here is what should be and what is; it starts and ends nothing. A
//! launcher watches [`AutoScaling::changes`], does what [`Group::shortage`] and [`Group::surplus`] call for, and reports
//! each step back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Call;
use crate::failure::Failure;
use crate::reply::Reply;
use crate::service::Service;
use crate::xml::Node;
use crate::{ACCOUNT, REGION};

mod group;

use group::Hook;
pub use group::{Activity, Group, Instance, LifecycleState};

/// Activities that are remembered; the oldest go first.
const ACTIVITIES: usize = 1000;
/// A header in which a caller of `SetDesiredCapacity` says why. In AWS nobody can: there, what changes the capacity for an
/// alarm is part of the service. Here it is a client like any other, and this is how its reason reaches the activities.
pub const CAUSE_HEADER: &str = "x-embedded-aws-cause";

/// The Auto Scaling groups. Clones share them.
#[derive(Debug, Clone)]
pub struct AutoScaling {
    state: Arc<Mutex<State>>,
    /// Counts changes; whoever waits for one watches it.
    changes: Arc<watch::Sender<u64>>,
    /// Where the timers of lifecycle hooks run.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, Group>,
    policies: BTreeMap<(String, String), Node>,
    activities: VecDeque<Activity>,
    /// Until when a hook holds an instance.
    waits: BTreeMap<String, Instant>,
}

/// Why a step of an instance's life can't be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AutoScalingError {
    /// There is no such group.
    #[error("there is no Auto Scaling group {0:?}")]
    NoSuchGroup(String),
    /// There is no such instance.
    #[error("there is no instance {0:?} in any Auto Scaling group")]
    NoSuchInstance(String),
}

impl AutoScaling {
    pub(crate) fn new(tasks: TaskTracker, stopping: CancellationToken) -> Self {
        Self { state: Arc::default(), changes: Arc::new(watch::Sender::new(0)), tasks, stopping }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Tells of every change of any group, instance, policy or activity.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Every group as it is now.
    pub fn groups(&self) -> Vec<Group> {
        self.lock().groups.values().cloned().collect()
    }

    /// One group as it is now.
    pub fn group(&self, name: &str) -> Option<Group> {
        self.lock().groups.get(name).cloned()
    }

    /// An instance and its group's name, while it is in one.
    pub fn instance(&self, id: &str) -> Option<(String, Instance)> {
        let state = self.lock();
        let mut all = state.groups.values().flat_map(|g| g.instances.iter().map(move |i| (&g.name, i)));
        all.find(|(_, instance)| instance.id == id).map(|(group, instance)| (group.clone(), instance.clone()))
    }

    /// Activities of all groups, newest first.
    pub fn activities(&self) -> Vec<Activity> {
        self.lock().activities.iter().cloned().collect()
    }

    /// Waits until `group` is as `wished`, and returns it. Waits for ever for a group that never comes.
    pub async fn wait_for(&self, group: &str, wished: impl Fn(&Group) -> bool) -> Group {
        let mut changes = self.changes();
        loop {
            if let Some(group) = self.group(group).filter(&wished) {
                return group;
            }
            // The sender is `self`, so it can't go away while this waits.
            let _ = changes.changed().await;
        }
    }

    /// A new instance of `group` is being started: it is `Pending`.
    pub fn launching(&self, group: &str) -> Result<String, AutoScalingError> {
        let mut state = self.lock();
        let found = state.groups.get_mut(group).ok_or_else(|| AutoScalingError::NoSuchGroup(group.to_owned()))?;
        // An id of AWS has 17 digits; the last ones of a UUIDv7 are chance.
        let unique = uuid::Uuid::now_v7().simple().to_string();
        let id = format!("i-{}", &unique[unique.len() - 17..]);
        let now = found.staying().count();
        let cause = format!(
            "{} At {} an instance was started in response to a difference between desired and actual capacity, \
             increasing the capacity from {now} to {}.",
            found.cause,
            shown_time(OffsetDateTime::now_utc()),
            now + 1
        );
        found.instances.push(Instance {
            id: id.clone(),
            state: LifecycleState::Pending,
            healthy: true,
            protected_from_scale_in: found.new_instances_protected,
            launched_at: OffsetDateTime::now_utc(),
            activity: None,
        });
        let activity = state.begin(group, format!("Launching a new EC2 instance: {id}"), cause);
        state.set_activity(&id, activity);
        drop(state);
        self.changed();
        Ok(id)
    }

    /// The instance has started. It is in service, unless a launching hook holds it in `Pending:Wait` first. An
    /// instance that is already on its way out stays there.
    pub fn in_service(&self, id: &str) -> Result<(), AutoScalingError> {
        self.step(id, |state, group, instance| {
            if instance.is_terminating() || instance == LifecycleState::InService {
                return None;
            }
            match state.groups.get(group).and_then(|g| g.hook(true)).cloned() {
                Some(hook) if instance == LifecycleState::Pending => {
                    state.set(id, LifecycleState::PendingWait);
                    Some(hook)
                }
                _ => {
                    state.enter_service(id);
                    None
                }
            }
        })
    }

    /// The instance is to be ended. It is `Terminating`, or `Terminating:Wait` while a terminating hook holds it, then
    /// `Terminating:Proceed`.
    pub fn terminating(&self, id: &str) -> Result<(), AutoScalingError> {
        self.terminate(id, None)
    }

    fn terminate(&self, id: &str, cause: Option<String>) -> Result<(), AutoScalingError> {
        self.step(id, |state, group, instance| {
            if instance.is_terminating() {
                return None;
            }
            state.finish(id, if instance == LifecycleState::InService { "Successful" } else { "Cancelled" });
            let found = state.groups.get(group);
            let hook = found.and_then(|g| g.hook(false)).cloned();
            let cause = cause.or_else(|| found.map(|g| g.cause.clone())).unwrap_or_default();
            let activity = state.begin(group, format!("Terminating EC2 instance: {id}"), cause);
            state.set_activity(id, activity);
            // Only an instance that worked has something to finish.
            let hook = hook.filter(|_| instance == LifecycleState::InService);
            let wait = hook.is_some();
            state.set(id, if wait { LifecycleState::TerminatingWait } else { LifecycleState::Terminating });
            hook
        })
    }

    /// The instance has ended, as wished or not; it leaves its group. One that was in service and not asked to end
    /// will be missing there, so that another takes its place.
    pub fn terminated(&self, id: &str) -> Result<(), AutoScalingError> {
        self.step(id, |state, group, instance| {
            if !instance.is_terminating() {
                state.finish(id, if instance == LifecycleState::InService { "Successful" } else { "Failed" });
                let cause =
                    "An instance was taken out of service in response to an EC2 health check that found it gone.";
                let description = format!("Terminating EC2 instance: {id}");
                let activity = state.begin(group, description, cause.to_owned());
                state.set_activity(id, activity);
                if let Some(group) = state.groups.get_mut(group) {
                    group.cause =
                        "An instance was launched in response to an unhealthy instance needing to be replaced."
                            .to_owned();
                }
            }
            state.finish(id, "Successful");
            state.waits.remove(id);
            if let Some(group) = state.groups.get_mut(group) {
                group.instances.retain(|i| i.id != id);
            }
            None
        })
    }

    /// Records something else that happened to a group, such as an alarm that changed its size; it is done when it is
    /// recorded. Returns its id.
    pub fn activity(&self, group: &str, description: &str, cause: &str) -> Result<String, AutoScalingError> {
        let mut state = self.lock();
        if !state.groups.contains_key(group) {
            return Err(AutoScalingError::NoSuchGroup(group.to_owned()));
        }
        let id = state.begin(group, description.to_owned(), cause.to_owned());
        state.finish_activity(&id, "Successful");
        drop(state);
        self.changed();
        Ok(id)
    }

    /// Does one step of an instance's life; if it ends in waiting for a hook, begins that wait.
    fn step(
        &self,
        id: &str,
        step: impl FnOnce(&mut State, &str, LifecycleState) -> Option<Hook>,
    ) -> Result<(), AutoScalingError> {
        let mut state = self.lock();
        let (group, now) = state.find(id).ok_or_else(|| AutoScalingError::NoSuchInstance(id.to_owned()))?;
        if let Some(hook) = step(&mut state, &group, now) {
            let timeout = Duration::from_secs(hook.heartbeat_timeout.into());
            state.waits.insert(id.to_owned(), Instant::now() + timeout);
            let (this, id) = (self.clone(), id.to_owned());
            self.tasks.spawn(async move { this.end_wait(id, hook).await });
        }
        drop(state);
        self.changed();
        Ok(())
    }

    /// Lets a waiting instance go on when its hook's time is over, unless something else did so before.
    async fn end_wait(self, id: String, hook: Hook) {
        loop {
            let Some(until) = self.lock().waits.get(&id).copied() else { return };
            if Instant::now() >= until {
                self.lock().proceed(&id, hook.abandon_by_default);
                self.changed();
                return;
            }
            let mut changes = self.changes();
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                // The wait may have been ended or prolonged.
                _ = changes.changed() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }
}

impl State {
    fn find(&self, id: &str) -> Option<(String, LifecycleState)> {
        let mut all = self.groups.values().flat_map(|g| g.instances.iter().map(move |i| (g, i)));
        all.find(|(_, i)| i.id == id).map(|(group, i)| (group.name.clone(), i.state))
    }

    fn instance_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.groups.values_mut().find_map(|group| group.instance_mut(id))
    }

    fn set(&mut self, id: &str, state: LifecycleState) {
        if let Some(instance) = self.instance_mut(id) {
            instance.state = state;
        }
    }

    fn enter_service(&mut self, id: &str) {
        self.set(id, LifecycleState::InService);
        self.finish(id, "Successful");
    }

    /// The hook that holds the instance is done with it.
    fn proceed(&mut self, id: &str, abandon: bool) {
        self.waits.remove(id);
        match self.find(id).map(|(_, state)| state) {
            Some(LifecycleState::PendingWait) if abandon => {
                self.finish(id, "Failed");
                self.set(id, LifecycleState::Terminating);
            }
            Some(LifecycleState::PendingWait) => self.enter_service(id),
            // Abandoned or not, an instance that is to end ends.
            Some(LifecycleState::TerminatingWait) => self.set(id, LifecycleState::TerminatingProceed),
            _ => {}
        }
    }

    fn begin(&mut self, group: &str, description: String, cause: String) -> String {
        let id = uuid::Uuid::now_v7().to_string();
        self.activities.push_front(Activity {
            id: id.clone(),
            group: group.to_owned(),
            description,
            cause,
            status: "InProgress".to_owned(),
            started_at: OffsetDateTime::now_utc(),
            ended_at: None,
        });
        self.activities.truncate(ACTIVITIES);
        id
    }

    fn set_activity(&mut self, instance: &str, activity: String) {
        if let Some(instance) = self.instance_mut(instance) {
            instance.activity = Some(activity);
        }
    }

    /// Ends the activity that is about the instance.
    fn finish(&mut self, instance: &str, status: &str) {
        if let Some(activity) = self.instance_mut(instance).and_then(|i| i.activity.take()) {
            self.finish_activity(&activity, status);
        }
    }

    fn finish_activity(&mut self, id: &str, status: &str) {
        if let Some(activity) = self.activities.iter_mut().find(|activity| activity.id == id) {
            activity.status = status.to_owned();
            activity.ended_at = Some(OffsetDateTime::now_utc());
        }
    }

    fn group_mut(&mut self, form: &Node) -> Result<&mut Group, Failure> {
        let name = required(form, "AutoScalingGroupName")?;
        self.groups.get_mut(name).ok_or_else(|| no_such_group(name))
    }
}

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

fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("ValidationError", message)
}

fn no_such_group(name: &str) -> Failure {
    invalid(format!("AutoScalingGroup name not found - AutoScalingGroup {name:?} not found"))
}

fn no_such_instance(id: &str) -> Failure {
    invalid(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
}

fn required<'a>(form: &'a Node, name: &str) -> Result<&'a str, Failure> {
    form.text(name).ok_or_else(|| invalid(format!("{name} is required.")))
}

fn number(form: &Node, name: &str) -> Result<Option<u32>, Failure> {
    let read = |text: &str| text.parse().map_err(|_| invalid(format!("{name} must be a whole number, not {text:?}.")));
    form.text(name).map(read).transpose()
}

fn flag(form: &Node, name: &str) -> Option<bool> {
    form.text(name).map(|text| text == "true")
}

fn shown_time(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("the years of this program have four digits")
}

fn group_arn(name: &str) -> String {
    format!("arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:00000000:autoScalingGroupName/{name}")
}

/// The operations.
impl AutoScaling {
    pub(crate) fn handle(&self, call: &Call) -> Result<Reply, Failure> {
        let form = Node::from_form(&call.body);
        let form = &form;
        let result = match call.operation.as_str() {
            "CreateAutoScalingGroup" => self.create_group(form)?,
            "UpdateAutoScalingGroup" => self.update_group(form)?,
            "DeleteAutoScalingGroup" => self.delete_group(form)?,
            "DescribeAutoScalingGroups" => self.describe_groups(form),
            "DescribeAutoScalingInstances" => self.describe_instances(form),
            "SetDesiredCapacity" => self.set_desired_capacity(form, call.header(CAUSE_HEADER))?,
            "TerminateInstanceInAutoScalingGroup" => self.terminate_instance(form)?,
            "SetInstanceProtection" => self.set_instance_protection(form)?,
            "SetInstanceHealth" => self.set_instance_health(form)?,
            "PutLifecycleHook" => self.put_hook(form)?,
            "DeleteLifecycleHook" => self.delete_hook(form)?,
            "DescribeLifecycleHooks" => self.describe_hooks(form)?,
            "CompleteLifecycleAction" => self.complete_lifecycle_action(form)?,
            "RecordLifecycleActionHeartbeat" => self.record_heartbeat(form)?,
            "PutScalingPolicy" => self.put_policy(form)?,
            "DeletePolicy" => self.delete_policy(form)?,
            "DescribePolicies" => self.describe_policies(form),
            "DescribeScalingActivities" => self.describe_activities(form),
            other => return Err(Failure::unknown_operation(Service::AutoScaling, other)),
        };
        if !call.operation.starts_with("Describe") {
            self.changed();
        }
        let name = &call.operation;
        let mut body =
            format!("<{name}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{name}Result>");
        result.write(&mut body);
        body.push_str(&format!("</{name}Result><ResponseMetadata><RequestId>"));
        body.push_str(&uuid::Uuid::now_v7().to_string());
        body.push_str(&format!("</RequestId></ResponseMetadata></{name}Response>"));
        Ok(Reply::xml(body))
    }

    fn create_group(&self, form: &Node) -> Result<Node, Failure> {
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
        group.keep(form);
        state.groups.insert(name, group);
        Ok(Node::map())
    }

    fn update_group(&self, form: &Node) -> Result<Node, Failure> {
        let mut state = self.lock();
        let group = state.group_mut(form)?;
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
        group.keep(form);
        Ok(Node::map())
    }

    /// With `ForceDelete` its instances go with it: a launcher sees that they are in no group any more.
    fn delete_group(&self, form: &Node) -> Result<Node, Failure> {
        let mut state = self.lock();
        let group = state.group_mut(form)?;
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

    fn describe_groups(&self, form: &Node) -> Node {
        let names = form.texts("AutoScalingGroupNames");
        let state = self.lock();
        let groups = state.groups.values().filter(|g| names.is_empty() || names.contains(&g.name.as_str()));
        Node::map().with("AutoScalingGroups", groups.map(shown_group).collect::<Node>())
    }

    fn describe_instances(&self, form: &Node) -> Node {
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

    fn set_desired_capacity(&self, form: &Node, cause: Option<&str>) -> Result<Node, Failure> {
        let desired = number(form, "DesiredCapacity")?.ok_or_else(|| invalid("DesiredCapacity is required."))?;
        let mut state = self.lock();
        let group = state.group_mut(form)?;
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

    fn terminate_instance(&self, form: &Node) -> Result<Node, Failure> {
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

    fn set_instance_protection(&self, form: &Node) -> Result<Node, Failure> {
        let protected =
            flag(form, "ProtectedFromScaleIn").ok_or_else(|| invalid("ProtectedFromScaleIn is required."))?;
        let mut state = self.lock();
        let group = state.group_mut(form)?;
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
    fn set_instance_health(&self, form: &Node) -> Result<Node, Failure> {
        let id = required(form, "InstanceId")?;
        let healthy = required(form, "HealthStatus")? == "Healthy";
        self.lock().instance_mut(id).ok_or_else(|| no_such_instance(id))?.healthy = healthy;
        if !healthy {
            let cause = "An instance was taken out of service in response to a user health-check.".to_owned();
            self.terminate(id, Some(cause)).map_err(|_| no_such_instance(id))?;
        }
        Ok(Node::map())
    }

    fn put_hook(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "LifecycleHookName")?;
        let mut state = self.lock();
        let group = state.group_mut(form)?;
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

    fn delete_hook(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "LifecycleHookName")?;
        let mut state = self.lock();
        let removed = state.group_mut(form)?.hooks.remove(name);
        removed.map(|_| Node::map()).ok_or_else(|| invalid(format!("No Lifecycle Hook found {name:?}")))
    }

    fn describe_hooks(&self, form: &Node) -> Result<Node, Failure> {
        let names = form.texts("LifecycleHookNames");
        let mut state = self.lock();
        let hooks = &state.group_mut(form)?.hooks;
        let asked = hooks.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
        Ok(Node::map().with("LifecycleHooks", asked.map(|(_, hook)| hook.shown.clone()).collect::<Node>()))
    }

    fn complete_lifecycle_action(&self, form: &Node) -> Result<Node, Failure> {
        let abandon = required(form, "LifecycleActionResult")? == "ABANDON";
        let mut state = self.lock();
        let id = waiting(&mut state, form)?;
        state.proceed(&id, abandon);
        Ok(Node::map())
    }

    fn record_heartbeat(&self, form: &Node) -> Result<Node, Failure> {
        let mut state = self.lock();
        let id = waiting(&mut state, form)?;
        let name = required(form, "LifecycleHookName")?;
        let timeout = state.group_mut(form)?.hooks.get(name).map_or(3600, |hook| hook.heartbeat_timeout);
        state.waits.insert(id, Instant::now() + Duration::from_secs(timeout.into()));
        Ok(Node::map())
    }

    fn put_policy(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "PolicyName")?.to_owned();
        let mut state = self.lock();
        let group = state.group_mut(form)?.name.clone();
        let arn = format!(
            "arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:00000000:autoScalingGroupName/{group}:policyName/{name}"
        );
        let mut policy = form.clone();
        if let Node::Map(fields) = &mut policy {
            fields.remove("Action");
            fields.remove("Version");
        }
        if form.text("PolicyType").is_none() {
            policy.set("PolicyType", "SimpleScaling");
        }
        if form.text("Enabled").is_none() {
            policy.set("Enabled", true);
        }
        let mut alarms = Node::List(Vec::new());
        if form.text("PolicyType") == Some("TargetTrackingScaling") {
            let tracking = form
                .get("TargetTrackingConfiguration")
                .ok_or_else(|| invalid("TargetTrackingConfiguration is required."))?;
            let target = tracking.text("TargetValue").and_then(|text| text.parse::<f64>().ok());
            if !target.is_some_and(|target| target > 0.0) {
                return Err(invalid("TargetValue must be a number greater than 0."));
            }
            // AWS makes two alarms for such a policy; their names tell which.
            alarms = ["AlarmHigh", "AlarmLow"]
                .map(|kind| {
                    let alarm = format!("TargetTracking-{group}-{kind}-{name}");
                    let arn = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm}");
                    Node::map().with("AlarmName", alarm).with("AlarmARN", arn)
                })
                .into_iter()
                .collect();
        }
        policy.set("PolicyARN", &arn).set("Alarms", alarms.clone());
        state.policies.insert((group, name), policy);
        Ok(Node::map().with("PolicyARN", arn).with("Alarms", alarms))
    }

    fn delete_policy(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "PolicyName")?;
        let mut state = self.lock();
        let before = state.policies.len();
        state.policies.retain(|(group, policy), shown| {
            let named = policy == name || shown.text("PolicyARN") == Some(name);
            !(named && form.text("AutoScalingGroupName").is_none_or(|asked| asked == group))
        });
        if state.policies.len() == before {
            return Err(invalid(format!("No scaling policy {name:?} found")));
        }
        Ok(Node::map())
    }

    fn describe_policies(&self, form: &Node) -> Node {
        let (names, types) = (form.texts("PolicyNames"), form.texts("PolicyTypes"));
        let state = self.lock();
        let asked = state.policies.iter().filter(|((group, name), policy)| {
            form.text("AutoScalingGroupName").is_none_or(|asked| asked == group)
                && (names.is_empty() || names.contains(&name.as_str()))
                && (types.is_empty() || policy.text("PolicyType").is_some_and(|kind| types.contains(&kind)))
        });
        Node::map().with("ScalingPolicies", asked.map(|(_, policy)| policy.clone()).collect::<Node>())
    }

    fn describe_activities(&self, form: &Node) -> Node {
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

/// The instance that a lifecycle call is about, if a hook of that name holds it.
fn waiting(state: &mut State, form: &Node) -> Result<String, Failure> {
    let name = required(form, "LifecycleHookName")?;
    let id = required(form, "InstanceId")?;
    let group = state.group_mut(form)?;
    let launching = group.hooks.get(name).map(|hook| hook.launching);
    let held = group.instances.iter().find(|i| i.id == id).map(|i| i.state);
    match (launching, held) {
        (Some(true), Some(LifecycleState::PendingWait)) | (Some(false), Some(LifecycleState::TerminatingWait)) => {
            Ok(id.to_owned())
        }
        _ => Err(invalid(format!("No active Lifecycle Action found with instance ID {id}"))),
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

impl Group {
    fn desire(&mut self, desired: u32, by: &str) {
        if desired != self.desired_capacity {
            self.cause = format!(
                "At {} a user request {by} changing the desired capacity from {} to {desired}.",
                shown_time(OffsetDateTime::now_utc()),
                self.desired_capacity
            );
            self.desired_capacity = desired;
        }
    }

    fn keep(&mut self, form: &Node) {
        let found = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), form.get(name)?.clone())));
        self.kept.extend(found);
    }
}

fn shown_instance(instance: &Instance) -> Node {
    Node::map()
        .with("InstanceId", &instance.id)
        .with("InstanceType", "local")
        .with("AvailabilityZone", format!("{REGION}a"))
        .with("LifecycleState", instance.state)
        .with("ProtectedFromScaleIn", instance.protected_from_scale_in)
}

fn shown_group(group: &Group) -> Node {
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

fn shown_activity(activity: &Activity) -> Node {
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
