//! `/forget`: what is kept of what one person sent, deleted at once.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet::predictions::{Belonging, Search, Written};
use fleet::{AwsError, Clock, ImageStore, PredictionStore, images};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{Telegram, detection};

/// Deletes.
#[derive(Clone, Debug)]
pub(crate) struct Forgetting {
    pub(crate) images: ImageStore,
    /// The records, also those of albums and updates.
    pub(crate) predictions: PredictionStore,
    /// For messages that say to wait for what does not come any more.
    pub(crate) telegram: Telegram,
    pub(crate) clock: Clock,
    /// Those who remove them; finished before the service ends.
    pub(crate) working: TaskTracker,
}

/// So often what belongs to somebody is looked for.
const MOST_LOOKS: u32 = 3;

/// So long the removal of a message that says to wait may hold up the rest.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(3);

/// What one try has deleted, for the log: others may have before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Forgotten {
    /// Photos as they were sent.
    photos: usize,
    /// Pictures that were made of them.
    results: usize,
    records: usize,
}

/// The message that asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// The work that it is: what was asked later has a larger number.
    pub(crate) work_id: Uuid,
    /// Its chat, and its number there.
    pub(crate) message: (i64, i32),
}

impl Asking {
    /// Whether this was sent later, or is the very message.
    fn is_before(&self, belonging: &Belonging) -> bool {
        let own_work = Uuid::parse_str(&belonging.key).ok().filter(|_| !belonging.is_part);
        let (chat_id, message_id) = self.message;
        let is_later = |&(chat, message): &(i64, i64)| chat == chat_id && message > i64::from(message_id);
        belonging.work.or(own_work).or(belonging.caption_of).is_some_and(|work| work >= self.work_id)
            || belonging.message.as_ref().is_some_and(is_later)
    }
}

impl Forgetting {
    /// Delete what is kept of what this person sent: in one group, or everywhere. The photos first: as long as their record is
    /// there, they are found again by another try. What is being worked on finds a tombstone and leaves nothing either. What was
    /// sent later than the message that asks for it stays.
    ///
    /// A large table takes longer to look through than a try may last, so each try goes on where the last one came to.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; what was not deleted is by another try.
    pub(crate) async fn forget(&self, person: i64, group: Option<i64>, asked: &Asking) -> Result<(), AwsError> {
        let mut forgotten = Forgotten::default();
        let mut deleted = BTreeSet::new();
        let mut search = self.predictions.search(asked.work_id).await?;
        // Looked for again until nothing is found: what another polybot is taking at this moment may lie where the look was before.
        while search.look < MOST_LOOKS {
            let is_first = search.after.is_none();
            let (mut left, next) = self.predictions.belongings(person, group, search.after.take()).await?;
            left.retain(|belonging| !asked.is_before(belonging));
            search.has_found |= !left.is_empty();
            // Albums are the first to go: without them nothing is answered of their parts, whatever fails before those are gone.
            left.sort_by_key(|belonging| !belonging.parts.is_empty());
            self.forget_these(left, asked, &mut deleted, &mut forgotten).await?;
            let is_long = !is_first || next.is_some();
            search = match next {
                Some(next) => Search { after: Some(next), ..search },
                None if search.has_found => Search { look: search.look + 1, ..Search::default() },
                None => Search { look: MOST_LOOKS, ..Search::default() },
            };
            if is_long {
                self.predictions.note_search(asked.work_id, &search, self.clock.now()).await?;
            }
        }
        tracing::info!(?forgotten, "what somebody sent was forgotten");
        Ok(())
    }

    async fn forget_these(
        &self,
        mut left: Vec<Belonging>,
        asked: &Asking,
        deleted: &mut BTreeSet<String>,
        forgotten: &mut Forgotten,
    ) -> Result<(), AwsError> {
        let remove_until = self.clock.instant() + REMOVAL_PATIENCE;
        let remove = async |(chat_id, message_id)| {
            let patience = remove_until.saturating_duration_since(self.clock.instant());
            self.telegram.remove_soon(chat_id, message_id, patience, &self.working).await;
        };
        let mut albums = BTreeSet::new();
        while let Some(belonging) = left.pop() {
            if asked.is_before(&belonging) {
                continue;
            }
            // It may lie on a later page than its part.
            if let Some(key) = belonging.album.as_ref().filter(|key| albums.insert((*key).clone()))
                && let Some(album) = self.predictions.belonging(key).await?
            {
                left.extend([belonging, album]);
                continue;
            }
            for id in belonging.parts.iter().chain(&belonging.work) {
                match self.predictions.forget_before(*id, self.clock.now()).await? {
                    Written::NotAsExpected => left.extend(self.predictions.belonging(&id.to_string()).await?),
                    // Its photo may be there already, as who stored it did not come as far as its record, and never will.
                    Written::Now => {
                        for extension in detection::EXTENSIONS {
                            self.images.delete(&images::original_key(*id, extension)).await?;
                        }
                    }
                }
            }
            // As long as its record is there, it is found again by another try. And before its photo is deleted: until the record is
            // a tombstone, a worker would miss the photo and say so.
            if let Some(message) = belonging.status_message {
                remove(message).await;
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
            match self.predictions.forget(&belonging, self.clock.now()).await? {
                Some(last) => {
                    forgotten.records += 1;
                    let late = last.status_message.filter(|last| Some(*last) != belonging.status_message);
                    if let Some(message) = late {
                        remove(message).await;
                    }
                }
                // A worker was faster, and there is a result now.
                None => left.extend(self.predictions.belonging(&belonging.key).await?),
            }
        }
        Ok(())
    }
}
