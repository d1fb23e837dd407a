//! `/forget`: what is kept of what one person sent, deleted at once.

use std::collections::BTreeSet;

use fleet::predictions::Belonging;
use fleet::{AwsError, ImageStore, PredictionStore, images};

/// Deletes.
#[derive(Clone, Debug)]
pub struct Forgetting {
    /// The photos.
    pub images: ImageStore,
    /// The records, also those of albums and updates.
    pub predictions: PredictionStore,
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
    /// there, they are found again by another try.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; what was not deleted is by another try.
    pub async fn forget(&self, person: i64, group: Option<i64>) -> Result<Forgotten, AwsError> {
        let mut forgotten = Forgotten::default();
        let belongings = self.predictions.belongings(person, group).await?;
        let mut deleted = BTreeSet::new();
        for Belonging { original, predicted, .. } in &belongings {
            for (key, count) in [(original, &mut forgotten.photos), (predicted, &mut forgotten.results)] {
                // A load generator's photos are nobody's.
                let Some(key) = key.as_deref().filter(|key| !images::is_shared(key)) else { continue };
                if deleted.insert(key) {
                    self.images.delete(key).await?;
                    *count += 1;
                }
            }
        }
        for belonging in &belongings {
            self.predictions.forget(belonging, fleet::prediction::now()).await?;
            forgotten.records += 1;
        }
        tracing::info!(?forgotten, "what somebody sent was forgotten");
        Ok(forgotten)
    }
}
