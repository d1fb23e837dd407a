//! Looks at the fleet while it is flooded: its queue and its instances.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_autoscaling::types::LifecycleState;
use fleet::AwsError;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::FleetStores;
use crate::books::Books;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The fleet at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sighting {
    /// Seconds since the start.
    pub at: f64,
    /// Jobs that wait on the queue, as SQS counts: about.
    pub visible: u64,
    /// Jobs that a worker has.
    pub in_flight: u64,
    /// Instances in service, where the group is known.
    pub instances: Option<u64>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    sightings: Mutex<Vec<Sighting>>,
}

impl Observer {
    /// Look again and again, for as long as this is polled.
    pub(crate) async fn watch(&self, fleet: &FleetStores, books: &Books) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match tokio::try_join!(fleet.queue.depth(), instances(fleet)) {
                Ok((depth, instances)) => {
                    self.sightings.lock().unwrap_or_else(PoisonError::into_inner).push(Sighting {
                        at: books.now().as_secs_f64(),
                        visible: depth.visible,
                        in_flight: depth.in_flight,
                        instances,
                    })
                }
                Err(error) => books.note(format!("the fleet could not be looked at: {error}")),
            }
        }
    }

    pub(crate) fn sightings(&self) -> Vec<Sighting> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Instances in service, where the group is known.
async fn instances(fleet: &FleetStores) -> Result<Option<u64>, AwsError> {
    let Some(group) = &fleet.group else { return Ok(None) };
    let tried = || format!("looking at the Auto Scaling group {group}");
    let call = fleet.auto_scaling.describe_auto_scaling_groups().auto_scaling_group_names(group);
    let found = call.send().await.map_err(|error| AwsError::new(tried(), error))?;
    let found = found.auto_scaling_groups().first();
    let found = found.ok_or_else(|| AwsError::unexpected(tried(), "there is no group of this name (ASG_NAME)"))?;
    let in_service =
        found.instances().iter().filter(|instance| instance.lifecycle_state() == Some(&LifecycleState::InService));
    Ok(Some(in_service.count() as u64))
}
