//! How often each operation was called.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::service::Service;

type Counts = BTreeMap<(Service, String), u64>;

/// Counts calls as they arrive, those that a fault then spoils included. Clones look at the same counts.
#[derive(Debug, Clone)]
pub struct Calls {
    counts: Arc<watch::Sender<Counts>>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self { counts: Arc::new(watch::Sender::new(Counts::new())) }
    }

    pub(crate) fn record(&self, service: Service, operation: &str) {
        self.counts.send_modify(|counts| *counts.entry((service, operation.to_owned())).or_default() += 1);
    }

    /// How often `operation` of `service` was called.
    pub fn count(&self, service: Service, operation: &str) -> u64 {
        count(&self.counts.borrow(), service, operation)
    }

    /// Every operation that was called, and how often.
    pub fn all(&self) -> BTreeMap<(Service, String), u64> {
        self.counts.borrow().clone()
    }

    /// Waits until `operation` of `service` was called at least `times` times since the endpoint started.
    pub async fn at_least(&self, service: Service, operation: &str, times: u64) {
        let mut seen = self.counts.subscribe();
        // The sender is `self`, so it can't go away while this waits.
        let _ = seen.wait_for(|counts| count(counts, service, operation) >= times).await;
    }
}

fn count(counts: &Counts, service: Service, operation: &str) -> u64 {
    counts.get(&(service, operation.to_owned())).copied().unwrap_or_default()
}
