//! The Auto Scaling groups as a launcher sees them: it waits for changes, and tells each step of an instance's life.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::group::{Activity, Group, Hook, Instance, LifecycleState, shown_time};
use super::state::State;

/// The Auto Scaling groups. Clones share them.
#[derive(Debug, Clone)]
pub struct AutoScaling {
    state: Arc<Mutex<State>>,
    /// Counts changes; those that wait for one watch it.
    changes: Arc<watch::Sender<u64>>,
    /// Where the timers of lifecycle hooks run.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// Why a step of an instance's life can't be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AutoScalingError {
    /// The group does not exist.
    #[error("there is no Auto Scaling group {0:?}")]
    NoSuchGroup(String),
    /// The instance does not exist.
    #[error("there is no instance {0:?} in any Auto Scaling group")]
    NoSuchInstance(String),
}

impl AutoScaling {
    pub(crate) fn new(tasks: TaskTracker, stopping: CancellationToken) -> Self {
        Self { state: Arc::default(), changes: Arc::new(watch::Sender::new(0)), tasks, stopping }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) {
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

    pub(super) fn terminate(&self, id: &str, cause: Option<String>) -> Result<(), AutoScalingError> {
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
