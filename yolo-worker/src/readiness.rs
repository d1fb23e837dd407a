//! Whether this worker takes jobs: it is ready once a receive was answered, and not when it merely runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Not ready until told. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A receive was answered.
    pub(crate) fn set(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            fleet::log!(TAKES_JOBS, "takes jobs");
        }
    }
}
