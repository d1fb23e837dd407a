//! Photos of one media group, gathered across instances, over DynamoDB.
//!
//! One item an album, in the table of the predictions under a key that no prediction has (`album#…`). It is open while photos
//! arrive; whoever finds it quiet closes it and acts; then it has parts (predictions) and is answered as one, or it is
//! answered at once. Every write is conditional.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue::{Bool, L, N, S};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use fleet::predictions::UNDELIVERED_INDEX;
use fleet::{AwsError, prediction};
use teloxide::types::FileId;
use uuid::Uuid;

use crate::incoming::{Attached, File, Incoming};

/// The prefixes of the attributes that hold a part each, and its caption; the message's id follows.
const PHOTO: &str = "photo_";
const DOCUMENT: &str = "document_";
const OTHER: &str = "other_";
const CAPTION: &str = "caption_";
/// The value of the sparse index's key while an album waits to be acted on.
const WAITING: &str = "album";

/// Names an album: `album#<chat>#<media group>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlbumId(String);

impl AlbumId {
    /// The album of this media group in this chat.
    #[must_use]
    pub fn new(chat_id: i64, media_group: &str) -> Self {
        Self(format!("album#{chat_id}#{media_group}"))
    }

    /// From a record that names it.
    #[must_use]
    pub fn from_record(text: &str) -> Option<Self> {
        text.starts_with("album#").then(|| Self(text.to_owned()))
    }

    /// As records name it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is known of an album.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Album {
    /// The chat it is in.
    pub chat_id: i64,
    /// Telegram's file of each photo, by message, in the order they were sent.
    pub photos: Vec<(i32, File)>,
    /// What else is in it, by message, in words.
    pub others: Vec<(i32, String)>,
    /// The captions of all parts, in the order they were sent.
    pub captions: Vec<String>,
    /// Whether one of its parts speaks to the bot.
    pub is_addressed: bool,
    /// Who sent it.
    pub asker: Option<i64>,
    /// Whether one of its parts is covered.
    pub spoiler: bool,
    /// The forum topic it is in.
    pub thread: Option<i32>,
    /// How often it was taken over since it last was put off: each time whoever had it died, perhaps of it.
    pub tries: i64,
    /// Seconds since the epoch: when acting on it failed first, if it did.
    pub failing_since: Option<i64>,
    /// Whether its user was told what in it can't be read.
    pub told_others: bool,
    /// The prediction of each photo, once it was acted on by detecting.
    pub parts: Vec<Uuid>,
    /// The message that says to wait.
    pub status_message_id: Option<i32>,
    /// Whether its user was told.
    pub delivered: bool,
    /// Seconds since the epoch: when telling failed first, if it did.
    pub untold_since: Option<i64>,
    /// Seconds since the epoch: after that failure, telling is not tried again before.
    pub tell_after: Option<i64>,
}

impl Album {
    fn has(&self, message_id: i32) -> bool {
        let of_photos = self.photos.iter().map(|(id, _)| *id);
        of_photos.chain(self.others.iter().map(|(id, _)| *id)).any(|id| id == message_id)
    }
}

/// Whether a photo came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the album.
    InTime,
    /// The album was acted on before.
    TooLate,
}

/// The table.
#[derive(Clone, Debug)]
pub struct AlbumStore {
    client: Client,
    table: String,
}

impl AlbumStore {
    /// In the table of this name.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Put a part into its album; `arrival` (milliseconds since the epoch) is remembered as the last one's.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn add(
        &self,
        album: &AlbumId,
        part: &Incoming,
        attached: &Attached,
        arrival: i64,
    ) -> Result<Added, AwsError> {
        let message_id = part.message_id;
        let mut update =
            "SET chat_id = :chat, asker = :asker, last_arrival = :arrival, undelivered = :waiting, #time = :now, \
                          expires_at = :expires"
                .to_owned();
        let now = arrival / 1000;
        let mut values = vec![
            (":chat", number(part.chat_id)),
            (":asker", number(part.sender)),
            (":arrival", number(arrival)),
            (":waiting", S(WAITING.into())),
            (":now", number(now)),
            (":expires", number(now + prediction::RETENTION)),
        ];
        let mut names = vec![("#time", "time".to_owned())];
        let mut set = |name: &'static str, attribute: String, placeholder: &'static str, value: AttributeValue| {
            update.push_str(&format!(", {name} = {placeholder}"));
            names.push((name, attribute));
            values.push((placeholder, value));
        };
        match attached {
            Attached::Photo(file) => {
                let prefix = if file.is_document { DOCUMENT } else { PHOTO };
                set("#photo", format!("{prefix}{message_id}"), ":photo", S(file.id.0.clone()));
            }
            Attached::Other(what) => set("#other", format!("{OTHER}{message_id}"), ":other", S(what.clone())),
        }
        if let Some(caption) = &part.words {
            set("#caption", format!("{CAPTION}{message_id}"), ":caption", S(caption.clone()));
        }
        if part.is_addressed {
            set("#addressed", "addressed".into(), ":addressed", Bool(true));
        }
        if part.spoiler {
            set("#spoiler", "spoiler".into(), ":spoiler", Bool(true));
        }
        if let Some(thread) = part.thread {
            set("#thread", "message_thread_id".into(), ":thread", number(thread.into()));
        }
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", S(album.0.clone()))
            .update_expression(update)
            .condition_expression("attribute_not_exists(closed)");
        for (name, attribute) in names {
            call = call.expression_attribute_names(name, attribute);
        }
        for (placeholder, value) in values {
            call = call.expression_attribute_values(placeholder, value);
        }
        let answer = call.send().await;
        let written = AwsError::unless_condition_failed(answer, || self.tried("adding to", album))?;
        if written.is_some() {
            return Ok(Added::InTime);
        }
        // An update that Telegram brings again: the photo was in the album before it was closed.
        let known = self.get(album).await?.is_some_and(|album| album.has(message_id));
        Ok(if known { Added::InTime } else { Added::TooLate })
    }

    /// Close the album and take the right to act on it until `until`, if nothing came after `arrival`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn close(&self, album: &AlbumId, arrival: i64, until: i64) -> Result<Option<Album>, AwsError> {
        self.update(
            "closing",
            album,
            "SET closed = :until, lease_until = :until",
            "attribute_not_exists(closed) AND last_arrival = :arrival",
            &[(":until", number(until)), (":arrival", number(arrival))],
        )
        .await
    }

    /// Take the right to act on an album that whoever closed it, or should have, did not act on.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn take_over(&self, album: &AlbumId, now: i64, until: i64) -> Result<Option<Album>, AwsError> {
        self.update(
            "taking over",
            album,
            "SET closed = :until, lease_until = :until, tries = if_not_exists(tries, :none) + :one",
            "undelivered = :waiting AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            &[
                (":until", number(until)),
                (":now", number(now)),
                (":waiting", S(WAITING.into())),
                (":none", number(0)),
                (":one", number(1)),
            ],
        )
        .await
    }

    /// Acting on it failed for a reason that will pass, `since` then; it is taken over at `after`. The index has it at `place` until
    /// then. That was no try of which an instance died.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn rest(&self, album: &AlbumId, since: i64, after: i64, place: i64) -> Result<(), AwsError> {
        self.update(
            "putting off",
            album,
            "SET lease_until = :after, failing_since = :since, tries = :none, #time = :place",
            "undelivered = :waiting",
            &[
                // Free at that very second.
                (":after", number(after - 1)),
                (":since", number(since)),
                (":none", number(0)),
                (":place", number(place)),
                (":waiting", S(WAITING.into())),
            ],
        )
        .await?;
        Ok(())
    }

    /// Its user was told what in it can't be read.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries; the user may be told again.
    pub async fn told_others(&self, album: &AlbumId) -> Result<(), AwsError> {
        let values = [(":true", Bool(true))];
        self.update("noting of", album, "SET told_others = :true", "attribute_exists(prediction_id)", &values).await?;
        Ok(())
    }

    /// Give the album's photos their predictions; the first call decides which. Answers the ones that stand.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn name_parts(&self, album: &AlbumId, parts: &[Uuid]) -> Result<Vec<Uuid>, AwsError> {
        let ids = L(parts.iter().map(|id| S(id.to_string())).collect());
        let named = self
            .update(
                "naming the parts of",
                album,
                "SET parts = if_not_exists(parts, :parts)",
                "attribute_exists(prediction_id)",
                &[(":parts", ids)],
            )
            .await?;
        Ok(named.map(|album| album.parts).unwrap_or_default())
    }

    /// The album was acted on: its parts are queued. They bring the answer.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn acted(&self, album: &AlbumId, status_message_id: Option<i32>) -> Result<(), AwsError> {
        let mut values = Vec::new();
        let mut update = "REMOVE undelivered, lease_until".to_owned();
        if let Some(id) = status_message_id {
            values.push((":status", number(id.into())));
            update.push_str(" SET status_message_id = :status");
        }
        self.update("closing", album, &update, "attribute_exists(prediction_id)", &values).await?;
        Ok(())
    }

    /// Take the right to tell the user, until `until`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn lease(&self, album: &AlbumId, now: i64, until: i64) -> Result<Option<Album>, AwsError> {
        self.update(
            "leasing",
            album,
            "SET lease_until = :until",
            "attribute_exists(prediction_id) AND attribute_not_exists(delivered_at) \
             AND (attribute_not_exists(lease_until) OR lease_until < :now) \
             AND (attribute_not_exists(tell_after) OR tell_after <= :now)",
            &[(":until", number(until)), (":now", number(now))],
        )
        .await
    }

    /// Give the right to tell the user back, which was held until `leased_until`: telling fails `since` then, and may be tried
    /// again at `after`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn put_off(&self, album: &AlbumId, leased_until: i64, since: i64, after: i64) -> Result<(), AwsError> {
        let update = "SET untold_since = :since, tell_after = :after REMOVE lease_until";
        let values = [(":until", number(leased_until)), (":since", number(since)), (":after", number(after))];
        self.update("putting off the answer of", album, update, "lease_until = :until", &values).await?;
        Ok(())
    }

    /// Give the right to tell the user back, for good: if it is ever told again, it is as if for the first time.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn give_up(&self, album: &AlbumId, leased_until: i64) -> Result<(), AwsError> {
        let update = "REMOVE lease_until, untold_since, tell_after";
        let values = [(":until", number(leased_until))];
        self.update("giving up the answer of", album, update, "lease_until = :until", &values).await?;
        Ok(())
    }

    /// The user was told.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn delivered(&self, album: &AlbumId, now: i64) -> Result<(), AwsError> {
        let update = "SET delivered_at = :now REMOVE undelivered, lease_until";
        self.update("marking as delivered", album, update, "attribute_exists(prediction_id)", &[(":now", number(now))])
            .await?;
        Ok(())
    }

    /// The album as it is.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn get(&self, album: &AlbumId) -> Result<Option<Album>, AwsError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("prediction_id", S(album.0.clone()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new(self.tried("reading", album), error))?;
        Ok(found.item.map(|item| from_item(&item)))
    }

    /// Albums that wait to be acted on since `until` or before; at most `limit`.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn waiting(&self, until: i64, limit: i32) -> Result<Vec<AlbumId>, AwsError> {
        let found = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(UNDELIVERED_INDEX)
            .key_condition_expression("undelivered = :waiting AND #time <= :until")
            .expression_attribute_names("#time", "time")
            .expression_attribute_values(":waiting", S(WAITING.into()))
            .expression_attribute_values(":until", number(until))
            .limit(limit)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("looking for waiting albums in {}", self.table), error))?;
        let ids = found.items().iter().filter_map(|item| item.get("prediction_id")?.as_s().ok());
        Ok(ids.filter_map(|id| AlbumId::from_record(id)).collect())
    }

    async fn update(
        &self,
        what: &str,
        album: &AlbumId,
        update: &str,
        condition: &str,
        values: &[(&str, AttributeValue)],
    ) -> Result<Option<Album>, AwsError> {
        let mut call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("prediction_id", S(album.0.clone()))
            .update_expression(update)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew);
        if update.contains("#time") {
            call = call.expression_attribute_names("#time", "time");
        }
        for (placeholder, value) in values {
            call = call.expression_attribute_values(*placeholder, value.clone());
        }
        let answer = call.send().await;
        let written = AwsError::unless_condition_failed(answer, || self.tried(what, album))?;
        Ok(written.map(|written| from_item(written.attributes().unwrap_or(&HashMap::new()))))
    }

    fn tried(&self, what: &str, album: &AlbumId) -> String {
        format!("{what} the {} in {}", album.0, self.table)
    }
}

fn from_item(item: &HashMap<String, AttributeValue>) -> Album {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()).and_then(|n| n.parse::<i64>().ok());
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
    // As an older version kept it.
    captions.extend(text("caption"));
    let is_set = |name: &str| item.get(name).is_some_and(|value| value.as_bool() == Ok(&true));
    let parts = item.get("parts").and_then(|parts| parts.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
    Album {
        chat_id: number("chat_id").unwrap_or_default(),
        photos,
        others: by_message(OTHER),
        captions,
        is_addressed: is_set("addressed"),
        asker: number("asker"),
        spoiler: is_set("spoiler"),
        told_others: is_set("told_others"),
        thread: number("message_thread_id").and_then(|id| i32::try_from(id).ok()),
        tries: number("tries").unwrap_or_default(),
        failing_since: number("failing_since"),
        parts: parts.iter().filter_map(|id| Uuid::parse_str(id.as_s().ok()?).ok()).collect(),
        status_message_id: number("status_message_id").and_then(|id| i32::try_from(id).ok()),
        delivered: item.contains_key("delivered_at"),
        untold_since: number("untold_since"),
        tell_after: number("tell_after"),
    }
}

fn number(value: i64) -> AttributeValue {
    N(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_in_the_order_they_were_sent() {
        let item = HashMap::from([
            ("chat_id".to_owned(), number(-5)),
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
