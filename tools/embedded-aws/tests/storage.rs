//! S3, DynamoDB and Secrets Manager through the SDK's clients: the calls the fleet makes.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ReturnValue, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_s3::primitives::ByteStream;
use embedded_aws::EmbeddedAws;

#[tokio::test]
async fn objects_are_put_and_read_back() {
    let aws = EmbeddedAws::start().await.unwrap();
    let s3 = aws_sdk_s3::Client::new(&aws.sdk_config().await);
    s3.create_bucket().bucket("photos").send().await.unwrap();
    let key = "images/original/a b+c.jpg";
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    s3.put_object()
        .bucket("photos")
        .key(key)
        .content_type("image/jpeg")
        .body(ByteStream::from(body.clone()))
        .send()
        .await
        .unwrap();
    let got = s3.get_object().bucket("photos").key(key).send().await.unwrap();
    assert_eq!(got.content_type(), Some("image/jpeg"));
    assert_eq!(got.body.collect().await.unwrap().to_vec(), body);
    let head = s3.head_object().bucket("photos").key(key).send().await.unwrap();
    assert_eq!(head.content_length(), Some(3_000_000));
    let listed = s3.list_objects_v2().bucket("photos").prefix("images/").send().await.unwrap();
    assert_eq!(listed.contents()[0].key(), Some(key));

    let e = s3.get_object().bucket("photos").key("none").send().await.unwrap_err();
    assert!(e.into_service_error().is_no_such_key());
    let e = s3.head_object().bucket("photos").key("none").send().await.unwrap_err();
    assert!(e.into_service_error().is_not_found());
    let e = s3.put_object().bucket("none").key("k").body(ByteStream::from_static(b"x")).send().await.unwrap_err();
    assert_eq!(aws_sdk_s3::error::ProvideErrorMetadata::code(&e), Some("NoSuchBucket"));
    s3.delete_object().bucket("photos").key(key).send().await.unwrap();
    assert!(s3.get_object().bucket("photos").key(key).send().await.is_err());
}

#[tokio::test]
async fn lists_come_in_pages_and_in_order() {
    let aws = EmbeddedAws::start().await.unwrap();
    let s3 = aws_sdk_s3::Client::new(&aws.sdk_config().await);
    s3.create_bucket().bucket("photos").send().await.unwrap();
    // In this region, a second CreateBucket by the bucket's owner succeeds.
    s3.create_bucket().bucket("photos").send().await.unwrap();
    let keys = ["images/1", "images/2 <&>", "images/3", "images/ü", "other"];
    for key in keys {
        let put = s3.put_object().bucket("photos").key(key).metadata("about", "a photo");
        put.body(ByteStream::from_static(b"1234")).send().await.unwrap();
    }
    let head = s3.head_object().bucket("photos").key("images/ü").send().await.unwrap();
    assert_eq!(head.metadata().unwrap()["about"], "a photo");
    let mut pages = s3.list_objects_v2().bucket("photos").prefix("images/").max_keys(2).into_paginator().send();
    let (mut listed, mut sizes) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        sizes.push(page.contents().len());
        listed.extend(page.contents().iter().map(|object| (object.key().unwrap().to_owned(), object.size().unwrap())));
    }
    assert_eq!(sizes, [2, 2]);
    assert_eq!(listed, keys[..4].iter().map(|key| ((*key).to_owned(), 4)).collect::<Vec<_>>());
    let refused = s3.delete_bucket().bucket("photos").send().await.unwrap_err();
    assert_eq!(aws_sdk_s3::error::ProvideErrorMetadata::code(&refused), Some("BucketNotEmpty"));
}

#[tokio::test]
async fn a_body_from_a_file_comes_with_its_checksum_behind_it() {
    let aws = EmbeddedAws::start().await.unwrap();
    let s3 = aws_sdk_s3::Client::new(&aws.sdk_config().await);
    s3.create_bucket().bucket("photos").send().await.unwrap();
    // A stream is sent as aws-chunked, checksum last.
    let body = ByteStream::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqs.rs")).await.unwrap();
    s3.put_object().bucket("photos").key("k").body(body).send().await.unwrap();
    let got = s3.get_object().bucket("photos").key("k").send().await.unwrap();
    assert_eq!(got.content_encoding().unwrap_or_default(), "");
    assert_eq!(got.body.collect().await.unwrap().to_vec(), include_bytes!("../src/sqs.rs"));
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

async fn predictions(aws: &EmbeddedAws) -> aws_sdk_dynamodb::Client {
    let db = aws_sdk_dynamodb::Client::new(&aws.sdk_config().await);
    let attribute =
        |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap();
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let index = GlobalSecondaryIndex::builder()
        .index_name("undelivered")
        .key_schema(key("undelivered", KeyType::Hash))
        .key_schema(key("time", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    db.create_table()
        .table_name("predictions")
        .attribute_definitions(attribute("prediction_id", ScalarAttributeType::S))
        .attribute_definitions(attribute("undelivered", ScalarAttributeType::S))
        .attribute_definitions(attribute("time", ScalarAttributeType::N))
        .key_schema(key("prediction_id", KeyType::Hash))
        .global_secondary_indexes(index)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    db.update_time_to_live()
        .table_name("predictions")
        .time_to_live_specification(
            TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(true).build().unwrap(),
        )
        .send()
        .await
        .unwrap();
    db
}

async fn undelivered(db: &aws_sdk_dynamodb::Client) -> Vec<String> {
    let found = db
        .query()
        .table_name("predictions")
        .index_name("undelivered")
        .key_condition_expression("undelivered = :yes AND #time < :now")
        .expression_attribute_names("#time", "time")
        .expression_attribute_values(":yes", text("y"))
        .expression_attribute_values(":now", AttributeValue::N("100".to_owned()))
        .send()
        .await
        .unwrap();
    found.items().iter().map(|item| item["prediction_id"].as_s().unwrap().clone()).collect()
}

#[tokio::test]
async fn records_are_written_on_conditions_and_leave_the_sparse_index() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = predictions(&aws).await;
    let put = |id: &str, time: &str| {
        db.put_item()
            .table_name("predictions")
            .item("prediction_id", text(id))
            .item("undelivered", text("y"))
            .item("time", AttributeValue::N(time.to_owned()))
            .condition_expression("attribute_not_exists(prediction_id)")
    };
    put("b", "2").send().await.unwrap();
    put("a", "1").send().await.unwrap();
    put("late", "500").send().await.unwrap();
    let e = put("a", "1").send().await.unwrap_err();
    assert!(e.into_service_error().is_conditional_check_failed_exception());
    assert_eq!(undelivered(&db).await, ["a", "b"]);

    let deliver = || {
        db.update_item()
            .table_name("predictions")
            .key("prediction_id", text("a"))
            .update_expression("SET delivered_at = :now, tries = if_not_exists(tries, :zero) + :one REMOVE undelivered")
            .condition_expression("attribute_exists(prediction_id) AND attribute_not_exists(delivered_at)")
            .expression_attribute_values(":now", AttributeValue::N("3".to_owned()))
            .expression_attribute_values(":zero", AttributeValue::N("0".to_owned()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .return_values(ReturnValue::AllNew)
    };
    let new = deliver().send().await.unwrap().attributes.unwrap();
    assert_eq!(new["tries"], AttributeValue::N("1".to_owned()));
    assert!(!new.contains_key("undelivered"));
    assert!(deliver().send().await.unwrap_err().into_service_error().is_conditional_check_failed_exception());
    assert_eq!(undelivered(&db).await, ["b"]);

    let get = |id: &str| db.get_item().table_name("predictions").key("prediction_id", text(id)).consistent_read(true);
    let item = get("a").send().await.unwrap().item.unwrap();
    assert_eq!(item["delivered_at"], AttributeValue::N("3".to_owned()));
    db.delete_item().table_name("predictions").key("prediction_id", text("a")).send().await.unwrap();
    assert_eq!(get("a").send().await.unwrap().item, None);
    let e = db.get_item().table_name("none").key("k", text("a")).send().await.unwrap_err();
    assert!(e.into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn of_many_conditional_writes_at_once_one_wins() {
    let aws = EmbeddedAws::start().await.unwrap();
    let db = predictions(&aws).await;
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let put = db.put_item().table_name("predictions");
            let put = put.set_item(Some(HashMap::from([("prediction_id".to_owned(), text("one"))])));
            tokio::spawn(put.condition_expression("attribute_not_exists(prediction_id)").send())
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        won += usize::from(writer.await.unwrap().is_ok());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_secret_is_kept_and_read() {
    let aws = EmbeddedAws::start().await.unwrap();
    let secrets = aws_sdk_secretsmanager::Client::new(&aws.sdk_config().await);
    secrets.create_secret().name("polybot/telegram").secret_string("123:abc").send().await.unwrap();
    let got = secrets.get_secret_value().secret_id("polybot/telegram").send().await.unwrap();
    assert_eq!(got.secret_string(), Some("123:abc"));
    let e = secrets.get_secret_value().secret_id("none").send().await.unwrap_err();
    assert!(e.into_service_error().is_resource_not_found_exception());

    let create = |name: &str| secrets.create_secret().name(name);
    let e = create("polybot/telegram").secret_string("other").send().await.unwrap_err();
    assert!(e.into_service_error().is_resource_exists_exception());
    let e = create("polybot/empty").send().await.unwrap_err();
    assert!(e.into_service_error().is_invalid_request_exception());

    // A new value, and the one before it, by the ARN.
    let arn = got.arn().unwrap();
    let put = secrets.put_secret_value().secret_id(arn).secret_string("456:def").send().await.unwrap();
    let get = |id: &str| secrets.get_secret_value().secret_id(id);
    let current = get("polybot/telegram").send().await.unwrap();
    assert_eq!((current.secret_string(), current.version_id()), (Some("456:def"), put.version_id()));
    let previous = get(arn).version_stage("AWSPREVIOUS").send().await.unwrap();
    assert_eq!((previous.secret_string(), previous.version_id()), (Some("123:abc"), got.version_id()));
    let same = get(arn).version_id(got.version_id().unwrap()).send().await.unwrap();
    assert_eq!(same.version_stages(), ["AWSPREVIOUS"]);
    let e = get(arn).version_id("none").send().await.unwrap_err();
    assert!(e.into_service_error().is_resource_not_found_exception());

    let bytes = aws_sdk_secretsmanager::primitives::Blob::new([0, 255]);
    create("polybot/bytes").description("two bytes").secret_binary(bytes.clone()).send().await.unwrap();
    assert_eq!(get("polybot/bytes").send().await.unwrap().secret_binary(), Some(&bytes));
    let described = secrets.describe_secret().secret_id("polybot/bytes").send().await.unwrap();
    assert_eq!(described.description(), Some("two bytes"));
    assert!(described.created_date().is_some());
    assert_eq!(described.version_ids_to_stages().unwrap().len(), 1);
    let listed = async || {
        let listed = secrets.list_secrets().send().await.unwrap().secret_list.unwrap();
        listed.into_iter().map(|secret| secret.name.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["polybot/bytes", "polybot/telegram"]);

    secrets.delete_secret().secret_id(arn).send().await.unwrap();
    let e = get("polybot/telegram").send().await.unwrap_err();
    assert!(e.into_service_error().is_invalid_request_exception());
    let e = create("polybot/telegram").secret_string("new").send().await.unwrap_err();
    assert!(e.into_service_error().is_invalid_request_exception());
    assert_eq!(listed().await, ["polybot/bytes"]);
    secrets.delete_secret().secret_id(arn).force_delete_without_recovery(true).send().await.unwrap();
    create("polybot/telegram").secret_string("new").send().await.unwrap();
    let e = secrets.delete_secret().secret_id(arn).send().await.unwrap_err();
    assert!(e.into_service_error().is_resource_not_found_exception());
}
