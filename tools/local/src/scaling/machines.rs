//! The machines of a group: each instance's process, its address and its plug.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_aws::AutoScaling;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Troubles;
use crate::Child;

/// Starts the worker of the instance with this id.
pub(super) type Start = Box<dyn Fn(&str) -> anyhow::Result<Child> + Send + Sync>;

/// What a launcher works with.
pub(super) struct Parts {
    /// The group's truth, and where each step of an instance's life is reported.
    pub(super) auto_scaling: AutoScaling,
    /// Completes lifecycle actions, in the place of a worker that can't know its instance.
    pub(super) client: aws_sdk_autoscaling::Client,
    pub(super) group: String,
    /// How long an instance pretends to boot.
    pub(super) boot: Duration,
    /// So many instances start without pretending: those that there would be already.
    pub(super) unhurried: u32,
    /// How long a worker may take to stop.
    pub(super) drain: Duration,
    pub(super) start: Start,
    pub(super) troubles: Troubles,
    /// Where each instance lives its life.
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
}

/// An instance's process, as far as there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The instance.
    pub instance_id: String,
    /// Its worker's process; `None` while it boots.
    pub process: Option<u32>,
    /// Where its worker serves /healthz and /metrics, once it is ready.
    pub address: Option<SocketAddr>,
}

/// The instance does not exist, or it is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no instance {0:?} here: it may have ended")]
pub struct NoSuchMachine(pub String);

/// What is kept of an instance while it lives.
struct Running {
    process: Option<u32>,
    address: Option<SocketAddr>,
    /// Pulls the plug.
    kill: CancellationToken,
}

/// The machines of a group. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Machines {
    parts: Arc<Parts>,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    /// How many workers in a row did not start.
    failures: Arc<AtomicU32>,
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("group", &self.parts.group).field("running", &self.list()).finish()
    }
}

impl Machines {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), running: Arc::default(), failures: Arc::default() }
    }

    pub(super) fn list(&self) -> Vec<Machine> {
        let machine = |(id, running): (&String, &Running)| Machine {
            instance_id: id.clone(),
            process: running.process,
            address: running.address,
        };
        self.lock().iter().map(machine).collect()
    }

    pub(super) fn add(&self, id: String) {
        self.lock().insert(id, Running { process: None, address: None, kill: CancellationToken::new() });
    }

    /// Pulls the plug of an instance.
    pub(super) fn kill(&self, instance_id: &str) -> Result<(), NoSuchMachine> {
        let machines = self.lock();
        let running = machines.get(instance_id).ok_or_else(|| NoSuchMachine(instance_id.to_owned()))?;
        running.kill.cancel();
        Ok(())
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Becomes cancelled when the instance's plug is pulled.
    pub(super) fn plug(&self, id: &str) -> CancellationToken {
        self.lock().get(id).map(|running| running.kill.clone()).unwrap_or_default()
    }

    pub(super) fn set_process(&self, id: &str, process: Option<u32>) {
        if let Some(running) = self.lock().get_mut(id) {
            running.process = process;
        }
    }

    pub(super) fn set_ready(&self, id: &str, address: SocketAddr) {
        self.failures.store(0, Ordering::Relaxed);
        if let Some(running) = self.lock().get_mut(id) {
            running.address = Some(address);
        }
    }

    pub(super) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Reports that a worker did not start; returns how long to wait before the next try.
    pub(super) fn failed(&self, id: &str, error: &anyhow::Error) -> Duration {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let wait = Duration::from_secs(1 << before.min(5));
        let sentence =
            format!("the worker of {id} did not start; another one is tried in {} s: {error:#}", wait.as_secs());
        self.parts.troubles.send_replace(Some(sentence));
        wait
    }

    pub(super) fn trouble(&self, sentence: String) {
        self.parts.troubles.send_replace(Some(sentence));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
