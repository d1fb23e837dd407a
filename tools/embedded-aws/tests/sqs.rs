//! SQS through the SDK's client: what the fleet's queue rests on.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use embedded_aws::{Action, EmbeddedAws, Fault, Service};

async fn start() -> (EmbeddedAws, Client) {
    let aws = EmbeddedAws::start().await.unwrap();
    let client = Client::new(&aws.sdk_config().await);
    (aws, client)
}

async fn queue(sqs: &Client, name: &str) -> String {
    sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

async fn receive(sqs: &Client, url: &str, visibility: i32, wait: i32) -> Vec<Message> {
    sqs.receive_message()
        .queue_url(url)
        .max_number_of_messages(10)
        .visibility_timeout(visibility)
        .wait_time_seconds(wait)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap()
        .messages
        .unwrap_or_default()
}

/// Visible, in flight, delayed.
async fn counts(sqs: &Client, url: &str) -> [u32; 3] {
    use QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
        ApproximateNumberOfMessagesNotVisible as InFlight,
    };
    let names = [Visible, InFlight, Delayed];
    let got = sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec())).send().await.unwrap();
    let attributes = got.attributes.unwrap();
    assert_eq!(attributes.len(), 3);
    names.map(|name| attributes[&name].parse().unwrap())
}

fn attribute(message: &Message, name: MessageSystemAttributeName) -> &str {
    &message.attributes.as_ref().unwrap()[&name]
}

#[tokio::test]
async fn a_message_is_sent_received_and_deleted() {
    let (aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    assert_eq!(url, format!("{}/{}/jobs", aws.endpoint(), embedded_aws::ACCOUNT));
    assert_eq!(sqs.get_queue_url().queue_name("jobs").send().await.unwrap().queue_url(), Some(url.as_str()));
    let body = "{\"text\": \"ümläut & <xml>\"}";
    let value = MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
    let sent =
        sqs.send_message().queue_url(&url).message_body(body).message_attributes("k", value).send().await.unwrap();
    assert_eq!(counts(&sqs, &url).await, [1, 0, 0]);
    let got = receive(&sqs, &url, 30, 0).await;
    assert_eq!(got[0].body(), Some(body));
    assert_eq!(got[0].message_id(), sent.message_id());
    assert_eq!(got[0].md5_of_body(), sent.md5_of_message_body());
    assert_eq!(got[0].md5_of_message_attributes(), sent.md5_of_message_attributes());
    assert_eq!(got[0].message_attributes().unwrap()["k"].string_value(), Some("v"));
    assert_eq!(attribute(&got[0], MessageSystemAttributeName::ApproximateReceiveCount), "1");
    let sent_at: u64 = attribute(&got[0], MessageSystemAttributeName::SentTimestamp).parse().unwrap();
    let first: u64 = attribute(&got[0], MessageSystemAttributeName::ApproximateFirstReceiveTimestamp).parse().unwrap();
    assert!(sent_at <= first && first - sent_at < 60_000);
    assert_eq!(counts(&sqs, &url).await, [0, 1, 0]);
    sqs.delete_message().queue_url(&url).receipt_handle(got[0].receipt_handle().unwrap()).send().await.unwrap();
    assert_eq!(counts(&sqs, &url).await, [0, 0, 0]);
    assert_eq!(aws.calls().count(Service::Sqs, "SendMessage"), 1);
    aws.stop().await;
}

#[tokio::test]
async fn a_visibility_that_ran_out_is_counted_and_wakes_a_long_poll() {
    let (_aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    sqs.send_message().queue_url(&url).message_body("a").send().await.unwrap();
    let begun = Instant::now();
    let first = receive(&sqs, &url, 1, 0).await;
    let again = receive(&sqs, &url, 1, 20).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(990) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(attribute(&again[0], MessageSystemAttributeName::ApproximateReceiveCount), "2");

    // The first receipt no longer speaks for the message.
    let old = first[0].receipt_handle().unwrap();
    let refused =
        sqs.change_message_visibility().queue_url(&url).receipt_handle(old).visibility_timeout(40).send().await;
    assert!(refused.unwrap_err().into_service_error().is_message_not_inflight());
    sqs.delete_message().queue_url(&url).receipt_handle(old).send().await.unwrap();
    // The visibility timeout that would bring a message back.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(counts(&sqs, &url).await, [1, 0, 0]);
}

#[tokio::test]
async fn a_long_poll_wakes_for_what_is_sent_released_or_no_longer_delayed() {
    let (aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    let begun = Instant::now();
    let poll = || {
        let (sqs, url) = (sqs.clone(), url.clone());
        tokio::spawn(async move { receive(&sqs, &url, 30, 20).await })
    };
    let waiting = poll();
    aws.calls().at_least(Service::Sqs, "ReceiveMessage", 1).await;
    sqs.send_message().queue_url(&url).message_body("a").send().await.unwrap();
    let got = waiting.await.unwrap();
    let waiting = poll();
    aws.calls().at_least(Service::Sqs, "ReceiveMessage", 2).await;
    let handle = got[0].receipt_handle().unwrap();
    sqs.change_message_visibility().queue_url(&url).receipt_handle(handle).visibility_timeout(0).send().await.unwrap();
    assert_eq!(waiting.await.unwrap().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5));

    let begun = Instant::now();
    let waiting = poll();
    sqs.send_message().queue_url(&url).message_body("b").delay_seconds(1).send().await.unwrap();
    assert_eq!(counts(&sqs, &url).await, [0, 1, 1]);
    assert_eq!(waiting.await.unwrap()[0].body(), Some("b"));
    assert!(begun.elapsed() >= Duration::from_millis(990) && begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn batches_tell_each_entry_its_fate() {
    let (_aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    let entries = ["a", "b", "c"]
        .map(|id| SendMessageBatchRequestEntry::builder().id(id).message_body(id).build().unwrap())
        .to_vec();
    let sent = sqs.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await.unwrap();
    assert_eq!((sent.successful.len(), sent.failed.len()), (3, 0));
    let got = receive(&sqs, &url, 30, 0).await;
    let handle = |n: usize| got[n].receipt_handle().unwrap();
    let hidden = sqs
        .change_message_visibility_batch()
        .queue_url(&url)
        .entries(
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id("a")
                .receipt_handle(handle(0))
                .visibility_timeout(0)
                .build()
                .unwrap(),
        )
        .entries(
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id("x")
                .receipt_handle("nonsense")
                .visibility_timeout(60)
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(hidden.successful[0].id, "a");
    assert_eq!((hidden.failed[0].id.as_str(), hidden.failed[0].code.as_str()), ("x", "ReceiptHandleIsInvalid"));
    let entries = [1, 2].map(|n| {
        DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(handle(n)).build().unwrap()
    });
    let deleted = sqs.delete_message_batch().queue_url(&url).set_entries(Some(entries.to_vec())).send().await.unwrap();
    assert_eq!((deleted.successful.len(), deleted.failed.len()), (2, 0));
    assert_eq!(counts(&sqs, &url).await, [1, 0, 0]);
    sqs.purge_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(counts(&sqs, &url).await, [0, 0, 0]);
    let none = sqs.send_message_batch().queue_url(&url).set_entries(Some(vec![])).send().await;
    assert!(none.unwrap_err().into_service_error().is_empty_batch_request());
}

#[tokio::test]
async fn what_keeps_failing_is_given_up_and_can_be_moved_back() {
    let (_aws, sqs) = start().await;
    let dead_letters = queue(&sqs, "dead-letters").await;
    let arn = |name: &str| format!("arn:aws:sqs:us-east-1:{}:{name}", embedded_aws::ACCOUNT);
    let policy = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":\"2\"}}", arn("dead-letters"));
    let url = sqs
        .create_queue()
        .queue_name("jobs")
        .attributes(QueueAttributeName::RedrivePolicy, &policy)
        .attributes(QueueAttributeName::VisibilityTimeout, "60")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let all = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All).send().await.unwrap();
    let all = all.attributes.unwrap();
    assert_eq!(all[&QueueAttributeName::RedrivePolicy], policy);
    assert_eq!(all[&QueueAttributeName::VisibilityTimeout], "60");
    assert_eq!(all[&QueueAttributeName::QueueArn], arn("jobs"));
    let value = MessageAttributeValue::builder().data_type("Number").string_value("7").build().unwrap();
    sqs.send_message().queue_url(&url).message_body("poison").message_attributes("n", value).send().await.unwrap();
    for _ in 0..2 {
        let got = receive(&sqs, &url, 0, 0).await;
        assert_eq!(got.len(), 1);
    }
    let waiting = tokio::spawn({
        let (sqs, url) = (sqs.clone(), dead_letters.clone());
        async move { receive(&sqs, &url, 0, 20).await }
    });
    assert!(receive(&sqs, &url, 0, 0).await.is_empty());
    let dead = waiting.await.unwrap();
    assert_eq!(dead[0].body(), Some("poison"));
    assert_eq!(dead[0].message_attributes().unwrap()["n"].string_value(), Some("7"));
    assert_eq!(attribute(&dead[0], MessageSystemAttributeName::DeadLetterQueueSourceArn), arn("jobs"));
    assert_eq!(counts(&sqs, &url).await, [0, 0, 0]);

    sqs.start_message_move_task().source_arn(arn("dead-letters")).send().await.unwrap();
    let tasks = sqs.list_message_move_tasks().source_arn(arn("dead-letters")).send().await.unwrap();
    let task = &tasks.results()[0];
    assert_eq!((task.status(), task.approximate_number_of_messages_moved()), (Some("COMPLETED"), 1));
    assert_eq!(counts(&sqs, &dead_letters).await, [0, 0, 0]);
    let back = receive(&sqs, &url, 30, 0).await;
    assert_eq!(back[0].body(), Some("poison"));
    assert_eq!(attribute(&back[0], MessageSystemAttributeName::ApproximateReceiveCount), "1");
    let refused = sqs.start_message_move_task().source_arn(arn("jobs")).send().await;
    assert!(refused.unwrap_err().into_service_error().is_unsupported_operation());
}

#[tokio::test]
async fn errors_are_those_that_the_sdk_knows() {
    let (aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    let nowhere = format!("{}/1/nowhere", aws.endpoint());
    let e = sqs.send_message().queue_url(&nowhere).message_body("x").send().await.unwrap_err();
    assert!(e.into_service_error().is_queue_does_not_exist());
    let e = sqs.get_queue_url().queue_name("nowhere").send().await.unwrap_err();
    assert!(e.into_service_error().is_queue_does_not_exist());
    let e = sqs.delete_message().queue_url(&url).receipt_handle("nonsense").send().await.unwrap_err();
    assert!(e.into_service_error().is_receipt_handle_is_invalid());
    let e = sqs.create_queue().queue_name("jobs").attributes(QueueAttributeName::VisibilityTimeout, "7").send().await;
    assert!(e.unwrap_err().into_service_error().is_queue_name_exists());
    let e = sqs.list_queue_tags().queue_url(&url).send().await.unwrap_err();
    assert_eq!(e.code(), Some("UnknownOperationException"));
    sqs.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    let got = receive(&sqs, &url, 30, 0).await;
    let handle = got[0].receipt_handle().unwrap();
    sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
    let e = sqs.change_message_visibility().queue_url(&url).receipt_handle(handle).visibility_timeout(9).send().await;
    assert_eq!(e.unwrap_err().code(), Some("InvalidParameterValue"));
}

#[tokio::test]
async fn a_duplicate_is_delivered_again_right_away_and_once() {
    let (aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    let rule = aws.faults().add(Fault::new(Action::Duplicate).on(Service::Sqs));
    sqs.send_message().queue_url(&url).message_body("a").send().await.unwrap();
    let first = receive(&sqs, &url, 30, 0).await;
    sqs.delete_message().queue_url(&url).receipt_handle(first[0].receipt_handle().unwrap()).send().await.unwrap();
    let second = receive(&sqs, &url, 30, 0).await;
    assert_eq!(second[0].message_id(), first[0].message_id());
    assert_ne!(second[0].receipt_handle(), first[0].receipt_handle());
    assert!(receive(&sqs, &url, 30, 0).await.is_empty());
    assert_eq!(rule.fired(), 1);
}

#[tokio::test]
async fn ten_thousand_messages_pass_in_seconds() {
    let (_aws, sqs) = start().await;
    let url = queue(&sqs, "jobs").await;
    let begun = Instant::now();
    let senders = (0..4).map(|_| {
        let (sqs, url) = (sqs.clone(), url.clone());
        tokio::spawn(async move {
            for _ in 0..250 {
                let entries = (0..10).map(|id| {
                    SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body("x").build().unwrap()
                });
                sqs.send_message_batch().queue_url(&url).set_entries(Some(entries.collect())).send().await.unwrap();
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    assert_eq!(counts(&sqs, &url).await, [10_000, 0, 0]);
    let mut left = 10_000;
    while left > 0 {
        let got = receive(&sqs, &url, 300, 0).await;
        left -= got.len();
        let entries = got.iter().enumerate().map(|(id, message)| {
            let handle = message.receipt_handle().unwrap();
            DeleteMessageBatchRequestEntry::builder().id(id.to_string()).receipt_handle(handle).build().unwrap()
        });
        sqs.delete_message_batch().queue_url(&url).set_entries(Some(entries.collect())).send().await.unwrap();
    }
    assert_eq!(counts(&sqs, &url).await, [0, 0, 0]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
