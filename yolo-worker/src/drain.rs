//! What an instance of an Auto Scaling group knows of its end: it watches for the notice, drains, and says that it has; and
//! it asks not to be chosen for scale-in while it works.
//!
//! Sources: "Retrieve the target lifecycle state through instance metadata" and "Complete a lifecycle action" in the EC2 Auto
//! Scaling guide; "Spot Instance interruption notices" in the EC2 guide.

use std::time::Duration;

use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_sdk_autoscaling::Client;
use fleet::{AwsError, Clock};
use tokio::sync::{OnceCell, watch};

/// How often the metadata is asked; AWS recommends 5 s for spot notices.
const INTERVAL: Duration = Duration::from_secs(5);
/// An instance that had nothing to do for this long may be chosen for scale-in.
const IDLE: Duration = Duration::from_secs(10);
/// The target lifecycle state of an instance that Auto Scaling is about to end.
const TERMINATED: &str = "Terminated";

/// Why the instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Auto Scaling ends it, and waits at a lifecycle hook if there is one.
    ScaleIn,
    /// EC2 takes a spot instance back, two minutes after the notice.
    Spot,
}

/// The instance that this worker runs on.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) metadata: imds::Client,
    pub(crate) clock: Clock,
    pub(crate) auto_scaling: Client,
    pub(crate) group: String,
    /// The hook that waits for the drain.
    pub(crate) hook: Option<String>,
    /// Its id, once the metadata has told it.
    pub(crate) id: OnceCell<String>,
}

impl Instance {
    /// Wait for a notice. It never comes outside EC2; that the metadata can't be reached is logged once.
    pub(crate) async fn notice(&self) -> Notice {
        let mut reachable = true;
        loop {
            match self.look().await {
                Ok(Some(notice)) => {
                    fleet::log!(INSTANCE_ENDING, ?notice, group = self.group, "this instance is going to end");
                    return notice;
                }
                Ok(None) => reachable = true,
                Err(error) => {
                    if reachable {
                        let error = fleet::in_words(&error);
                        tracing::warn!(
                            error,
                            group = self.group,
                            "the instance metadata can't be read: no notice will be seen. Outside EC2 leave ASG_NAME unset; in a \
                             container the metadata's hop limit has to be 2"
                        );
                    }
                    reachable = false;
                }
            }
            self.clock.sleep(INTERVAL).await;
        }
    }

    async fn look(&self) -> Result<Option<Notice>, ImdsError> {
        if self.read("/latest/meta-data/autoscaling/target-lifecycle-state").await?.as_deref() == Some(TERMINATED) {
            return Ok(Some(Notice::ScaleIn));
        }
        Ok(self.read("/latest/meta-data/spot/instance-action").await?.map(|_| Notice::Spot))
    }

    /// What the metadata says there, if anything.
    async fn read(&self, path: &str) -> Result<Option<String>, ImdsError> {
        match self.metadata.get(path).await {
            Ok(text) => Ok(Some(text.as_ref().trim().to_owned())),
            Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn id(&self) -> Result<&str, AwsError> {
        let ask = || async {
            let tried = "asking the instance metadata for the instance's id";
            let id = self.read("/latest/meta-data/instance-id").await;
            let id = id.map_err(|error| AwsError::unexpected(tried, fleet::in_words(&error)))?;
            id.ok_or_else(|| AwsError::unexpected(tried, "there is none"))
        };
        self.id.get_or_try_init(ask).await.map(String::as_str)
    }

    /// Say that the drain is over, so that Auto Scaling does not wait any longer.
    pub(crate) async fn drained(&self) {
        let Some(hook) = &self.hook else { return };
        if let Err(error) = self.complete(hook).await {
            let instance_id = self.id.get();
            fleet::log!(LIFECYCLE_ACTION_FAILED, %error, instance_id, group = self.group, hook, "Auto Scaling was not told; it waits for the hook's timeout");
        }
    }

    async fn complete(&self, hook: &str) -> Result<(), AwsError> {
        let id = self.id().await?;
        self.auto_scaling
            .complete_lifecycle_action()
            .auto_scaling_group_name(&self.group)
            .lifecycle_hook_name(hook)
            .lifecycle_action_result("CONTINUE")
            .instance_id(id)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("completing {hook} of {} for {id}", self.group), error))?;
        tracing::info!(hook, instance_id = id, "Auto Scaling knows that this instance is drained");
        Ok(())
    }

    /// Keep the instance protected from scale-in while messages are held. Ends when nobody holds any more.
    pub(crate) async fn protect_while_busy(&self, mut in_flight: watch::Receiver<usize>) {
        // Unknown: a worker that was started anew may have left it protected.
        let mut protected = None;
        loop {
            let wished = *in_flight.borrow_and_update() > 0;
            if Some(wished) != protected {
                // Jobs follow each other with small gaps, which are not worth two calls.
                if !wished && protected.is_some() {
                    match self.clock.timeout(IDLE, in_flight.wait_for(|held| *held > 0)).await {
                        Ok(Ok(_)) => continue,
                        Ok(Err(_)) => return,
                        Err(_) => {}
                    }
                }
                match self.protect(wished).await {
                    Ok(()) => protected = Some(wished),
                    Err(error) => {
                        tracing::warn!(%error, instance_id = self.id.get(), group = self.group, wished, "the protection from scale-in was not changed");
                        // A job that arrives meanwhile is to be protected now: it may be over before the next try.
                        match self.clock.timeout(INTERVAL, in_flight.wait_for(|held| (*held > 0) != wished)).await {
                            Ok(Err(_)) => return,
                            Ok(Ok(_)) | Err(_) => continue,
                        }
                    }
                }
            }
            if in_flight.changed().await.is_err() {
                return;
            }
        }
    }

    async fn protect(&self, wished: bool) -> Result<(), AwsError> {
        let id = self.id().await?;
        self.auto_scaling
            .set_instance_protection()
            .auto_scaling_group_name(&self.group)
            .instance_ids(id)
            .protected_from_scale_in(wished)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("protecting {id} of {} ({wished})", self.group), error))?;
        tracing::info!(instance_id = id, protected = wished, "protection from scale-in changed");
        Ok(())
    }
}
