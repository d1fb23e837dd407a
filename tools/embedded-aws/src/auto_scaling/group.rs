//! A group and its instances: sizes, states, what it did. Pure, but for the time that is handed in.

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::xml::Node;

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LifecycleState {
    /// Being started.
    Pending,
    /// Started; a launching hook has something to do first.
    PendingWait,
    /// The launching hook is done.
    PendingProceed,
    /// Working.
    InService,
    /// To be ended.
    Terminating,
    /// To be ended; a terminating hook has something to do first, such as a worker finishing its job.
    TerminatingWait,
    /// The terminating hook is done: end it now.
    TerminatingProceed,
}

impl LifecycleState {
    /// The name that AWS gives the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::PendingWait => "Pending:Wait",
            Self::PendingProceed => "Pending:Proceed",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
        }
    }

    /// Whether the instance is on its way out.
    pub fn is_terminating(self) -> bool {
        matches!(self, Self::Terminating | Self::TerminatingWait | Self::TerminatingProceed)
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One instance of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Such as `i-0123456789abcdef0`.
    pub id: String,
    /// Where it is in its life.
    pub state: LifecycleState,
    /// False once it was reported unhealthy: it is to be replaced.
    pub healthy: bool,
    /// Not to be chosen when the group shrinks by itself.
    pub protected_from_scale_in: bool,
    /// When it was started.
    pub launched_at: OffsetDateTime,
    /// The activity that its start or end is told in.
    pub(crate) activity: Option<String>,
}

/// Something that a group did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Its name.
    pub id: String,
    /// The group that did it.
    pub group: String,
    /// What, such as `Launching a new EC2 instance: i-0123`.
    pub description: String,
    /// Why, in a sentence.
    pub cause: String,
    /// `InProgress`, `Successful`, `Failed`, ...
    pub status: String,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it ended, if it has.
    pub ended_at: Option<OffsetDateTime>,
}

/// An Auto Scaling group as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Never fewer than this.
    pub min_size: u32,
    /// Never more than this.
    pub max_size: u32,
    /// How many there should be.
    pub desired_capacity: u32,
    /// Seconds until a new instance counts in the group's metrics, if that was set.
    pub default_instance_warmup: Option<u32>,
    /// Instances begin protected.
    pub new_instances_protected: bool,
    /// Those that there are, oldest first.
    pub instances: Vec<Instance>,
    pub(crate) created_at: OffsetDateTime,
    /// Why it last came to want another number of instances.
    pub(crate) cause: String,
    pub(crate) hooks: BTreeMap<String, Hook>,
    /// What was set and is only shown again.
    pub(crate) kept: BTreeMap<String, Node>,
}

/// Something to be done before an instance begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) launching: bool,
    pub(crate) heartbeat_timeout: u32,
    pub(crate) abandon_by_default: bool,
    pub(crate) shown: Node,
}

impl Group {
    /// How many instances are to be started to reach the desired capacity.
    pub fn shortage(&self) -> usize {
        (self.desired_capacity as usize).saturating_sub(self.staying().count())
    }

    /// Which instances are to be ended to reach the desired capacity: the unhealthy, then the oldest that are not
    /// protected. Empty if there are not too many.
    pub fn surplus(&self) -> Vec<String> {
        let most = self.staying().count().saturating_sub(self.desired_capacity as usize);
        let mut choice: Vec<_> = self.staying().filter(|i| !i.protected_from_scale_in).collect();
        choice.sort_by_key(|i| (i.healthy, i.launched_at));
        choice.into_iter().take(most).map(|i| i.id.clone()).collect()
    }

    /// How many instances work.
    pub fn in_service(&self) -> usize {
        self.instances.iter().filter(|i| i.state == LifecycleState::InService).count()
    }

    pub(crate) fn staying(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|i| !i.state.is_terminating())
    }

    pub(crate) fn hook(&self, launching: bool) -> Option<&Hook> {
        self.hooks.values().find(|hook| hook.launching == launching)
    }

    pub(crate) fn instance_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|i| i.id == id)
    }

    pub(super) fn desire(&mut self, desired: u32, by: &str) {
        if desired != self.desired_capacity {
            self.cause = format!(
                "At {} a user request {by} changing the desired capacity from {} to {desired}.",
                shown_time(OffsetDateTime::now_utc()),
                self.desired_capacity
            );
            self.desired_capacity = desired;
        }
    }
}

/// A time as Auto Scaling writes it.
pub(super) fn shown_time(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("the years of this program have four digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(desired: u32, instances: &[(&str, LifecycleState, bool)]) -> Group {
        let instances = instances.iter().enumerate().map(|(age, (id, state, protected))| Instance {
            id: (*id).to_owned(),
            state: *state,
            healthy: true,
            protected_from_scale_in: *protected,
            launched_at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(age as i64),
            activity: None,
        });
        Group {
            name: "g".to_owned(),
            min_size: 0,
            max_size: 9,
            desired_capacity: desired,
            default_instance_warmup: None,
            new_instances_protected: false,
            instances: instances.collect(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            cause: String::new(),
            hooks: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_ending_no_longer_counts() {
        use LifecycleState::{InService, Pending, TerminatingWait};
        let group = group(3, &[("a", TerminatingWait, false), ("b", InService, false), ("c", Pending, false)]);
        assert_eq!((group.shortage(), group.surplus()), (1, vec![]));
    }

    #[test]
    fn the_oldest_unprotected_go_first() {
        use LifecycleState::InService;
        let mut group = group(1, &[("a", InService, true), ("b", InService, false), ("c", InService, false)]);
        assert_eq!((group.shortage(), group.surplus()), (0, vec!["b".to_owned(), "c".to_owned()]));
        group.desired_capacity = 2;
        group.instances[2].healthy = false;
        assert_eq!(group.surplus(), ["c"]);
        group.desired_capacity = 0;
        assert_eq!(group.surplus().len(), 2);
    }
}
