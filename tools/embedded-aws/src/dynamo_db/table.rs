//! One table: its items and its indexes, each in the order of its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds as _};

use super::attribute::{Attribute, Item, bytes};
use super::expression::KeyCondition;
use super::invalid;
use super::saved::{SavedTable, TimeToLive};
use super::schema::{IndexSchema, KeyValues, Keys, Schema};
use crate::failure::Failure;

/// Bytes of the largest item, and of what one Query or Scan looks at.
const LARGEST_ITEM: usize = 400 << 10;
const LARGEST_PAGE: usize = 1 << 20;
/// How deep lists and maps may lie in one another.
const DEEPEST: usize = 32;

/// Where an item stands in a table or an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    partition: Attribute,
    sort: Option<Attribute>,
    /// In an index, the item's place in the table: items may have the same keys there.
    item: Option<Box<Place>>,
}

impl Place {
    /// In a table; in an index, right before all items with these keys.
    fn at((partition, sort): KeyValues) -> Self {
        Self { partition, sort, item: None }
    }

    /// In an index.
    fn of(keys: KeyValues, item: &Self) -> Self {
        Self { item: Some(Box::new(item.clone())), ..Self::at(keys) }
    }

    /// Right after all items with these keys.
    fn after(keys: KeyValues) -> Self {
        Self::of(keys, &Self::at((BEYOND, None)))
    }
}

/// After every value of a key.
const BEYOND: Attribute = Attribute::M(BTreeMap::new());

#[derive(Debug)]
pub(super) struct Table {
    pub(super) schema: Schema,
    pub(super) keys: Keys,
    pub(super) time_to_live: Option<TimeToLive>,
    items: BTreeMap<Place, Item>,
    indexes: Vec<Index>,
}

#[derive(Debug)]
pub(super) struct Index {
    pub(super) schema: IndexSchema,
    pub(super) keys: Keys,
    places: BTreeSet<Place>,
}

impl Index {
    /// Whether the index of a table with these keys has an attribute.
    pub(super) fn has(&self, attribute: &str, table: &Keys) -> bool {
        let IndexSchema { projection_type, non_key_attributes, .. } = &self.schema;
        projection_type == "ALL"
            || table.iter().chain(self.keys.iter()).any(|key| key.name == attribute)
            || non_key_attributes.iter().any(|name| name == attribute)
    }

    /// What the index has of an item.
    fn project(&self, item: &Item, table: &Keys) -> Item {
        let projected = item.iter().filter(|(name, _)| self.has(name, table));
        projected.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// A change of one item, already checked.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) place: Place,
    /// `None` removes the item.
    pub(super) new: Option<Item>,
}

/// Which part of a table or an index is looked at.
#[derive(Debug)]
pub(super) struct Range<'a> {
    pub(super) index: Option<&'a Index>,
    /// `None` is all partitions.
    pub(super) condition: Option<&'a KeyCondition>,
    pub(super) is_backward: bool,
    /// Go on after the item with these keys.
    pub(super) start: Option<&'a Item>,
    /// The most items to look at.
    pub(super) limit: usize,
}

/// The items of a range, and the keys of the last one if there may be more.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) last: Option<Item>,
}

impl Table {
    pub(super) fn new(schema: Schema) -> Result<Self, Failure> {
        let keys = schema.keys(&schema.key_schema)?;
        let index = |index: &IndexSchema| -> Result<Index, Failure> {
            let keys = schema.keys(&index.key_schema)?;
            Ok(Index { schema: index.clone(), keys, places: BTreeSet::new() })
        };
        let indexes = schema.global_secondary_index.iter().map(index).collect::<Result<_, _>>()?;
        Ok(Self { schema, keys, time_to_live: None, items: BTreeMap::new(), indexes })
    }

    /// As it was.
    pub(super) fn restore(saved: SavedTable, time_to_live: Option<TimeToLive>) -> Result<Self, Failure> {
        let mut table = Self { time_to_live, ..Self::new(saved.schema)? };
        for item in saved.items.into_values().flat_map(BTreeMap::into_values) {
            let place = Place::at(table.keys.of_item(&item)?);
            table.make(Change { place, new: Some(item) });
        }
        Ok(table)
    }

    pub(super) fn save(&self) -> SavedTable {
        let mut items: BTreeMap<String, BTreeMap<String, Item>> = BTreeMap::new();
        let text = |value: &Attribute| serde_json::to_string(value).unwrap_or_default();
        for (place, item) in &self.items {
            let sort = place.sort.as_ref().map(text).unwrap_or_default();
            items.entry(text(&place.partition)).or_default().insert(sort, item.clone());
        }
        SavedTable { schema: self.schema.clone(), items }
    }

    pub(super) fn describe(&self, status: &str) -> serde_json::Value {
        self.schema.describe(status, self.items.len())
    }

    pub(super) fn index(&self, name: &str) -> Result<&Index, Failure> {
        let found = self.indexes.iter().find(|index| index.schema.index_name == name);
        found.ok_or_else(|| invalid(format!("The table does not have the specified index: {name}")))
    }

    /// The place that a request's key means.
    pub(super) fn place(&self, key: &Item) -> Result<Place, Failure> {
        self.keys.of_key(key).map(Place::at)
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Item> {
        self.items.get(place)
    }

    /// The change that puts an item there, if there may be one like it.
    pub(super) fn put(&self, item: Item) -> Result<Change, Failure> {
        let place = Place::at(self.keys.of_item(&item)?);
        for index in &self.indexes {
            index.keys.check_for_index(&index.schema.index_name, &item)?;
        }
        if bytes(&item) > LARGEST_ITEM {
            return Err(invalid("Item size has exceeded the maximum allowed size: it is more than 400 KB"));
        }
        if item.values().any(|value| value.depth() > DEEPEST) {
            return Err(invalid("Nesting Levels have exceeded supported limits: lists and maps lie 32 levels deep"));
        }
        Ok(Change { place, new: Some(item) })
    }

    /// Makes the change; what was there before is returned.
    pub(super) fn make(&mut self, change: Change) -> Option<Item> {
        let Change { place, new } = change;
        let old = self.items.remove(&place);
        for index in &mut self.indexes {
            if let Some(keys) = old.as_ref().and_then(|item| index.keys.values(item)) {
                index.places.remove(&Place::of(keys, &place));
            }
            if let Some(keys) = new.as_ref().and_then(|item| index.keys.values(item)) {
                index.places.insert(Place::of(keys, &place));
            }
        }
        if let Some(new) = new {
            self.items.insert(place, new);
        }
        old
    }

    /// The items of a range, in its order.
    pub(super) fn page(&self, range: &Range<'_>) -> Result<Page, Failure> {
        let (mut from, mut to) = bounds(range.condition);
        if let Some(start) = range.start {
            let start = self.start(start, range)?;
            if !(from.as_ref(), to.as_ref()).contains(&start) {
                return Err(invalid(
                    "The provided starting key is outside query boundaries based on provided conditions",
                ));
            }
            let start = Bound::Excluded(start);
            if range.is_backward { to = start } else { from = start }
        }
        if let (Bound::Included(least) | Bound::Excluded(least), Bound::Excluded(most)) = (&from, &to)
            && least >= most
        {
            return Ok(Page { items: vec![], last: None });
        }
        let within = |place: &Place| range.condition.is_none_or(|one| one.sort.has_prefix(place.sort.as_ref()));
        match range.index {
            None => {
                let items = self.items.range((from, to)).filter(|(place, _)| within(place));
                let items = items.map(|(_, item)| item);
                Ok(if range.is_backward { self.cut(items.rev(), range) } else { self.cut(items, range) })
            }
            Some(index) => {
                let places = index.places.range((from, to)).filter(|place| within(place));
                let items = places.filter_map(|place| self.items.get(place.item.as_deref()?));
                Ok(if range.is_backward { self.cut(items.rev(), range) } else { self.cut(items, range) })
            }
        }
    }

    /// As much of the items as a page takes.
    fn cut<'i>(&self, items: impl Iterator<Item = &'i Item>, range: &Range<'_>) -> Page {
        let mut page = Page { items: vec![], last: None };
        let mut size = 0;
        for item in items {
            let seen = range.index.map_or_else(|| item.clone(), |index| index.project(item, &self.keys));
            size += bytes(&seen);
            page.items.push(seen);
            if page.items.len() == range.limit || size > LARGEST_PAGE {
                let names =
                    self.keys.names().into_iter().chain(range.index.iter().flat_map(|index| index.keys.names()));
                page.last = Some(names.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect());
                break;
            }
        }
        page
    }

    /// The place that an ExclusiveStartKey means: the keys of the table, and of the index if there is one.
    fn start(&self, start: &Item, range: &Range<'_>) -> Result<Place, Failure> {
        let refuse = || invalid("The provided starting key is invalid: it is not a LastEvaluatedKey of such a call");
        let mut names = self.keys.names();
        names.extend(range.index.iter().flat_map(|index| index.keys.names()));
        if !start.keys().all(|name| names.contains(&name.as_str())) {
            return Err(refuse());
        }
        let place = Place::at(self.keys.of_item(start).map_err(|_| refuse())?);
        match range.index {
            None => Ok(place),
            Some(index) => Ok(Place::of(index.keys.of_item(start).map_err(|_| refuse())?, &place)),
        }
    }
}

/// From where to where the items that fulfil a condition lie.
fn bounds(condition: Option<&KeyCondition>) -> (Bound<Place>, Bound<Place>) {
    let Some(KeyCondition { partition, sort }) = condition else { return (Bound::Unbounded, Bound::Unbounded) };
    let keys = |sort: &Attribute| (partition.clone(), Some(sort.clone()));
    let from = match &sort.from {
        Bound::Included(least) => Place::at(keys(least)),
        Bound::Excluded(least) => Place::after(keys(least)),
        Bound::Unbounded => Place::at((partition.clone(), None)),
    };
    let to = match &sort.to {
        Bound::Included(most) => Place::after(keys(most)),
        Bound::Excluded(most) => Place::at(keys(most)),
        Bound::Unbounded => Place::at((partition.clone(), Some(BEYOND))),
    };
    (Bound::Included(from), Bound::Excluded(to))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// By `p` and `s`, with an index by `q` and `t`.
    fn table() -> Table {
        let keys = |[partition, sort]: [&str; 2]| json!([{ "AttributeName": partition, "KeyType": "HASH" }, { "AttributeName": sort, "KeyType": "RANGE" }]);
        let kinds = [("p", "S"), ("s", "N"), ("q", "S"), ("t", "N")];
        let definition = |(name, kind)| json!({ "AttributeName": name, "AttributeType": kind });
        let index = json!({ "index_name": "i", "key_schema": keys(["q", "t"]), "projection_type": "ALL" });
        let schema = json!({
            "name": "table",
            "creation_date_time": "2026-01-01T00:00:00Z",
            "key_schema": keys(["p", "s"]),
            "attribute_definitions": kinds.map(definition),
            "billing_mode": "PAY_PER_REQUEST",
            "global_secondary_index": [index],
        });
        let schema: Schema = serde_json::from_value(schema).expect("a schema");
        schema.check().expect("a good one");
        Table::new(schema).expect("a table")
    }

    proptest! {
        /// After puts and deletes, pages of a query are what a look at every item finds.
        #[test]
        fn pages_together_are_what_fulfils_the_condition(
            writes in vec((any::<bool>(), 0_i32..2, -4_i32..4, proptest::option::of((0_i32..2, -2_i32..2))), 0..60),
            (by_index, is_backward) in any::<(bool, bool)>(),
            operator in proptest::sample::select(vec!["=", "<", "<=", ">", ">="]),
            value in -4_i32..4,
            limit in 1_usize..5,
        ) {
            let mut table = table();
            let mut kept: BTreeMap<(i32, i32), Option<(i32, i32)>> = BTreeMap::new();
            for (is_put, p, s, index) in writes {
                let mut item = json!({ "p": { "S": p.to_string() }, "s": { "N": s.to_string() } });
                if let Some((q, t)) = index {
                    item["q"] = json!({ "S": q.to_string() });
                    item["t"] = json!({ "N": t.to_string() });
                }
                let item: Item = serde_json::from_value(item).expect("an item");
                let mut change = table.put(item).expect("a good item");
                if is_put {
                    kept.insert((p, s), index);
                } else {
                    change.new = None;
                    kept.remove(&(p, s));
                }
                table.make(change);
            }
            let fulfils = |sort: i32| match operator {
                "=" => sort == value,
                "<" => sort < value,
                "<=" => sort <= value,
                ">" => sort > value,
                _ => sort >= value,
            };
            let mut expected: Vec<_> = kept
                .into_iter()
                .filter_map(|(keys, index): ((i32, i32), _)| Some((if by_index { index? } else { keys }, keys)))
                .filter(|((partition, sort), _)| *partition == 0 && fulfils(*sort))
                .collect();
            expected.sort_unstable();
            if is_backward {
                expected.reverse();
            }

            let index = by_index.then(|| table.index("i").expect("there"));
            let (text, keys) = match index {
                Some(index) => (format!("q = :p AND t {operator} :s"), &index.keys),
                None => (format!("p = :p AND s {operator} :s"), &table.keys),
            };
            let values = json!({ ":p": { "S": "0" }, ":s": { "N": value.to_string() } });
            let placeholders = serde_json::from_value(json!({ "ExpressionAttributeValues": values })).expect("values");
            let condition = KeyCondition::parse(&text, &placeholders, keys).expect("a condition");
            let (mut found, mut last) = (Vec::new(), None);
            loop {
                let range = Range { index, condition: Some(&condition), is_backward, start: last.as_ref(), limit };
                let page = table.page(&range).expect("a page");
                prop_assert!(page.items.len() <= limit);
                found.extend(page.items);
                last = page.last;
                if last.is_none() {
                    break;
                }
            }
            let keys = |item: &Item| (item["p"].clone(), item["s"].clone());
            let wanted = |(_, (p, s)): &(_, (i32, i32))| {
                (Attribute::S(p.to_string()), Attribute::N(s.to_string().parse().expect("a number")))
            };
            prop_assert_eq!(found.iter().map(keys).collect::<Vec<_>>(), expected.iter().map(wanted).collect::<Vec<_>>());
        }
    }
}
