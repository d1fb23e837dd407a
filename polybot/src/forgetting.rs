//! `/forget`: what is kept of what one person sent, deleted at once.

use std::collections::BTreeSet;

use fleet::prediction::now;
use fleet::predictions::{Belonging, Written};
use fleet::{AwsError, ImageStore, PredictionStore, images};
use tokio_util::task::TaskTracker;

use crate::Telegram;

/// Deletes.
#[derive(Clone, Debug)]
pub struct Forgetting {
    /// The photos.
    pub images: ImageStore,
    /// The records, also those of albums and updates.
    pub predictions: PredictionStore,
    /// For messages that say to wait for what does not come any more.
    pub telegram: Telegram,
    /// Those who remove them; finished before the service ends.
    pub working: TaskTracker,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Photos as they were sent.
    pub photos: usize,
    /// Pictures that were made of them.
    pub results: usize,
    /// Records.
    pub records: usize,
}

impl Forgetting {
    /// Delete what is kept of what this person sent: in one group, or everywhere. The photos first: as long as their record is
    /// there, they are found again by another try. What is being worked on finds a tombstone and leaves nothing either.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; what was not deleted is by another try.
    pub async fn forget(&self, person: i64, group: Option<i64>) -> Result<Forgotten, AwsError> {
        let mut forgotten = Forgotten::default();
        let mut left = self.predictions.belongings(person, group).await?;
        let mut deleted = BTreeSet::new();
        while let Some(belonging) = left.pop() {
            for id in &belonging.to_come {
                if self.predictions.forget_before(*id, now()).await? == Written::NotAsExpected {
                    left.extend(self.predictions.belonging(&id.to_string()).await?);
                }
            }
            let Belonging { original, predicted, .. } = &belonging;
            for (key, count) in [(original, &mut forgotten.photos), (predicted, &mut forgotten.results)] {
                // A load generator's photos are nobody's.
                let Some(key) = key.as_deref().filter(|key| !images::is_shared(key)) else { continue };
                if !deleted.contains(key) {
                    self.images.delete(key).await?;
                    deleted.insert(key.to_owned());
                    *count += 1;
                }
            }
            match self.predictions.forget(&belonging, now()).await? {
                Written::Now => {
                    forgotten.records += 1;
                    if let Some((chat_id, message_id)) = belonging.status_message {
                        let telegram = self.telegram.clone();
                        self.working.spawn(async move { telegram.remove(chat_id, message_id).await });
                    }
                }
                // A worker was faster, and there is a result now.
                Written::NotAsExpected => left.extend(self.predictions.belonging(&belonging.key).await?),
            }
        }
        tracing::info!(?forgotten, "what somebody sent was forgotten");
        Ok(forgotten)
    }
}
