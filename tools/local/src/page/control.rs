//! What the page may do to the fleet beyond what AWS offers.

use std::fmt::Debug;

/// Who holds the workers' processes.
pub trait Control: Debug + Send + Sync {
    /// Kill the worker that stands for this instance, as a machine that dies: without a word.
    ///
    /// # Errors
    /// If there is no such instance, or it has no process (yet, or any more).
    fn kill_worker(&self, instance_id: &str) -> anyhow::Result<()>;
}
