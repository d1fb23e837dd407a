//! What is kept in a folder and is there again the next time.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use aws_sdk_s3::primitives::ByteStream;
use embedded_aws::{DataDirError, EmbeddedAws};
use tokio::net::TcpListener;

const KEY: &str = "images/original/a b+ü.jpg";

async fn start(folder: &Path) -> EmbeddedAws {
    EmbeddedAws::serve_in(TcpListener::bind("127.0.0.1:0").await.unwrap(), folder).await.unwrap()
}

struct Clients {
    s3: aws_sdk_s3::Client,
    dynamo_db: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
}

async fn clients(aws: &EmbeddedAws) -> Clients {
    let config = aws.sdk_config().await;
    Clients {
        s3: aws_sdk_s3::Client::new(&config),
        dynamo_db: aws_sdk_dynamodb::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

async fn create_table(dynamo_db: &aws_sdk_dynamodb::Client) {
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-state")
        .key_schema(key("state", KeyType::Hash))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build();
    dynamo_db
        .create_table()
        .table_name("records")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("id", ScalarAttributeType::S).unwrap())
        .attribute_definitions(attribute("state", ScalarAttributeType::S).unwrap())
        .key_schema(key("id", KeyType::Hash))
        .global_secondary_indexes(index.unwrap())
        .send()
        .await
        .unwrap();
}

/// Adds one to the record's count.
async fn count_up(dynamo_db: &aws_sdk_dynamodb::Client, id: &str) {
    let update = dynamo_db.update_item().table_name("records").key("id", text(id));
    let update = update
        .update_expression("ADD times :one")
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
    update.send().await.unwrap();
}

async fn times(dynamo_db: &aws_sdk_dynamodb::Client, id: &str) -> String {
    let got = dynamo_db.get_item().table_name("records").key("id", text(id)).send().await.unwrap();
    got.item().unwrap()["times"].as_n().unwrap().clone()
}

async fn bodies(sqs: &aws_sdk_sqs::Client) -> BTreeSet<String> {
    let url = sqs.get_queue_url().queue_name("jobs").send().await.unwrap().queue_url.unwrap();
    let got = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await.unwrap();
    got.messages().iter().map(|message| message.body().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_was_confirmed_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let aws = start(folder.path()).await;
    let Clients { s3, dynamo_db, sqs } = clients(&aws).await;
    s3.create_bucket().bucket("photos").send().await.unwrap();
    let body = ByteStream::from_static(b"a photo");
    s3.put_object().bucket("photos").key(KEY).content_type("image/jpeg").body(body).send().await.unwrap();
    create_table(&dynamo_db).await;
    let put = |id: &str, state: &str| {
        dynamo_db.put_item().table_name("records").item("id", text(id)).item("state", text(state))
    };
    put("one", "queued").send().await.unwrap();
    put("two", "done").send().await.unwrap();
    count_up(&dynamo_db, "one").await;
    let url = sqs.create_queue().queue_name("jobs").send().await.unwrap().queue_url.unwrap();
    for body in ["first", "second", "third"] {
        sqs.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }
    // One is in flight when the program dies, which is told by nothing.
    let received = sqs.receive_message().queue_url(&url).send().await.unwrap();
    assert_eq!(received.messages()[0].body(), Some("first"));
    drop(aws);

    // The next program reads snapshot and journal, the one after that the snapshot which the former wrote.
    for counted in ["1", "2"] {
        let aws = start(folder.path()).await;
        let Clients { s3, dynamo_db, sqs } = clients(&aws).await;
        let got = s3.get_object().bucket("photos").key(KEY).send().await.unwrap();
        assert_eq!(got.content_type(), Some("image/jpeg"));
        assert_eq!(got.body.collect().await.unwrap().to_vec(), b"a photo");
        assert_eq!(times(&dynamo_db, "one").await, counted);
        let queued = dynamo_db
            .query()
            .table_name("records")
            .index_name("by-state")
            .key_condition_expression("#state = :state")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":state", text("queued"))
            .send()
            .await
            .unwrap();
        assert_eq!(queued.items()[0]["id"], text("one"));
        assert_eq!(queued.items().len(), 1);
        assert_eq!(bodies(&sqs).await, ["first", "second", "third"].map(str::to_owned).into());
        count_up(&dynamo_db, "one").await;
        aws.stop().await;
    }
    let files = std::fs::read_dir(folder.path()).unwrap();
    let tables = files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("dynamodb-"));
    assert_eq!(tables.count(), 2, "only the last snapshot and its journal are kept");
}

#[tokio::test]
async fn a_deleted_message_stays_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let aws = start(folder.path()).await;
    let Clients { sqs, .. } = clients(&aws).await;
    let url = sqs.create_queue().queue_name("jobs").send().await.unwrap().queue_url.unwrap();
    for body in ["stays", "goes"] {
        sqs.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }
    let got = sqs.receive_message().queue_url(&url).max_number_of_messages(10).send().await.unwrap();
    let goes = got.messages().iter().find(|message| message.body() == Some("goes")).unwrap();
    sqs.delete_message().queue_url(&url).receipt_handle(goes.receipt_handle().unwrap()).send().await.unwrap();
    aws.stop().await;

    let aws = start(folder.path()).await;
    assert_eq!(bodies(&clients(&aws).await.sqs).await, BTreeSet::from(["stays".to_owned()]));
}

#[tokio::test]
async fn a_write_that_was_torn_never_happened() {
    let folder = tempfile::tempdir().unwrap();
    let aws = start(folder.path()).await;
    let Clients { dynamo_db, .. } = clients(&aws).await;
    create_table(&dynamo_db).await;
    count_up(&dynamo_db, "one").await;
    drop(aws);
    let mut journal = std::fs::OpenOptions::new().append(true).open(folder.path().join("dynamodb-1.jsonl")).unwrap();
    // Within a letter of two bytes.
    journal.write_all(b"{\"operation\":\"PutItem\",\"body\":\"Zo\xc3").unwrap();

    let aws = start(folder.path()).await;
    let Clients { dynamo_db, .. } = clients(&aws).await;
    assert_eq!(times(&dynamo_db, "one").await, "1");
    count_up(&dynamo_db, "one").await;
    drop(aws);
    assert_eq!(times(&clients(&start(folder.path()).await).await.dynamo_db, "one").await, "2");
}

#[tokio::test]
async fn two_programs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = start(folder.path()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = EmbeddedAws::serve_in(listener, folder.path()).await.unwrap_err();
    assert!(matches!(error, DataDirError::InUse(_)), "{error}");
}

/// What the embedded AWS wrote when `winterbaume-dynamodb` was its DynamoDB.
#[tokio::test]
async fn tables_of_earlier_versions_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dynamodb-2.json"), include_bytes!("data_dir/dynamodb-of-winterbaume.json"))
        .unwrap();
    let write = serde_json::json!({
        "TableName": "readings",
        "Item": { "sensor": { "B": "AAE=" }, "at": { "N": "11" }, "kind": { "S": "warm" } },
    });
    let write = serde_json::json!({ "operation": "PutItem", "body": write.to_string() });
    std::fs::write(folder.path().join("dynamodb-2.jsonl"), format!("{write}\n")).unwrap();

    // First from what the earlier version wrote, then from what this one makes of it.
    for _ in 0..2 {
        let aws = start(folder.path()).await;
        let Clients { dynamo_db, .. } = clients(&aws).await;
        let tables = dynamo_db.list_tables().send().await.unwrap();
        assert_eq!(tables.table_names(), ["polybot-predictions", "readings", "records"]);
        let ttl = dynamo_db.describe_time_to_live().table_name("records").send().await.unwrap();
        assert_eq!(ttl.time_to_live_description().unwrap().attribute_name(), Some("expires_at"));

        let told = dynamo_db.get_item().table_name("records").key("prediction_id", text("told")).send().await.unwrap();
        let told = told.item.unwrap();
        assert_eq!(told["dead_letter"], AttributeValue::Bool(true));
        assert_eq!(told["none"], AttributeValue::Null(true));
        assert_eq!(told["texts"], AttributeValue::Ss(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(told["bytes"].as_b().unwrap().as_ref(), [0, 1, 2, 255]);
        let queued = dynamo_db
            .query()
            .table_name("records")
            .index_name("undelivered-index")
            .key_condition_expression("undelivered = :queued")
            .expression_attribute_values(":queued", text("queued"))
            .send()
            .await
            .unwrap();
        let queued: Vec<_> = queued.items().iter().map(|item| item["prediction_id"].clone()).collect();
        assert_eq!(queued, [text("two"), text("one")]);

        let warm = dynamo_db.scan().table_name("readings").index_name("by-kind").send().await.unwrap();
        let warm: Vec<_> = warm.items().iter().map(|item| (item["at"].clone(), item.get("value").cloned())).collect();
        let number = |value: &str| AttributeValue::N(value.to_owned());
        assert_eq!(warm, [(number("10"), Some(number("20.5"))), (number("11"), None)]);
        let all = dynamo_db.scan().table_name("readings").send().await.unwrap();
        let order: Vec<_> = all.items().iter().map(|item| item["at"].clone()).collect();
        assert_eq!(order, [number("9"), number("10"), number("11")]);
        aws.stop().await;
    }
}
