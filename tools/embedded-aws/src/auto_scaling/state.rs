//! Every group, policy and activity, and how one change brings the others. Pure, but for the clock.

use std::collections::{BTreeMap, VecDeque};

use time::OffsetDateTime;
use tokio::time::Instant;

use super::group::{Activity, Group, Instance, LifecycleState};
use crate::xml::Node;

/// Activities that are remembered; the oldest go first.
const ACTIVITIES: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) policies: BTreeMap<(String, String), Node>,
    pub(super) activities: VecDeque<Activity>,
    /// Until when a hook holds an instance.
    pub(super) waits: BTreeMap<String, Instant>,
}

impl State {
    pub(super) fn find(&self, id: &str) -> Option<(String, LifecycleState)> {
        let mut all = self.groups.values().flat_map(|g| g.instances.iter().map(move |i| (g, i)));
        all.find(|(_, i)| i.id == id).map(|(group, i)| (group.name.clone(), i.state))
    }

    pub(super) fn instance_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.groups.values_mut().find_map(|group| group.instance_mut(id))
    }

    pub(super) fn set(&mut self, id: &str, state: LifecycleState) {
        if let Some(instance) = self.instance_mut(id) {
            instance.state = state;
        }
    }

    pub(super) fn enter_service(&mut self, id: &str) {
        self.set(id, LifecycleState::InService);
        self.finish(id, "Successful");
    }

    /// The hook that holds the instance is done with it.
    pub(super) fn proceed(&mut self, id: &str, abandon: bool) {
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

    pub(super) fn begin(&mut self, group: &str, description: String, cause: String) -> String {
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

    pub(super) fn set_activity(&mut self, instance: &str, activity: String) {
        if let Some(instance) = self.instance_mut(instance) {
            instance.activity = Some(activity);
        }
    }

    /// Ends the activity that is about the instance.
    pub(super) fn finish(&mut self, instance: &str, status: &str) {
        if let Some(activity) = self.instance_mut(instance).and_then(|i| i.activity.take()) {
            self.finish_activity(&activity, status);
        }
    }

    pub(super) fn finish_activity(&mut self, id: &str, status: &str) {
        if let Some(activity) = self.activities.iter_mut().find(|activity| activity.id == id) {
            activity.status = status.to_owned();
            activity.ended_at = Some(OffsetDateTime::now_utc());
        }
    }
}
