//! Starts and ends worker processes until the group is what it should be: what EC2 does for Auto Scaling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::instance;
use super::machines::{Machine, Machines, NoSuchMachine, Parts};

/// The launcher of a group. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Launcher {
    machines: Machines,
    /// How many instances were launched at all.
    launched: Arc<AtomicU32>,
}

impl Launcher {
    pub(super) fn new(parts: Parts) -> Self {
        Self { machines: Machines::new(parts), launched: Arc::default() }
    }

    /// Every instance that lives, by id.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        self.machines.list()
    }

    /// Kill an instance's worker, as a machine that dies: no signal that it could handle, no goodbye to AWS. The group
    /// finds it gone and replaces it.
    ///
    /// # Errors
    /// If the instance does not exist (any more).
    pub fn kill(&self, instance_id: &str) -> Result<(), NoSuchMachine> {
        self.machines.kill(instance_id)
    }

    /// Launch and end instances until told to stop.
    pub(super) async fn run(self) {
        let parts = self.machines.parts();
        let mut changes = parts.auto_scaling.changes();
        loop {
            changes.mark_unchanged();
            self.reconcile();
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = parts.stopping.cancelled() => return,
            }
        }
    }

    fn reconcile(&self) {
        let parts = self.machines.parts();
        let auto_scaling = &parts.auto_scaling;
        let Some(group) = auto_scaling.group(&parts.group) else { return };
        for id in group.surplus() {
            // It may have ended just now.
            let _ = auto_scaling.terminating(&id);
        }
        for _ in 0..group.shortage() {
            // The group may be gone just now.
            let Ok(id) = auto_scaling.launching(&parts.group) else { return };
            let first = self.launched.fetch_add(1, Ordering::Relaxed) < parts.unhurried;
            let boot = if first { Duration::ZERO } else { parts.boot };
            self.machines.add(id.clone());
            parts.tasks.spawn(instance::live(self.machines.clone(), id, boot));
        }
    }
}
