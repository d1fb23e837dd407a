//! The records of predictions, over the [`table`](crate::table).
//!
//! The item is the [`Prediction`] itself, with two more attributes: `undelivered` (its value the status, present until
//! the user was told: the sparse index [`UNDELIVERED_INDEX`] holds just these, and dead letters and answers that were given up
//! under values of their own), and `lease_until` (the instance that tells the user holds the record until then).

use serde::Deserialize;
use uuid::Uuid;

use crate::job::NOBODY;
use crate::prediction::RETENTION;
use crate::table::attribute::{
    ALBUM, ASKED, ASKER, CAME_TO, CHAT_ID, DELIVERED_AT, EXPIRES_AT, FINGERPRINT, FORGOTTEN, FOUND, KEY, LOOK,
    MESSAGE_ID, ORIGINAL, PARTS, PREDICTED, STATUS, STATUS_MESSAGE_ID, WORK_ID,
};
use crate::table::prediction::{Deferral, PredictionTransition};
use crate::table::{Item, Key, Partition, Table, UpdateExpression};
use crate::{AwsError, DetectionResult, FailureReason, Prediction, Status, Timestamp};

pub use crate::table::{UNDELIVERED_INDEX, Written};

/// How far a prediction is, without what it found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// The prediction.
    pub prediction_id: Uuid,
    /// How far it is.
    pub status: Status,
    /// Why it failed, in words for operators.
    #[serde(default)]
    pub failure: Option<String>,
    /// When the user was told.
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
}

/// The most predictions that [`PredictionStore::standings`] looks at in one call.
pub const MOST_STANDINGS: usize = 100;

/// An item of the table that is about something that one person sent: a prediction, an album, an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// Its key.
    pub key: String,
    /// The S3 key of the photo, if it has one.
    pub original: Option<String>,
    /// The S3 key of what was made of it, if it has one.
    pub predicted: Option<String>,
    /// How far it is, if it is a prediction.
    pub status: Option<Status>,
    /// The predictions that are to come of an album, or have come.
    pub parts: Vec<Uuid>,
    /// The work that an update asks for, while it is to be done: the id of the prediction that may come of it.
    pub work: Option<Uuid>,
    /// The work that a message asked for last whose caption this is about.
    pub caption_of: Option<Uuid>,
    /// The chat and the message of it, or of the first of an album.
    pub message: Option<(i64, i64)>,
    /// It is of an album, whose photos get their ids later than other work.
    pub is_part: bool,
    /// The key of the album that it is of.
    pub album: Option<String>,
    /// The chat and the message that says to wait for it, while somebody waits.
    pub status_message: Option<(i64, i32)>,
}

/// How far a search for what one person sent has come. It looks through the table more than once, if a look finds something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// How many looks are over.
    pub look: u32,
    /// This look came to the item of this key.
    pub after: Option<String>,
    /// This look has found something.
    pub has_found: bool,
}

/// The table's predictions, and what belongs to people.
#[derive(Clone, Debug)]
pub struct PredictionStore {
    table: Table,
}

impl PredictionStore {
    /// The table of this name.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>) -> Self {
        Self { table: Table::new(client, table) }
    }

    /// Records a new prediction, unless one has its id.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn insert(&self, prediction: &Prediction) -> Result<Written, AwsError> {
        let item: Item = serde_dynamo::to_item(prediction)
            .map_err(|error| self.table.unreadable(&Key::Prediction(prediction.prediction_id), error))?;
        self.apply(prediction.prediction_id, &PredictionTransition::Insert(prediction, item)).await
    }

    /// The record of this id. Read consistently: what was written before is seen.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn get(&self, prediction_id: Uuid) -> Result<Option<Prediction>, AwsError> {
        let key = Key::Prediction(prediction_id);
        let item = self.table.get(&key).await?;
        item.map(|item| serde_dynamo::from_item(item).map_err(|error| self.table.unreadable(&key, error))).transpose()
    }

    /// How far these predictions are, at most [`MOST_STANDINGS`]; read consistently. Those without a record are left out,
    /// and so may others be when DynamoDB is pressed: ask again.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn standings(&self, prediction_ids: &[Uuid]) -> Result<Vec<Standing>, AwsError> {
        let only = ["prediction_id", "status", "failure", "delivered_at"];
        let (items, _left_out) = self.table.get_all(prediction_ids.iter().map(Uuid::to_string), &only, true).await?;
        let read = |item: Item| {
            let key = Key::Other(KEY.of(&item).unwrap_or_default());
            serde_dynamo::from_item(item).map_err(|error| self.table.unreadable(&key, error))
        };
        items.into_iter().map(read).collect()
    }

    /// Queued to done.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn complete(
        &self,
        prediction_id: Uuid,
        result: &DetectionResult,
        now: Timestamp,
    ) -> Result<Written, AwsError> {
        self.apply(prediction_id, &PredictionTransition::Complete { result, now }).await
    }

    /// Queued to failed.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn fail(&self, prediction_id: Uuid, reason: &FailureReason, now: Timestamp) -> Result<Written, AwsError> {
        self.apply(prediction_id, &PredictionTransition::Fail { reason, now }).await
    }

    /// Queued to failed, because its message, of a job submitted at `submitted_at`, was received too often. It can be [redriven](Self::redrive); what is left of older messages then changes nothing.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn dead_letter(
        &self,
        prediction_id: Uuid,
        submitted_at: Timestamp,
        reason: &FailureReason,
        now: Timestamp,
    ) -> Result<Written, AwsError> {
        let transition = PredictionTransition::BecomeDeadLetter { reason, submitted_at, now };
        self.apply(prediction_id, &transition).await
    }

    /// A dead letter back to queued, so that it is tried and told again; on its own, if it was part of an album.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn redrive(&self, prediction_id: Uuid, now: Timestamp) -> Result<Written, AwsError> {
        self.apply(prediction_id, &PredictionTransition::Redrive { now }).await
    }

    /// A queued one whose message is lost is queued `now`, one more time than `prediction` says.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn requeue(&self, prediction: &Prediction, now: Timestamp) -> Result<Written, AwsError> {
        let times = prediction.requeued + 1;
        let transition = PredictionTransition::Requeue { seen_at: prediction.time, times, now };
        self.apply(prediction.prediction_id, &transition).await
    }

    /// Take the right to tell the user of this result, until `until`: nobody was told, and nobody else holds it `now`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn lease(&self, prediction: &Prediction, now: Timestamp, until: Timestamp) -> Result<Written, AwsError> {
        let transition = PredictionTransition::Lease { status: prediction.status, now, until };
        self.apply(prediction.prediction_id, &transition).await
    }

    /// Gives the lease to tell the user back: telling failed, and may be retried later.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the lease ends by itself, and telling is retried then.
    pub async fn defer(&self, prediction: &Prediction, deferral: Deferral) -> Result<Written, AwsError> {
        self.apply(prediction.prediction_id, &PredictionTransition::Defer(deferral)).await
    }

    /// Move one whose user was not told to another place in the index, as when its album has to wait.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn set_index_time(&self, prediction: &Prediction, index_time: Timestamp) -> Result<Written, AwsError> {
        let transition = PredictionTransition::SetIndexTime { status: prediction.status, index_time };
        self.apply(prediction.prediction_id, &transition).await
    }

    /// Telling the user failed for too long: out of the sweep's sight, and among the [undeliverable](Self::undeliverable). From
    /// there it can be [resumed](Self::resume).
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; telling is retried then.
    pub async fn give_up(&self, prediction: &Prediction) -> Result<Written, AwsError> {
        let transition = PredictionTransition::GiveUp { status: prediction.status };
        self.apply(prediction.prediction_id, &transition).await
    }

    /// One that was given up, back to where the sweep finds it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn resume(&self, prediction: &Prediction, now: Timestamp) -> Result<Written, AwsError> {
        let transition = PredictionTransition::Resume { status: prediction.status, now };
        self.apply(prediction.prediction_id, &transition).await
    }

    /// The user was told `now`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the user may be told again.
    pub async fn mark_delivered(&self, prediction: &Prediction, now: Timestamp) -> Result<Written, AwsError> {
        let &Prediction { status, dead_letter, status_message_id, .. } = prediction;
        let transition = PredictionTransition::MarkDelivered { status, dead_letter, status_message_id, now };
        self.apply(prediction.prediction_id, &transition).await
    }

    /// Record the message that says "being processed", so that it is removed when the user is told.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn note_status_message(&self, prediction_id: Uuid, message_id: i32) -> Result<Written, AwsError> {
        self.apply(prediction_id, &PredictionTransition::NoteStatusMessage { message_id }).await
    }

    /// Its group has become a supergroup, and has another id.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn move_to(&self, prediction_id: Uuid, chat_id: i64) -> Result<Written, AwsError> {
        self.apply(prediction_id, &PredictionTransition::MoveToChat { chat_id }).await
    }

    /// What is kept of what this person sent: in one group, or everywhere. A page of a scan of the whole table, as hardly anybody
    /// asks for it, and the key to go on `after`, if there is more.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn belongings(
        &self,
        person: i64,
        group: Option<i64>,
        after: Option<String>,
    ) -> Result<(Vec<Belonging>, Option<String>), AwsError> {
        let filter = match group {
            Some(group) => ASKER.is(person).and(CHAT_ID.is(group)),
            // A private chat has its person's id, so what an older version kept without `asker` is found, too.
            None => ASKER.is(person).or(CHAT_ID.is(person)),
        };
        let (found, next) = self.table.scan_page("what somebody sent", &filter, after).await?;
        let found = found.iter().map(|item| self.belonging_of(item)).collect::<Result<_, _>>()?;
        Ok((found, next))
    }

    /// How far this search came, as it was [noted](Self::note_search).
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn search(&self, work_id: Uuid) -> Result<Search, AwsError> {
        let item = self.table.get(&Key::Search(work_id)).await?.unwrap_or_default();
        Ok(Search {
            look: LOOK.of(&item).unwrap_or_default(),
            after: CAME_TO.of(&item),
            has_found: FOUND.of(&item).unwrap_or_default(),
        })
    }

    /// Note how far this search came: another try goes on there.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn note_search(&self, work_id: Uuid, search: &Search, now: Timestamp) -> Result<(), AwsError> {
        let noted = UpdateExpression::new()
            .set(LOOK, search.look)
            .set_or_remove(CAME_TO, search.after.clone())
            .set(FOUND, search.has_found)
            .set(EXPIRES_AT, now + RETENTION);
        self.table.update("noting how far it came with", &Key::Search(work_id), &noted).await?;
        Ok(())
    }

    /// One of them as it is now; `None` if it is not there, or a tombstone.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn belonging(&self, key: &str) -> Result<Option<Belonging>, AwsError> {
        let found = self.table.get(&Key::Other(key.to_owned())).await?;
        let found = found.filter(|item| CHAT_ID.of(item) != Some(NOBODY));
        found.map(|item| self.belonging_of(&item)).transpose()
    }

    /// Delete it. Of a prediction a tombstone is left: a record without content that says that nothing is to be done, as its job may
    /// be on the queue, or be at a worker. So it is of a message: Telegram may say that it was edited. Returns what it was at last;
    /// `None` if it went on meanwhile and is not deleted: look at it again then.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn forget(&self, found: &Belonging, now: Timestamp) -> Result<Option<Belonging>, AwsError> {
        let key = Key::Other(found.key.clone());
        if found.caption_of.is_some() {
            let forgotten = UpdateExpression::new()
                .set(FORGOTTEN, true)
                .remove(FINGERPRINT)
                .remove(WORK_ID)
                .remove(ASKER)
                .remove(CHAT_ID)
                .when(FINGERPRINT.exists());
            let forgotten = self.table.update("forgetting", &key, &forgotten).await?;
            return Ok(forgotten.map(|_| found.clone()));
        }
        let Some(status) = found.status else {
            // An album may be acted on at this moment. When its photos have their ids, these are to be forgotten before they come.
            let parts = match found.parts.as_slice() {
                [] => PARTS.absent(),
                parts => PARTS.is(parts.to_vec()),
            };
            let deleted = self.table.delete_if(&key, &parts).await?;
            return Ok((deleted == Written::Now).then(|| found.clone()));
        };
        let before = self.table.apply(&key, &PredictionTransition::Forget { status, now }).await?;
        before.map(|item| self.belonging_of(&item)).transpose()
    }

    /// Leave a tombstone where a prediction is to come, so that it does not. Not done, if it has come.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn forget_before(&self, prediction_id: Uuid, now: Timestamp) -> Result<Written, AwsError> {
        self.apply(prediction_id, &PredictionTransition::ForgetBefore { now }).await
    }

    /// Predictions of this status, finished (or queued) at `until` or before, whose user was not told; at most `limit`, the
    /// oldest first. From the sparse index, which may be a moment behind.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn undelivered(&self, status: Status, until: Timestamp, limit: i32) -> Result<Vec<Uuid>, AwsError> {
        ids(self.table.due(Partition::Untold(status), until, limit).await?)
    }

    /// All dead letters whose users were told, the oldest first; from the sparse index.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn dead_letters(&self) -> Result<Vec<Uuid>, AwsError> {
        ids(self.table.all_in(Partition::DeadLetter).await?)
    }

    /// All whose answer was given up; from the sparse index.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn undeliverable(&self) -> Result<Vec<Uuid>, AwsError> {
        ids(self.table.all_in(Partition::Undeliverable).await?)
    }

    async fn apply(&self, prediction_id: Uuid, transition: &PredictionTransition<'_>) -> Result<Written, AwsError> {
        Ok(self.table.apply(&Key::Prediction(prediction_id), transition).await?.into())
    }

    fn belonging_of(&self, item: &Item) -> Result<Belonging, AwsError> {
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        // An album has an attribute for each message, with its number at the end.
        let of_album = || item.keys().filter_map(|name| name.rsplit_once('_')?.1.parse().ok()).min();
        let message = MESSAGE_ID.of(item).or_else(of_album);
        let waiting = STATUS_MESSAGE_ID.of(item).filter(|_| !DELIVERED_AT.is_in(item));
        let key = text(KEY.of(item));
        Ok(Belonging {
            key: key.ok_or_else(|| self.table.unreadable(&Key::Other("an item".into()), "it has no key"))?,
            original: text(ORIGINAL.of(item)),
            predicted: text(PREDICTED.of(item)),
            status: STATUS.of(item),
            parts: PARTS.of(item).unwrap_or_default(),
            work: WORK_ID.of(item).filter(|_| ASKED.is_in(item)),
            caption_of: WORK_ID.of(item).filter(|_| FINGERPRINT.is_in(item)),
            message: CHAT_ID.of(item).zip(message),
            is_part: ALBUM.is_in(item),
            album: ALBUM.of(item),
            status_message: CHAT_ID.of(item).zip(waiting),
        })
    }
}

fn ids(keys: Vec<String>) -> Result<Vec<Uuid>, AwsError> {
    let id = |key: String| {
        let id = Uuid::parse_str(&key);
        id.map_err(|error| AwsError::unexpected(format!("reading {key:?} as a prediction's id"), error))
    };
    keys.into_iter().map(id).collect()
}
