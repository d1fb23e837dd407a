//! Looks at the fleet once a second and tells all browsers the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telegram_sandbox::Subscription;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Page;
use super::fleet_state::FleetState;
use super::flooding::Flooding;
use super::history::{History, Point};
use super::pace::PaceMeter;
use super::watcher::Watcher;

const INTERVAL: Duration = Duration::from_secs(1);

/// The fleet now, and the last minutes.
#[derive(Debug)]
pub(super) struct Board {
    now: watch::Receiver<Arc<FleetState>>,
    history: Arc<Mutex<History>>,
}

impl Board {
    /// Looks until `stop`.
    pub(super) fn start(page: &Page, flooding: Flooding, stop: CancellationToken) -> Self {
        let watcher = Watcher::new(&page.config, page.resources.clone());
        let events = page.telegram.as_ref().map(|telegram| telegram.subscribe_from(0));
        let (told, now) = watch::channel(Arc::new(FleetState::default()));
        let history = Arc::new(Mutex::new(History::default()));
        let kept = Arc::clone(&history);
        tokio::spawn(async move {
            tokio::select! {
                () = keep_looking(watcher, events, flooding, &told, &kept) => {}
                () = stop.cancelled() => {}
            }
        });
        Self { now, history }
    }

    /// The fleet, whenever it was looked at.
    pub(super) fn now(&self) -> watch::Receiver<Arc<FleetState>> {
        self.now.clone()
    }

    /// The last minutes as JSON, a list.
    pub(super) fn history(&self) -> serde_json::Result<String> {
        serde_json::to_string(self.history.lock().unwrap_or_else(PoisonError::into_inner).points())
    }
}

async fn keep_looking(
    mut watcher: Watcher,
    mut events: Option<Subscription>,
    flooding: Flooding,
    told: &watch::Sender<Arc<FleetState>>,
    history: &Mutex<History>,
) {
    let mut meter = PaceMeter::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both can be given up half way without losing anything.
        tokio::select! {
            event = next(&mut events) => {
                meter.take(&event);
                continue;
            }
            _ = ticks.tick() => {}
        }
        let at_ms = now_ms();
        let cloud = watcher.look(at_ms).await;
        let flood = flooding.state();
        let pace = meter.pace(at_ms).with_flood(flood.as_ref());
        let state = FleetState { at_ms, cloud, pace, flood };
        history.lock().unwrap_or_else(PoisonError::into_inner).push(Point::from(&state));
        told.send_replace(Arc::new(state));
    }
}

/// The next event of the chats; never, where there are none or no more.
async fn next(events: &mut Option<Subscription>) -> Arc<telegram_sandbox::Event> {
    if let Some(subscription) = events {
        if let Some(event) = subscription.next().await {
            return event;
        }
        *events = None;
    }
    std::future::pending().await
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
