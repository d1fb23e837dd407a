//! How often each operation was called, and by which program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::service::Service;

type Counts = BTreeMap<(Service, String), u64>;
type Operations = BTreeSet<(Service, String)>;

/// Counts calls as they arrive, those that a fault then spoils included. Clones look at the same counts.
#[derive(Debug, Clone)]
pub struct Calls {
    counts: Arc<watch::Sender<Counts>>,
    clients: Arc<Mutex<BTreeMap<String, Operations>>>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self { counts: Arc::new(watch::Sender::new(Counts::new())), clients: Arc::default() }
    }

    pub(crate) fn record(&self, service: Service, operation: &str, user_agent: Option<&str>) {
        if let Some(client) = user_agent.and_then(app_name) {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.entry(client.to_owned()).or_default().insert((service, operation.to_owned()));
        }
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

    /// Every operation that a program called which has this `app_name` in its SDK configuration.
    pub fn of_client(&self, app_name: &str) -> BTreeSet<(Service, String)> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.get(app_name).cloned().unwrap_or_default()
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

/// The SDK writes `aws-sdk-rust/1.3.9 ... app/NAME`.
fn app_name(user_agent: &str) -> Option<&str> {
    user_agent.split(' ').find_map(|part| part.strip_prefix("app/"))
}
