//! The attributes of the table's items: their names and types. The names are an interface: old records have them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, L, N, S};
use uuid::Uuid;

use super::condition::{Comparison, Condition};
use crate::{FailureReason, Label, Status, Timestamp, TimestampMillis};

/// An item as DynamoDB has it.
pub type Item = HashMap<String, AttributeValue>;

/// The partition key of every item. A prediction's is its UUID; others begin with what they are (`album#`, `update#`, …).
pub const KEY: Attribute<String> = Attribute::new("prediction_id");
/// The partition key of the sparse index; present while something is to be done with the item.
pub const UNDELIVERED: Attribute<Partition> = Attribute::new("undelivered");
/// The sort key of the sparse index.
pub const TIME: Attribute<Timestamp> = Attribute::new("time");
/// When DynamoDB may drop the item.
pub const EXPIRES_AT: Attribute<Timestamp> = Attribute::new("expires_at");
/// Until then one instance has the item for itself.
pub const LEASE_UNTIL: Attribute<Timestamp> = Attribute::new("lease_until");
/// When its user was told.
pub const DELIVERED_AT: Attribute<Timestamp> = Attribute::new("delivered_at");
/// When telling its user failed first.
pub const FIRST_FAILED_AT: Attribute<Timestamp> = Attribute::new("untold_since");
/// Telling is not tried before.
pub const NEXT_ATTEMPT_AT: Attribute<Timestamp> = Attribute::new("tell_after");
/// The Telegram chat.
pub const CHAT_ID: Attribute<i64> = Attribute::new("chat_id");
/// The sender.
pub const ASKER: Attribute<i64> = Attribute::new("asker");
/// The Telegram message that it replies to.
pub const MESSAGE_ID: Attribute<i64> = Attribute::new("message_id");
/// The Telegram message that says "being processed".
pub const STATUS_MESSAGE_ID: Attribute<i32> = Attribute::new("status_message_id");
/// The message that says "being processed" was about to be sent for an album.
pub const STATUS_ANNOUNCED: Attribute<bool> = Attribute::new("status_announced");
/// The forum topic.
pub const THREAD: Attribute<i32> = Attribute::new("message_thread_id");
/// The photo was covered.
pub const SPOILER: Attribute<bool> = Attribute::new("spoiler");

/// How far a prediction is.
pub const STATUS: Attribute<Status> = Attribute::new("status");
/// The S3 key of the photo.
pub const ORIGINAL: Attribute<String> = Attribute::new("original_img_path");
/// The S3 key of the annotated photo.
pub const PREDICTED: Attribute<String> = Attribute::new("predicted_img_path");
/// What was found.
pub const LABELS: Attribute<Vec<Label>> = Attribute::new("labels");
/// The model that found it.
pub const MODEL: Attribute<String> = Attribute::new("model");
/// Why there is no result, in words.
pub const FAILURE: Attribute<String> = Attribute::new("failure");
/// Why there is no result.
pub const FAILURE_REASON: Attribute<FailureReason> = Attribute::new("failure_reason");
/// It failed too often and can be redriven.
pub const DEAD_LETTER: Attribute<bool> = Attribute::new("dead_letter");
/// When it was redriven last.
pub const REDRIVEN_AT: Attribute<Timestamp> = Attribute::new("revived_at");
/// How often its message was lost and sent anew.
pub const REQUEUED: Attribute<u32> = Attribute::new("requeued");
/// The album that a prediction is part of.
pub const ALBUM: Attribute<String> = Attribute::new("album");

/// Nothing more is put into the album.
pub const CLOSED: Attribute<Timestamp> = Attribute::new("closed");
/// When the last photo of an album arrived.
pub const LAST_ARRIVAL: Attribute<TimestampMillis> = Attribute::new("last_arrival");
/// One of the album's parts speaks to the bot.
pub const ADDRESSED: Attribute<bool> = Attribute::new("addressed");
/// How often an album was taken over since it was last deferred.
pub const TRIES: Attribute<i64> = Attribute::new("tries");
/// When acting on an album, or handling an update, failed first.
pub const FAILING_SINCE: Attribute<Timestamp> = Attribute::new("failing_since");
/// Since then Telegram does not give a file that an album or an update needs; nothing else failed since.
pub const GONE_SINCE: Attribute<Timestamp> = Attribute::new("gone_since");
/// An album's user was told what in it can't be read.
pub const TOLD_OTHERS: Attribute<bool> = Attribute::new("told_others");
/// The predictions of an album's photos.
pub const PARTS: Attribute<Vec<Uuid>> = Attribute::new("parts");
/// An album's caption, as an older version kept it.
pub const CAPTION: Attribute<String> = Attribute::new("caption");

/// What an update asks, as JSON.
pub const ASKED: Attribute<String> = Attribute::new("asked");
/// The update was handled.
pub const HANDLED: Attribute<bool> = Attribute::new("handled");
/// How often work on an update began since it was last deferred.
pub const DEATHS: Attribute<i64> = Attribute::new("deaths");
/// The prediction that may come of an update or a message.
pub const WORK_ID: Attribute<Uuid> = Attribute::new("work_id");
/// How often the table was looked through for what one person sent.
pub const LOOK: Attribute<u32> = Attribute::new("look");
/// This look came to the item of this key.
pub const CAME_TO: Attribute<String> = Attribute::new("came_to");
/// This look has found something.
pub const FOUND: Attribute<bool> = Attribute::new("found");
/// Tells captions of a message apart.
pub const FINGERPRINT: Attribute<String> = Attribute::new("fingerprint");
/// Its sender had the message forgotten.
pub const FORGOTTEN: Attribute<bool> = Attribute::new("forgotten");

/// Messages that workers finished.
pub const PHOTOS: Attribute<u64> = Attribute::new("photos");
/// How often a worker's slot was taken.
pub const TURNS: Attribute<u64> = Attribute::new("turns");
/// How long slots were busy.
pub const BUSY: Attribute<Duration> = Attribute::new("busy_ms");
/// How long there were slots.
pub const SLOTS: Attribute<Duration> = Attribute::new("slots_ms");
/// How long there were workers.
pub const WORKERS: Attribute<Duration> = Attribute::new("workers_ms");

/// A named attribute whose values are of the type `T`.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute<T> {
    name: Cow<'static, str>,
    value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Attribute<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<T> Attribute<T> {
    /// An attribute of a fixed name: letters, digits and underscores.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), value: PhantomData }
    }

    /// One of many alike, as for each message of an album: `photo_12`.
    #[must_use]
    pub fn numbered(prefix: &str, number: i32) -> Self {
        Self { name: Cow::Owned(format!("{prefix}{number}")), value: PhantomData }
    }

    /// Its name in the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_name(self) -> Cow<'static, str> {
        self.name
    }

    /// The item has it.
    #[must_use]
    pub fn exists(self) -> Condition {
        Condition::Exists(self.name)
    }

    /// The item does not have it.
    #[must_use]
    pub fn absent(self) -> Condition {
        Condition::Absent(self.name)
    }

    /// Whether this item has it.
    #[must_use]
    pub fn is_in(&self, item: &Item) -> bool {
        item.contains_key(self.name())
    }
}

impl<T: Value> Attribute<T> {
    /// It has this value.
    #[must_use]
    pub fn is(self, value: impl Into<T>) -> Condition {
        self.compare(Comparison::Equal, value.into())
    }

    /// It has another value, or the item does not have it.
    #[must_use]
    pub fn is_not(self, value: impl Into<T>) -> Condition {
        self.compare(Comparison::NotEqual, value.into())
    }

    /// It is there and below this.
    #[must_use]
    pub fn less_than(self, value: T) -> Condition {
        self.compare(Comparison::Less, value)
    }

    /// It is there and no more than this.
    #[must_use]
    pub fn at_most(self, value: T) -> Condition {
        self.compare(Comparison::AtMost, value)
    }

    fn compare(self, comparison: Comparison, value: T) -> Condition {
        Condition::Compare(self.name, comparison, value.into_attribute())
    }

    /// Its value in this item; `None` if it is not there or not of this type.
    #[must_use]
    pub fn of(&self, item: &Item) -> Option<T> {
        T::from_attribute(item.get(self.name())?)
    }
}

/// A type that an attribute's values have.
pub trait Value: Sized {
    /// As DynamoDB has it.
    fn into_attribute(self) -> AttributeValue;

    /// From DynamoDB; `None` if it is something else.
    fn from_attribute(value: &AttributeValue) -> Option<Self>;
}

/// Where an item lies in the sparse index: what is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// A prediction whose user was not told.
    Untold(Status),
    /// A dead letter whose user was told: it can be redriven.
    DeadLetter,
    /// An answer that could not be sent for so long that it is tried no more.
    Undeliverable,
    /// An album that is to be acted on.
    Album,
    /// An update that is to be handled.
    Update,
}

impl Partition {
    const ALL: [Self; 7] = [
        Self::Untold(Status::Queued),
        Self::Untold(Status::Done),
        Self::Untold(Status::Failed),
        Self::DeadLetter,
        Self::Undeliverable,
        Self::Album,
        Self::Update,
    ];

    /// As the table has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untold(status) => status.as_str(),
            Self::DeadLetter => "dead-letter",
            Self::Undeliverable => "undeliverable",
            Self::Album => "album",
            Self::Update => "update",
        }
    }
}

impl From<Status> for Partition {
    fn from(status: Status) -> Self {
        Self::Untold(status)
    }
}

impl Value for Partition {
    fn into_attribute(self) -> AttributeValue {
        S(self.as_str().to_owned())
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        let text = value.as_s().ok()?;
        Self::ALL.into_iter().find(|partition| partition.as_str() == text)
    }
}

impl Value for Status {
    fn into_attribute(self) -> AttributeValue {
        S(self.as_str().to_owned())
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        let text = value.as_s().ok()?;
        [Self::Queued, Self::Done, Self::Failed].into_iter().find(|status| status.as_str() == text)
    }
}

impl Value for String {
    fn into_attribute(self) -> AttributeValue {
        S(self)
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        value.as_s().ok().cloned()
    }
}

impl Value for bool {
    fn into_attribute(self) -> AttributeValue {
        Bool(self)
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        value.as_bool().ok().copied()
    }
}

impl Value for Uuid {
    fn into_attribute(self) -> AttributeValue {
        S(self.to_string())
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        Self::parse_str(value.as_s().ok()?).ok()
    }
}

/// Texts that are not ids are left out.
impl Value for Vec<Uuid> {
    fn into_attribute(self) -> AttributeValue {
        L(self.into_iter().map(Value::into_attribute).collect())
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        Some(value.as_l().ok()?.iter().filter_map(Uuid::from_attribute).collect())
    }
}

impl Value for Vec<Label> {
    fn into_attribute(self) -> AttributeValue {
        serde_dynamo::to_attribute_value(self).expect("labels are texts and numbers")
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        serde_dynamo::from_attribute_value(value.clone()).ok()
    }
}

impl Value for FailureReason {
    fn into_attribute(self) -> AttributeValue {
        serde_dynamo::to_attribute_value(self).expect("reasons are texts and numbers")
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        serde_dynamo::from_attribute_value(value.clone()).ok()
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn into_attribute(self) -> AttributeValue {
                N(self.to_string())
            }

            fn from_attribute(value: &AttributeValue) -> Option<Self> {
                value.as_n().ok()?.parse().ok()
            }
        }
    )*};
}

number!(i32, i64, u32, u64);

impl Value for Timestamp {
    fn into_attribute(self) -> AttributeValue {
        self.as_secs().into_attribute()
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        i64::from_attribute(value).map(Self::from_secs)
    }
}

impl Value for TimestampMillis {
    fn into_attribute(self) -> AttributeValue {
        self.as_millis().into_attribute()
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        i64::from_attribute(value).map(Self::from_millis)
    }
}

/// In milliseconds.
impl Value for Duration {
    fn into_attribute(self) -> AttributeValue {
        N(self.as_millis().to_string())
    }

    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        u64::from_attribute(value).map(Self::from_millis)
    }
}
