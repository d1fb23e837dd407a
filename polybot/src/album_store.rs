//! Photos of one media group, gathered across instances, over DynamoDB.
//!
//! One item an album, in the table of the predictions under a key that no prediction has (`album#…`). It is open while photos
//! arrive; whoever finds it quiet closes it and acts; then it has parts (predictions) and is answered as one, or it is
//! answered at once. Its states, and the conditions of what is written, are in [`fleet::table::album`].

use fleet::table::album::{AlbumTransition, CAPTION, Content, DOCUMENT, OTHER, PHOTO, Part};
use fleet::table::attribute::{
    ADDRESSED, ASKER, CAPTION as ONE_CAPTION, CHAT_ID, DELIVERED_AT, FAILING_SINCE, FIRST_FAILED_AT, GONE_SINCE,
    LEASE_UNTIL, NEXT_ATTEMPT_AT, PARTS, SPOILER, STATUS_MESSAGE_ID, THREAD, TOLD_OTHERS, TRIES,
};
use fleet::table::prediction::Deferral;
use fleet::table::{Item, Key, Partition, Table, Written};
use fleet::{AwsError, Timestamp, TimestampMillis};
use teloxide::types::FileId;
use uuid::Uuid;

use crate::incoming::{Attached, File, Incoming};

/// Names an album: `album#<chat>#<media group>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlbumId(String);

impl AlbumId {
    /// The album of this media group in this chat.
    #[must_use]
    pub(crate) fn new(chat_id: i64, media_group: &str) -> Self {
        Self(format!("album#{chat_id}#{media_group}"))
    }

    /// From a record that names it.
    #[must_use]
    pub(crate) fn from_record(text: &str) -> Option<Self> {
        text.starts_with("album#").then(|| Self(text.to_owned()))
    }

    /// As records name it.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn key(&self) -> Key {
        Key::Album(self.0.clone())
    }
}

/// What is known of an album.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Album {
    /// The chat it is in.
    pub(crate) chat_id: i64,
    /// The end of the right to act on it, or to tell its user.
    pub(crate) held_until: Timestamp,
    /// Telegram's file of each photo, by message, in the order they were sent.
    pub(crate) photos: Vec<(i32, File)>,
    /// What else is in it, by message, in words.
    pub(crate) others: Vec<(i32, String)>,
    /// The captions of all parts, in the order they were sent.
    pub(crate) captions: Vec<String>,
    /// Whether one of its parts speaks to the bot.
    pub(crate) is_addressed: bool,
    /// Who sent it.
    pub(crate) asker: Option<i64>,
    /// Whether one of its parts is covered.
    pub(crate) spoiler: bool,
    /// The forum topic it is in.
    pub(crate) thread: Option<i32>,
    /// How often it was taken over since it last was put off: each time whoever had it died, perhaps of it.
    pub(crate) tries: i64,
    /// When acting on it failed first, if it did.
    pub(crate) failing_since: Option<Timestamp>,
    /// Since when Telegram does not give one of its files, if that is why it failed last.
    pub(crate) gone_since: Option<Timestamp>,
    /// Whether its user was told what in it can't be read.
    pub(crate) told_others: bool,
    /// The prediction of each photo, once it was acted on by detecting.
    pub(crate) parts: Vec<Uuid>,
    /// The message that says to wait.
    pub(crate) status_message_id: Option<i32>,
    /// Whether its user was told.
    pub(crate) delivered: bool,
    /// When telling failed first, if it did.
    pub(crate) first_failed_at: Option<Timestamp>,
    /// After that failure, telling is not tried again before.
    pub(crate) next_attempt_at: Option<Timestamp>,
}

impl Album {
    fn has(&self, message_id: i32) -> bool {
        let of_photos = self.photos.iter().map(|(id, _)| *id);
        of_photos.chain(self.others.iter().map(|(id, _)| *id)).any(|id| id == message_id)
    }
}

/// Whether a photo came in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is in the album.
    InTime,
    /// The album is closed. Nothing is known of one that somebody forgot at this moment.
    TooLate(Option<Box<Album>>),
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct AlbumStore {
    table: Table,
}

impl AlbumStore {
    /// In the table of this name.
    #[must_use]
    pub(crate) fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>) -> Self {
        Self { table: Table::new(client, table) }
    }

    /// Put a part into its album; `arrival` is remembered as the last one's.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn add(
        &self,
        album: &AlbumId,
        part: &Incoming,
        attached: &Attached,
        arrival: TimestampMillis,
    ) -> Result<Added, AwsError> {
        let message_id = part.message_id;
        let content = match attached {
            Attached::Photo(file) if file.is_document => Content::Document(file.id.0.clone()),
            Attached::Photo(file) => Content::Photo(file.id.0.clone()),
            Attached::Other(what) => Content::Other(what.clone()),
        };
        let part = Part {
            chat_id: part.chat_id,
            sender: part.sender,
            message_id,
            content,
            caption: part.words.clone(),
            is_addressed: part.is_addressed,
            spoiler: part.spoiler,
            thread: part.thread,
        };
        let added = AlbumTransition::Add { part: &part, arrival };
        if self.apply(album, &added).await?.is_some() {
            return Ok(Added::InTime);
        }
        // An update that Telegram brings again: the photo was in the album before it was closed.
        let found = self.get(album).await?;
        let known = found.as_ref().is_some_and(|album| album.has(message_id));
        Ok(if known { Added::InTime } else { Added::TooLate(found.map(Box::new)) })
    }

    /// Close the album and take the right to act on it until `until`, if nothing came after `arrival`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn close(
        &self,
        album: &AlbumId,
        arrival: TimestampMillis,
        until: Timestamp,
    ) -> Result<Option<Album>, AwsError> {
        let closed = AlbumTransition::Close { arrival, until };
        self.apply(album, &closed).await
    }

    /// Take the right to act on an album that whoever closed it, or should have, did not act on.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn take_over(
        &self,
        album: &AlbumId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Album>, AwsError> {
        self.apply(album, &AlbumTransition::TakeOver { now, until }).await
    }

    /// Acting on it failed for a reason that will pass, first at `failing_since`, and since `gone_since` because Telegram does
    /// not give one of its files; it is taken over at `next_attempt_at`. The index has it at `index_time` until then. That was no
    /// try of which an instance died. Not done, if it is not held until `held_until` any more: another instance acts on it.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn rest(
        &self,
        album: &AlbumId,
        held_until: Timestamp,
        failing_since: Timestamp,
        gone_since: Option<Timestamp>,
        next_attempt_at: Timestamp,
        index_time: Timestamp,
    ) -> Result<(), AwsError> {
        let rested = AlbumTransition::Rest { held_until, failing_since, gone_since, next_attempt_at, index_time };
        self.apply(album, &rested).await?;
        Ok(())
    }

    /// It is not for the bot, as far as is known: open again, if it is still held until `held_until`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn pass_over(&self, album: &AlbumId, held_until: Timestamp) -> Result<(), AwsError> {
        self.apply(album, &AlbumTransition::PassOver { held_until }).await?;
        Ok(())
    }

    /// Its user was told what in it can't be read.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the user may be told again.
    pub(crate) async fn told_others(&self, album: &AlbumId) -> Result<(), AwsError> {
        self.apply(album, &AlbumTransition::NoteToldOthers).await?;
        Ok(())
    }

    /// Give the album's photos their predictions; the first call decides which. Answers the ones that stand.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn name_parts(&self, album: &AlbumId, parts: &[Uuid]) -> Result<Vec<Uuid>, AwsError> {
        let named = self.apply(album, &AlbumTransition::NameParts(parts)).await?;
        Ok(named.map(|album| album.parts).unwrap_or_default())
    }

    /// The message that says to wait is about to be sent. Not done, if a try before came as far: it may have sent one.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn announce_status(&self, album: &AlbumId) -> Result<Written, AwsError> {
        Ok(self.apply(album, &AlbumTransition::AnnounceStatus).await?.into())
    }

    /// The album was acted on: its parts are queued. They bring the answer. Not done, if another instance was faster: then
    /// nobody knows of this message that says to wait.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn acted(&self, album: &AlbumId, status_message_id: Option<i32>) -> Result<Written, AwsError> {
        Ok(self.apply(album, &AlbumTransition::Enqueued { status_message_id }).await?.into())
    }

    /// Take the right to tell the user, until `until`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn lease(
        &self,
        album: &AlbumId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Album>, AwsError> {
        self.apply(album, &AlbumTransition::Lease { now, until }).await
    }

    /// Give the right to tell the user back: telling failed, and may be tried again later.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn defer(&self, album: &AlbumId, deferral: Deferral) -> Result<(), AwsError> {
        let Deferral { held_until, first_failed_at, next_attempt_at, .. } = deferral;
        self.apply(album, &AlbumTransition::Defer { held_until, first_failed_at, next_attempt_at }).await?;
        Ok(())
    }

    /// Give the right to tell the user back, for good: if it is ever told again, it is as if for the first time.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn give_up(&self, album: &AlbumId, held_until: Timestamp) -> Result<(), AwsError> {
        self.apply(album, &AlbumTransition::GiveUp { held_until }).await?;
        Ok(())
    }

    /// The user was told.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn delivered(&self, album: &AlbumId, now: Timestamp) -> Result<(), AwsError> {
        self.apply(album, &AlbumTransition::MarkDelivered { now }).await?;
        Ok(())
    }

    /// The album as it is.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn get(&self, album: &AlbumId) -> Result<Option<Album>, AwsError> {
        Ok(self.table.get(&album.key()).await?.map(|item| from_item(&item)))
    }

    /// Albums that wait to be acted on since `until` or before; at most `limit`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub(crate) async fn waiting(&self, until: Timestamp, limit: i32) -> Result<Vec<AlbumId>, AwsError> {
        let found = self.table.due(Partition::Album, until, limit).await?;
        Ok(found.iter().filter_map(|key| AlbumId::from_record(key)).collect())
    }

    async fn apply(&self, album: &AlbumId, transition: &AlbumTransition<'_>) -> Result<Option<Album>, AwsError> {
        Ok(self.table.apply(&album.key(), transition).await?.map(|item| from_item(&item)))
    }
}

fn from_item(item: &Item) -> Album {
    let by_message = |prefix: &str| {
        let found = item
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.parse().ok()?, value.as_s().ok()?.clone())));
        let mut found: Vec<(i32, String)> = found.collect();
        found.sort_unstable();
        found
    };
    let file = |is_document| move |(message_id, id)| (message_id, File { id: FileId(id), bytes: None, is_document });
    let mut photos: Vec<(i32, File)> = by_message(PHOTO).into_iter().map(file(false)).collect();
    photos.extend(by_message(DOCUMENT).into_iter().map(file(true)));
    photos.sort_unstable_by_key(|&(message_id, _)| message_id);
    let mut captions: Vec<String> = by_message(CAPTION).into_iter().map(|(_, caption)| caption).collect();
    captions.extend(ONE_CAPTION.of(item));
    Album {
        chat_id: CHAT_ID.of(item).unwrap_or_default(),
        held_until: LEASE_UNTIL.of(item).unwrap_or_default(),
        photos,
        others: by_message(OTHER),
        captions,
        is_addressed: ADDRESSED.of(item).unwrap_or_default(),
        asker: ASKER.of(item),
        spoiler: SPOILER.of(item).unwrap_or_default(),
        told_others: TOLD_OTHERS.of(item).unwrap_or_default(),
        thread: THREAD.of(item),
        tries: TRIES.of(item).unwrap_or_default(),
        failing_since: FAILING_SINCE.of(item),
        gone_since: GONE_SINCE.of(item),
        parts: PARTS.of(item).unwrap_or_default(),
        status_message_id: STATUS_MESSAGE_ID.of(item),
        delivered: DELIVERED_AT.is_in(item),
        first_failed_at: FIRST_FAILED_AT.of(item),
        next_attempt_at: NEXT_ATTEMPT_AT.of(item),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue::{N, S};

    use super::*;

    #[test]
    fn photos_are_in_the_order_they_were_sent() {
        let item = HashMap::from([
            ("chat_id".to_owned(), N("-5".into())),
            ("photo_12".to_owned(), S("c".into())),
            ("photo_9".to_owned(), S("a".into())),
            ("photo_10".to_owned(), S("b".into())),
            ("document_11".to_owned(), S("d".into())),
            ("other_8".to_owned(), S("a video".into())),
            ("caption".to_owned(), S("concat".into())),
            ("caption_10".to_owned(), S("look".into())),
        ]);
        let album = from_item(&item);
        let photos: Vec<_> =
            album.photos.iter().map(|(id, file)| (*id, file.id.0.as_str(), file.is_document)).collect();
        assert_eq!(photos, [(9, "a", false), (10, "b", false), (11, "d", true), (12, "c", false)]);
        assert_eq!((album.chat_id, album.captions.as_slice()), (-5, ["look".into(), "concat".into()].as_slice()));
        assert!(album.has(8) && !album.has(7));
    }
}
