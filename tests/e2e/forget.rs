//! `/forget` while a worker has the photo: nothing of it comes back.

use embedded_aws::Service;
use local::{LocalFleet, Options};
use telegram_sandbox::User;

use crate::support::{answer, photo, stack, stand_in};

/// What is in the bucket.
async fn stored(stack: &LocalFleet) -> Vec<String> {
    let s3 = aws_sdk_s3::Client::new(&stack.config);
    let listed = s3.list_objects_v2().bucket(&stack.resources.bucket).send().await.expect("a list");
    listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
}

async fn forget(stack: &LocalFleet, user: &User) -> String {
    let asked = user.post_text("/forget");
    answer(stack, user, asked).await.words().to_owned()
}

/// The table's records that have something of a person in them.
async fn records(stack: &LocalFleet) -> usize {
    let dynamodb = aws_sdk_dynamodb::Client::new(&stack.config);
    let scan = dynamodb.scan().table_name(&stack.resources.table).filter_expression("attribute_exists(asker)");
    scan.send().await.expect("a scan").items().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_a_worker_is_looking_at_leaves_nothing() {
    // The worker looks at it for so long.
    let stack = stack(Options { model: "stand-in:3000".into(), ..stand_in() }).await;
    let user = stack.telegram.user("Ann");
    user.post_photo(photo("chelsea.png"), None);
    stack.aws.calls().at_least(Service::S3, "GetObject", 1).await;
    let said = forget(&stack, &user).await;
    assert_eq!(said, polybot::reply::forgotten(false));
    // The worker has come to its end with it.
    stack.aws.calls().at_least(Service::Sqs, "DeleteMessage", 1).await;
    assert_eq!(stored(&stack).await, Vec::<String>::new());
    assert_eq!(records(&stack).await, 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_left_when_it_died_goes_with_the_next() {
    let mut stack = stack(Options { workers: 0, ..stand_in() }).await;
    let user = stack.telegram.user("Ann");
    let message_id = user.post_photo(photo("chelsea.png"), None);
    stack.aws.calls().at_least(Service::Sqs, "SendMessage", 1).await;
    let original = stored(&stack).await.pop().expect("the photo");
    let name = original.rsplit('/').next().and_then(|name| name.split('.').next()).expect("its id");
    let said = forget(&stack, &user).await;
    assert_eq!(said, polybot::reply::forgotten(false));
    // As a worker that was killed between its result and its record.
    let result = fleet::images::predicted_key(uuid::Uuid::parse_str(name).expect("a prediction"));
    let images = fleet::ImageStore::new(aws_sdk_s3::Client::new(&stack.config), &stack.resources.bucket);
    images.put(&result, photo("chelsea.png").into(), "image/jpeg").await.expect("stored");
    stack.add_worker().await.expect("a worker");
    stack.aws.calls().at_least(Service::Sqs, "DeleteMessage", 1).await;
    assert_eq!(stored(&stack).await, Vec::<String>::new());
    assert_eq!(records(&stack).await, 0);
    let answers = stack.telegram.replies_to(user.chat_id(), message_id);
    assert!(answers.iter().all(|message| message.words() == polybot::reply::BEING_PROCESSED), "{answers:?}");
    stack.stop().await;
}
