//! Each transition, written to DynamoDB (the embedded one): it happens in the states that it names and in no other, and
//! leads where it says. ARCHITECTURE's diagrams are drawn from the same lists.

mod albums;
mod arrows;
mod diagram;
mod predictions;
mod updates;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use embedded_aws::EmbeddedAws;
use fleet::Timestamp;
use fleet::table::attribute::{KEY, Value};
use fleet::table::{Attribute, Item, Key, Table, Transition};

/// The moment at which every test takes place.
const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
/// When a lease ends that is held.
const HELD_UNTIL: Timestamp = Timestamp::from_secs(NOW.as_secs() + 60);
/// After that.
const LATER: Timestamp = Timestamp::from_secs(NOW.as_secs() + 600);

fn ago(seconds: u64) -> Timestamp {
    NOW - Duration::from_secs(seconds)
}

/// A table with the sparse index.
struct Db {
    table: Table,
    client: Client,
    _aws: EmbeddedAws,
}

impl Db {
    async fn start() -> Self {
        let aws = EmbeddedAws::start().await.expect("AWS");
        let client = Client::new(&aws.sdk_config().await);
        fleet::table::creation(&client, "records").send().await.expect("a table");
        Self { table: Table::new(client.clone(), "records"), client, _aws: aws }
    }

    /// Apply it to an item that is like this. The item afterwards, and whether it was written.
    async fn after<T: Transition>(&self, key: &Key, before: Option<&Item>, transition: &T) -> (Option<Item>, bool) {
        self.table.delete(key).await.expect("deleted");
        if let Some(item) = before {
            let mut item = item.clone();
            item.insert(KEY.name().to_owned(), key.value().into_attribute());
            self.client.put_item().table_name("records").set_item(Some(item)).send().await.expect("put");
        }
        let written = self.table.apply(key, transition).await.expect("DynamoDB answers").is_some();
        (self.table.get(key).await.expect("read"), written)
    }

    /// The transition happens from the states of its `moves`, leads where they say, and is refused from all others.
    async fn holds<T: Transition>(
        &self,
        transition: &T,
        states: &[T::State],
        key: &Key,
        item: impl Fn(T::State) -> Option<Item>,
        state_of: impl Fn(Option<&Item>) -> T::State,
    ) {
        let moves = transition.moves();
        for &from in states {
            let name = format!("{} from {from:?}", transition.name());
            let before = item(from);
            assert_eq!(state_of(before.as_ref()), from, "the item of {from:?}");
            let (after, written) = self.after(key, before.as_ref(), transition).await;
            match moves.iter().find(|(start, _)| *start == from) {
                Some(&(_, to)) => {
                    assert!(written, "{name} is refused");
                    assert_eq!(state_of(after.as_ref()), to, "{name}: {after:?}");
                }
                None => {
                    assert!(!written, "{name} happens: {after:?}");
                    let after = after.map(|mut item| {
                        item.remove(KEY.name());
                        item
                    });
                    assert_eq!(after, before, "{name} is refused and changes nothing");
                }
            }
        }
    }
}

/// Attributes by name.
fn item<const LENGTH: usize>(attributes: [(&str, AttributeValue); LENGTH]) -> Item {
    attributes.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The item with one more attribute.
fn with<T: Value>(mut item: Item, attribute: Attribute<T>, value: impl Into<T>) -> Item {
    item.insert(attribute.name().to_owned(), value.into().into_attribute());
    item
}

fn without<T>(mut item: Item, attribute: Attribute<T>) -> Item {
    item.remove(attribute.name());
    item
}

/// Every variant has an example: `number` of each counts from zero.
fn are_complete<T>(examples: &[T], number: impl Fn(&T) -> usize) {
    let numbers: HashMap<usize, ()> = examples.iter().map(|example| (number(example), ())).collect();
    let most = numbers.keys().max().copied().unwrap_or_default();
    assert_eq!(numbers.len(), most + 1, "a variant has no example");
}
