//! DynamoDB, as the SDK finds it.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue::{B, Bool, L, M, N, Null, S, Ss};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, DeleteRequest, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    KeysAndAttributes, Projection, ProjectionType, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure,
    ScalarAttributeType, Select, TableStatus, TimeToLiveSpecification, TimeToLiveStatus, WriteRequest,
};
use embedded_aws::EmbeddedAws;

const TABLE: &str = "readings";

fn text(value: &str) -> AttributeValue {
    S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    N(value.to_string())
}

fn map<const LENGTH: usize>(entries: [(&str, AttributeValue); LENGTH]) -> HashMap<String, AttributeValue> {
    entries.map(|(name, value)| (name.to_owned(), value)).into()
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

fn index(name: &str, keys: &[&str], projection: Projection) -> GlobalSecondaryIndex {
    let kinds = [KeyType::Hash, KeyType::Range];
    let keys = keys.iter().zip(kinds).map(|(name, kind)| key(name, kind)).collect();
    let index = GlobalSecondaryIndex::builder().index_name(name).set_key_schema(Some(keys)).projection(projection);
    index.build().unwrap()
}

/// Readings of sensors: by sensor and time, by kind and value, and by place.
async fn readings(aws: &EmbeddedAws) -> Client {
    let db = Client::new(&aws.sdk_config().await);
    let projection = |kind| Projection::builder().projection_type(kind);
    let include = projection(ProjectionType::Include).non_key_attributes("note").build();
    db.create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("sensor", ScalarAttributeType::S))
        .attribute_definitions(attribute("at", ScalarAttributeType::N))
        .attribute_definitions(attribute("kind", ScalarAttributeType::S))
        .attribute_definitions(attribute("reading", ScalarAttributeType::N))
        .attribute_definitions(attribute("place", ScalarAttributeType::B))
        .key_schema(key("sensor", KeyType::Hash))
        .key_schema(key("at", KeyType::Range))
        .global_secondary_indexes(index("by-kind", &["kind", "reading"], projection(ProjectionType::KeysOnly).build()))
        .global_secondary_indexes(index("by-place", &["place"], include))
        .send()
        .await
        .unwrap();
    db
}

async fn put<const LENGTH: usize>(db: &Client, item: [(&str, AttributeValue); LENGTH]) {
    db.put_item().table_name(TABLE).set_item(Some(map(item))).send().await.unwrap();
}

/// Code and message of a call that is refused.
fn refusal<T: std::fmt::Debug, E>(answer: Result<T, aws_sdk_dynamodb::error::SdkError<E>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = answer.unwrap_err();
    let code = error.code().unwrap_or_else(|| panic!("{}", DisplayErrorContext(&error))).to_owned();
    (code, error.message().unwrap_or_default().to_owned())
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug, E>(answer: Result<T, aws_sdk_dynamodb::error::SdkError<E>>, why: &str)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (code, message) = refusal(answer);
    assert_eq!(code, "ValidationException", "{message}");
    assert!(message.contains(why), "{message}");
}

#[tokio::test]
async fn tables_are_made_described_listed_and_deleted() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let described = db.describe_table().table_name(TABLE).send().await.unwrap().table.unwrap();
    assert_eq!(described.table_status(), Some(&TableStatus::Active));
    assert_eq!(described.key_schema(), [key("sensor", KeyType::Hash), key("at", KeyType::Range)]);
    assert_eq!(described.billing_mode_summary().unwrap().billing_mode(), Some(&BillingMode::PayPerRequest));
    let included = &described.global_secondary_indexes()[1];
    assert_eq!(included.index_name(), Some("by-place"));
    assert_eq!(included.projection().unwrap().non_key_attributes(), ["note"]);

    let again = |name: &str, key_name: &str| {
        let table = db.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        table
            .attribute_definitions(attribute("id", ScalarAttributeType::S))
            .key_schema(key(key_name, KeyType::Hash))
            .send()
    };
    assert_eq!(refusal(again(TABLE, "id").await).0, "ResourceInUseException");
    assert_invalid(again("a", "id").await, "tableName");
    assert_invalid(again("other", "name").await, "not defined in AttributeDefinitions");
    again("aaa", "id").await.unwrap();

    let first = db.list_tables().limit(1).send().await.unwrap();
    assert_eq!((first.table_names(), first.last_evaluated_table_name()), (&["aaa".to_owned()][..], Some("aaa")));
    let rest = db.list_tables().exclusive_start_table_name("aaa").send().await.unwrap();
    assert_eq!((rest.table_names(), rest.last_evaluated_table_name()), (&[TABLE.to_owned()][..], None));

    db.delete_table().table_name("aaa").send().await.unwrap();
    assert_eq!(refusal(db.describe_table().table_name("aaa").send().await).0, "ResourceNotFoundException");
    assert_eq!(refusal(db.delete_table().table_name("aaa").send().await).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_table_knows_its_time_to_live() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let status = async || {
        let described = db.describe_time_to_live().table_name(TABLE).send().await.unwrap();
        let described = described.time_to_live_description.unwrap();
        (described.time_to_live_status.unwrap(), described.attribute_name)
    };
    assert_eq!(status().await, (TimeToLiveStatus::Disabled, None));
    let enable = || {
        let how = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(true).build().unwrap();
        db.update_time_to_live().table_name(TABLE).time_to_live_specification(how).send()
    };
    enable().await.unwrap();
    assert_eq!(status().await, (TimeToLiveStatus::Enabled, Some("expires_at".to_owned())));
    assert_invalid(enable().await, "already enabled");
}

#[tokio::test]
async fn every_kind_of_value_comes_back() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let mut item = map([
        ("sensor", text("ü")),
        ("at", number("-1.50")),
        ("bytes", B(Blob::new([0, 255]))),
        ("flag", Bool(false)),
        ("none", Null(true)),
        ("empty", text("")),
        ("texts", Ss(vec!["a".to_owned(), "b".to_owned()])),
        ("numbers", AttributeValue::Ns(vec!["1".to_owned(), "2.5".to_owned()])),
        ("blobs", AttributeValue::Bs(vec![Blob::new([0]), Blob::new([255])])),
        ("list", L(vec![number(1), L(vec![]), M(map([("deep", text("x"))]))])),
    ]);
    db.put_item().table_name(TABLE).set_item(Some(item.clone())).send().await.unwrap();
    let get = db.get_item().table_name(TABLE).key("sensor", text("ü")).key("at", number("-1.5"));
    let got = get.clone().send().await.unwrap().item.unwrap();
    item.insert("at".to_owned(), number("-1.5"));
    assert_eq!(got, item);
    let some = get.projection_expression("list[2].deep, #flag").expression_attribute_names("#flag", "flag");
    let some = some.send().await.unwrap().item.unwrap();
    assert_eq!(some, map([("flag", Bool(false)), ("list", L(vec![M(map([("deep", text("x"))]))]))]));
}

#[tokio::test]
async fn items_that_no_table_can_keep_are_refused() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let put = |item: HashMap<String, AttributeValue>| db.put_item().table_name(TABLE).set_item(Some(item)).send();
    let good = || map([("sensor", text("a")), ("at", number(1))]);
    let with = |name: &str, value| {
        let mut item = good();
        item.insert(name.to_owned(), value);
        item
    };
    assert_invalid(put(map([("sensor", text("a"))])).await, "Missing the key at in the item");
    assert_invalid(put(with("at", text("1"))).await, "Type mismatch for key at expected: N actual: S");
    assert_invalid(put(with("sensor", text(""))).await, "Key: sensor");
    assert_invalid(put(with("sensor", text(&"x".repeat(2049)))).await, "2048");
    assert_invalid(put(with("kind", number(1))).await, "Type mismatch for Index Key kind Expected: S Actual: N");
    assert_invalid(put(with("kind", text(""))).await, "IndexName: by-kind, IndexKey: kind");
    assert_invalid(put(with("note", text(&"x".repeat(400 << 10)))).await, "Item size has exceeded");
    assert_invalid(put(with("note", number("1e200"))).await, "overflow");
    assert_invalid(put(with("note", number("many"))).await, "numeric");
    assert_invalid(put(with("note", Ss(vec![]))).await, "set may not be empty");
    let deep = (0..33).fold(number(1), |inner, _| L(vec![inner]));
    assert_invalid(put(with("note", deep)).await, "Nesting");
    put(good()).await.unwrap();

    let get = |key| db.get_item().table_name(TABLE).set_key(Some(key)).send();
    assert_invalid(get(map([("sensor", text("a"))])).await, "does not match the schema");
    assert_invalid(get(with("note", text("a"))).await, "does not match the schema");
    assert_invalid(get(map([("sensor", text("")), ("at", number(1))])).await, "Key: sensor");
    let legacy = db.get_item().table_name(TABLE).set_key(Some(good())).attributes_to_get("at").send().await;
    assert_invalid(legacy, "AttributesToGet");
    let none = db.get_item().table_name("none").key("id", text("a")).send().await;
    assert_eq!(refusal(none).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn writes_return_what_was_asked_for() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let put = db.put_item().table_name(TABLE).item("sensor", text("a")).item("at", number(1));
    let put = put.return_values(ReturnValue::AllOld);
    assert_eq!(put.clone().item("count", number(1)).send().await.unwrap().attributes, None);
    let old = put.clone().item("count", number(2)).send().await.unwrap().attributes.unwrap();
    assert_eq!(old["count"], number(1));
    assert_invalid(put.clone().return_values(ReturnValue::AllNew).send().await, "Return values");

    let update = |expression: &str, what: ReturnValue| {
        let update = db.update_item().table_name(TABLE).key("sensor", text("a")).key("at", number(1));
        update
            .update_expression(expression)
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":one", number(1))
            .return_values(what)
            .send()
    };
    let changed = |count, more| {
        if more { map([("count", number(count)), ("more", number(1))]) } else { map([("count", number(count))]) }
    };
    let new = update("SET #count = #count + :one, more = :one", ReturnValue::UpdatedNew).await.unwrap();
    assert_eq!(new.attributes, Some(changed(3, true)));
    let old = update("ADD #count :one REMOVE more", ReturnValue::UpdatedOld).await.unwrap();
    assert_eq!(old.attributes, Some(changed(3, true)));
    let old = update("ADD #count :one", ReturnValue::AllOld).await.unwrap().attributes.unwrap();
    assert_eq!((old.len(), &old["count"]), (3, &number(4)));
    let new = update("ADD #count :one", ReturnValue::AllNew).await.unwrap().attributes.unwrap();
    assert_eq!((new.len(), &new["count"]), (3, &number(6)));
    assert_eq!(update("ADD #count :one", ReturnValue::None).await.unwrap().attributes, None);
    let key = db.update_item().table_name(TABLE).key("sensor", text("a")).key("at", number(1));
    let key = key.update_expression("SET sensor = :b").expression_attribute_values(":b", text("b"));
    assert_invalid(key.send().await, "Cannot update attribute sensor");

    let delete = db.delete_item().table_name(TABLE).key("sensor", text("a")).key("at", number(1));
    let delete = delete.return_values(ReturnValue::AllOld);
    assert_eq!(delete.clone().send().await.unwrap().attributes.unwrap()["count"], number(7));
    assert_eq!(delete.send().await.unwrap().attributes, None);
}

#[tokio::test]
async fn a_write_whose_condition_fails_changes_nothing_and_shows_why() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    put(&db, [("sensor", text("a")), ("at", number(1)), ("state", text("on"))]).await;
    let off = || {
        let update = db.update_item().table_name(TABLE).key("sensor", text("a")).key("at", number(1));
        update
            .update_expression("SET #state = :off")
            .condition_expression("#state = :on AND attribute_not_exists(broken)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":on", text("on"))
            .expression_attribute_values(":off", text("off"))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };
    off().await.unwrap();
    let error = off().await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(failed) = error
    else {
        panic!("{error}");
    };
    assert_eq!(failed.item().unwrap()["state"], text("off"));

    let delete = db.delete_item().table_name(TABLE).key("sensor", text("a")).key("at", number(1));
    let delete = delete.condition_expression("#state IN (:on, :broken)").expression_attribute_names("#state", "state");
    let delete = delete.expression_attribute_values(":on", text("on"));
    let failed = delete.clone().expression_attribute_values(":broken", text("broken")).send().await;
    assert_eq!(refusal(failed).0, "ConditionalCheckFailedException");
    assert_invalid(delete.send().await, "attribute value: :broken");
    let unused = db.put_item().table_name(TABLE).item("sensor", text("a")).item("at", number(1));
    let unused = unused.condition_expression("attribute_exists(sensor)").expression_attribute_names("#x", "x");
    assert_invalid(unused.send().await, "unused in expressions: keys: {#x}");
    let left = db.scan().table_name(TABLE).send().await.unwrap();
    assert_eq!(left.items(), [map([("sensor", text("a")), ("at", number(1)), ("state", text("off"))])]);
}

#[tokio::test]
async fn of_many_counters_at_once_none_is_lost() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let counters: Vec<_> = (0..20)
        .map(|_| {
            let count = db.update_item().table_name(TABLE).key("sensor", text("a")).key("at", number(1));
            let count = count.update_expression("ADD times :one").expression_attribute_values(":one", number(1));
            tokio::spawn(count.return_values(ReturnValue::UpdatedNew).send())
        })
        .collect();
    let mut seen = Vec::new();
    for counter in counters {
        let times = counter.await.unwrap().unwrap().attributes.unwrap()["times"].clone();
        seen.push(times.as_n().unwrap().parse::<u32>().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

/// The `at`s of what a query finds.
async fn found(query: QueryFluentBuilder) -> Vec<String> {
    let found = query.send().await.unwrap();
    assert_eq!(found.count() as usize, found.items().len());
    found.items().iter().map(|item| item["at"].as_n().unwrap().clone()).collect()
}

#[tokio::test]
async fn queries_find_a_part_of_a_partition_in_order() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    for at in [10, 9, -1, 100] {
        put(&db, [("sensor", text("a")), ("at", number(at)), ("even", Bool(at % 2 == 0))]).await;
        put(&db, [("sensor", text("b")), ("at", number(at))]).await;
    }
    let query = |condition: &str| {
        let query = db.query().table_name(TABLE).key_condition_expression(condition);
        let query = query.expression_attribute_values(":a", text("a"));
        query.set_expression_attribute_names(
            condition.contains('#').then(|| HashMap::from([("#at".into(), "at".into())])),
        )
    };
    let at = |condition: &str, value: i32| query(condition).expression_attribute_values(":at", number(value));
    assert_eq!(found(query("sensor = :a")).await, ["-1", "9", "10", "100"]);
    assert_eq!(found(query("sensor = :a").scan_index_forward(false)).await, ["100", "10", "9", "-1"]);
    assert_eq!(found(at("sensor = :a AND #at = :at", 9)).await, ["9"]);
    assert_eq!(found(at("sensor = :a AND #at < :at", 10)).await, ["-1", "9"]);
    assert_eq!(found(at("#at <= :at AND sensor = :a", 10)).await, ["-1", "9", "10"]);
    assert_eq!(found(at("(sensor = :a) AND (#at > :at)", 10)).await, ["100"]);
    assert_eq!(found(at("sensor = :a AND #at >= :at", 10).scan_index_forward(false)).await, ["100", "10"]);
    let between = at("sensor = :a AND #at BETWEEN :at AND :to", 9).expression_attribute_values(":to", number(10));
    assert_eq!(found(between).await, ["9", "10"]);

    let filtered =
        query("sensor = :a").filter_expression("even = :yes").expression_attribute_values(":yes", Bool(true));
    let filtered = filtered.limit(3).send().await.unwrap();
    assert_eq!((filtered.count(), filtered.scanned_count(), filtered.items().len()), (1, 3, 1));
    let counted = query("sensor = :a").select(Select::Count).send().await.unwrap();
    assert_eq!((counted.count(), counted.items), (4, None));
    let projected = query("sensor = :a").projection_expression("even").limit(1).send().await.unwrap();
    assert_eq!(projected.items(), [map([("even", Bool(false))])]);

    assert_invalid(
        at("#at = :at", 1).set_expression_attribute_values(Some(map([(":at", number(1))]))).send().await,
        "missed key schema element: sensor",
    );
    assert_invalid(query("sensor > :a").send().await, "not supported");
    assert_invalid(query("sensor = :a AND even = :a").send().await, "not supported");
    assert_invalid(query("sensor = :a AND #at = :a").send().await, "does not match schema type");
    assert_invalid(query("sensor = :a AND sensor = :a").send().await, "one condition per key");
    let filter =
        query("sensor = :a").filter_expression("attribute_exists(#at)").expression_attribute_names("#at", "at");
    assert_invalid(filter.send().await, "Primary key attribute: at");
    assert_invalid(query("sensor = :a").limit(0).send().await, "limit");
    assert_invalid(query("sensor = :a").index_name("none").send().await, "specified index: none");
    assert_invalid(db.query().table_name(TABLE).send().await, "KeyConditionExpression");
}

#[tokio::test]
async fn an_index_holds_the_items_that_have_its_keys() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    for (at, reading) in [(1, "30"), (2, "4"), (3, "4"), (4, "5.5")] {
        let item = [("sensor", text("a")), ("at", number(at)), ("kind", text("warm")), ("reading", number(reading))];
        put(&db, item).await;
    }
    put(&db, [("sensor", text("a")), ("at", number(5)), ("kind", text("warm"))]).await;
    put(
        &db,
        [
            ("sensor", text("a")),
            ("at", number(6)),
            ("place", B(Blob::new(b"roof"))),
            ("note", text("n")),
            ("x", number(1)),
        ],
    )
    .await;
    let by_kind = || {
        let query = db.query().table_name(TABLE).index_name("by-kind").key_condition_expression("kind = :kind");
        query.expression_attribute_values(":kind", text("warm"))
    };
    assert_eq!(found(by_kind()).await, ["2", "3", "4", "1"]);
    assert_eq!(found(by_kind().scan_index_forward(false)).await, ["1", "4", "3", "2"]);
    let few = by_kind().key_condition_expression("kind = :kind AND reading <= :most");
    assert_eq!(found(few.expression_attribute_values(":most", number("5.5"))).await, ["2", "3", "4"]);

    // A change moves it, or takes it out.
    let update = |at: i32, expression: &str| {
        let update = db.update_item().table_name(TABLE).key("sensor", text("a")).key("at", number(at));
        update.update_expression(expression)
    };
    update(2, "SET reading = :new").expression_attribute_values(":new", number(31)).send().await.unwrap();
    update(3, "REMOVE kind").send().await.unwrap();
    db.delete_item().table_name(TABLE).key("sensor", text("a")).key("at", number(4)).send().await.unwrap();
    assert_eq!(found(by_kind()).await, ["1", "2"]);
    let wrong = update(1, "SET kind = :new").expression_attribute_values(":new", number(1)).send().await;
    assert_invalid(wrong, "Type mismatch for Index Key kind");
    assert_eq!(found(by_kind()).await, ["1", "2"]);

    let keys = by_kind().limit(1).send().await.unwrap();
    let item = map([("sensor", text("a")), ("at", number(1)), ("kind", text("warm")), ("reading", number(30))]);
    assert_eq!(keys.items(), [item]);
    let by_place = db.query().table_name(TABLE).index_name("by-place").key_condition_expression("place = :place");
    let by_place = by_place.expression_attribute_values(":place", B(Blob::new(b"roof"))).send().await.unwrap();
    let included = [("sensor", text("a")), ("at", number(6)), ("place", B(Blob::new(b"roof"))), ("note", text("n"))];
    assert_eq!(by_place.items(), [map(included)]);

    assert_invalid(by_kind().consistent_read(true).send().await, "Consistent reads");
    assert_invalid(by_kind().select(Select::AllAttributes).send().await, "ALL_ATTRIBUTES");
    assert_invalid(by_kind().projection_expression("note").send().await, "does not project [note]");
}

#[tokio::test]
async fn pages_follow_one_another_without_gaps() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    // All have the same keys in the index.
    for at in 0..7 {
        for sensor in ["a", "b"] {
            let item = [("sensor", text(sensor)), ("at", number(at)), ("kind", text("warm")), ("reading", number(1))];
            put(&db, item).await;
        }
    }
    for (index, condition, count) in [(None, "sensor = :v", 7), (Some("by-kind"), "kind = :v", 14)] {
        for forward in [true, false] {
            let value = if index.is_some() { "warm" } else { "a" };
            let query = || {
                let query = db.query().table_name(TABLE).set_index_name(index.map(str::to_owned));
                let query = query.key_condition_expression(condition).scan_index_forward(forward);
                query.expression_attribute_values(":v", text(value))
            };
            let whole = query().send().await.unwrap();
            assert_eq!((whole.items().len(), whole.last_evaluated_key()), (count, None));
            let mut pages = query().limit(3).into_paginator().send();
            let mut items = Vec::new();
            while let Some(page) = pages.next().await {
                items.extend(page.unwrap().items.unwrap());
            }
            assert_eq!(items, whole.items.unwrap(), "{index:?} {forward}");
        }
    }
    let scanned = db.scan().table_name(TABLE).limit(4).into_paginator().items().send().collect::<Vec<_>>().await;
    assert_eq!(scanned.len(), 14);
    assert!(scanned.iter().all(Result::is_ok));
    let scan = db.scan().table_name(TABLE).filter_expression("#at = :at").expression_attribute_names("#at", "at");
    let scan = scan.expression_attribute_values(":at", number(3)).send().await.unwrap();
    assert_eq!((scan.count(), scan.scanned_count()), (2, 14));
    assert_eq!(db.scan().table_name(TABLE).index_name("by-place").send().await.unwrap().count(), 0);

    let query = db.query().table_name(TABLE).key_condition_expression("sensor = :v");
    let query = query.expression_attribute_values(":v", text("a"));
    let start = |sensor: &str| Some(map([("sensor", text(sensor)), ("at", number(99))]));
    assert_eq!(query.clone().set_exclusive_start_key(start("a")).send().await.unwrap().count(), 0);
    assert_invalid(query.clone().set_exclusive_start_key(start("b")).send().await, "outside query boundaries");
    assert_invalid(query.exclusive_start_key("sensor", text("a")).send().await, "starting key is invalid");

    // A page is a megabyte at most.
    for at in 100..104 {
        put(&db, [("sensor", text("large")), ("at", number(at)), ("note", text(&"x".repeat(399 << 10)))]).await;
    }
    let large = db.query().table_name(TABLE).key_condition_expression("sensor = :v");
    let large = large.expression_attribute_values(":v", text("large"));
    let first = large.clone().send().await.unwrap();
    assert_eq!((first.count(), &first.last_evaluated_key().unwrap()["at"]), (3, &number(102)));
    assert_eq!(large.set_exclusive_start_key(first.last_evaluated_key).send().await.unwrap().count(), 1);
}

#[tokio::test]
async fn batches_read_and_write_many_items() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let key = |at: i32| map([("sensor", text("a")), ("at", number(at))]);
    let write =
        |at| WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(key(at))).build().unwrap());
    let remove =
        |at| WriteRequest::builder().delete_request(DeleteRequest::builder().set_key(Some(key(at))).build().unwrap());
    let batch = |writes: Vec<WriteRequest>| db.batch_write_item().request_items(TABLE, writes).send();
    let written = batch((0..25).map(|at| write(at).build()).collect()).await.unwrap();
    assert_eq!(written.unprocessed_items().map(HashMap::len), Some(0));
    batch(vec![remove(0).build(), write(25).build()]).await.unwrap();
    assert_invalid(batch((0..26).map(|at| write(at).build()).collect()).await, "Too many items");
    assert_invalid(batch(vec![write(1).build(), remove(1).build()]).await, "duplicates");

    let get = |ats: Vec<i32>| {
        let keys = ats.into_iter().map(key).collect();
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        let keys = keys.projection_expression("#at").expression_attribute_names("#at", "at");
        db.batch_get_item().request_items(TABLE, keys.build().unwrap()).send()
    };
    let got = get(vec![0, 1, 25, 26]).await.unwrap();
    assert_eq!(got.responses().unwrap()[TABLE], [map([("at", number(1))]), map([("at", number(25))])]);
    assert_invalid(get(vec![1, 1]).await, "duplicates");
    assert_invalid(get((0..101).collect()).await, "Too many items");
}

#[tokio::test]
async fn what_is_not_offered_is_said() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = readings(&aws).await;
    let (code, message) = refusal(db.list_backups().send().await);
    assert_eq!(code, "UnknownOperationException");
    assert!(message.contains("ListBackups"), "{message}");
    assert_eq!(refusal(db.create_backup().table_name(TABLE).backup_name("b").send().await).0, code);
}
