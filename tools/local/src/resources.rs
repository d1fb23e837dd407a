//! What the services find in AWS: made in the embedded one as `infra/` makes it in the real one.

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{AttributeValue, TimeToLiveSpecification};
use aws_sdk_sqs::types::QueueAttributeName;
use embedded_aws::redrive_policy;
use fleet::Prediction;

/// The names of what was made.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The bucket of the photos.
    pub bucket: String,
    /// The queue of the jobs.
    pub queue_url: String,
    /// The queue of the jobs that failed too often.
    pub dead_letter_queue_url: String,
    /// The table of the predictions.
    pub table: String,
    /// The workers' Auto Scaling group.
    pub group: String,
    /// The secret with the bot's token, where that is the sandbox's: a real one is nowhere but in polybot's environment.
    pub secret: String,
}

/// How many workers the group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupSize {
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) desired: i32,
    /// Whether a worker that is to end is held until it has finished what it does.
    pub(crate) drains: bool,
}

const DEAD_LETTERS: &str = "polybot-dead-letters";
/// How often a job is received before it goes to the dead-letter queue.
const MAX_RECEIVES: u32 = 5;
/// How long the group waits for a worker to finish, in seconds.
const DRAIN_HEARTBEAT: i32 = 120;

impl Resources {
    /// Make everything that is not there yet.
    pub(crate) async fn create(
        config: &SdkConfig,
        telegram_token: Option<&str>,
        size: GroupSize,
    ) -> anyhow::Result<Self> {
        let bucket = "polybot-images";
        let images = aws_sdk_s3::Client::new(config);
        match images.create_bucket().bucket(bucket).send().await {
            Err(error) if is_there(error.code()) => {}
            created => {
                created.context("can't create the bucket")?;
            }
        }
        let (queue_url, dead_letter_queue_url) = queues(&aws_sdk_sqs::Client::new(config)).await?;
        let table = "polybot-predictions";
        predictions(&aws_sdk_dynamodb::Client::new(config), table).await?;
        let secret = "polybot/telegram";
        if let Some(token) = telegram_token {
            aws_sdk_secretsmanager::Client::new(config)
                .create_secret()
                .name(secret)
                .secret_string(serde_json::json!({"TELEGRAM_TOKEN": token}).to_string())
                .send()
                .await
                .context("can't create the secret")?;
        }
        let group = "polybot-workers";
        workers(&aws_sdk_autoscaling::Client::new(config), group, size).await?;
        Ok(Self {
            bucket: bucket.into(),
            queue_url,
            dead_letter_queue_url,
            table: table.into(),
            group: group.into(),
            secret: secret.into(),
        })
    }
}

/// Whether a thing could not be made because it was kept from the last time.
fn is_there(code: Option<&str>) -> bool {
    matches!(code, Some("BucketAlreadyOwnedByYou" | "BucketAlreadyExists" | "ResourceInUseException"))
}

async fn workers(client: &aws_sdk_autoscaling::Client, group: &str, size: GroupSize) -> anyhow::Result<()> {
    client
        .create_auto_scaling_group()
        .auto_scaling_group_name(group)
        .min_size(size.min)
        .max_size(size.max)
        .desired_capacity(size.desired)
        .availability_zones("us-east-1a")
        .send()
        .await
        .context("can't create the Auto Scaling group")?;
    if size.drains {
        client
            .put_lifecycle_hook()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name("drain")
            .lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING")
            .heartbeat_timeout(DRAIN_HEARTBEAT)
            .default_result("CONTINUE")
            .send()
            .await
            .context("can't create the group's lifecycle hook")?;
    }
    Ok(())
}

async fn queues(client: &aws_sdk_sqs::Client) -> anyhow::Result<(String, String)> {
    let create = async |name: &str, attributes: Vec<(QueueAttributeName, String)>| {
        let mut call = client.create_queue().queue_name(name);
        for (attribute, value) in attributes {
            call = call.attributes(attribute, value);
        }
        let created = call.send().await.with_context(|| format!("can't create the queue {name}"))?;
        created.queue_url.with_context(|| format!("the queue {name} has no address"))
    };
    let dead_letters = create(DEAD_LETTERS, vec![]).await?;
    let jobs = create(
        "polybot-jobs",
        vec![
            (QueueAttributeName::VisibilityTimeout, "60".into()),
            (QueueAttributeName::ReceiveMessageWaitTimeSeconds, "20".into()),
            (QueueAttributeName::RedrivePolicy, redrive_policy(DEAD_LETTERS, MAX_RECEIVES)),
        ],
    );
    Ok((jobs.await?, dead_letters))
}

async fn predictions(client: &aws_sdk_dynamodb::Client, table: &str) -> anyhow::Result<()> {
    let created = fleet::table::creation(client, table).send().await;
    match created {
        // With all that belongs to it: it is made when the table is.
        Err(error) if is_there(error.code()) => return Ok(()),
        created => {
            created.context("can't create the table")?;
        }
    }
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("expires_at").build()?;
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await
        .context("can't set the table's time to live")?;
    Ok(())
}

/// The record of the photo in this message. By a scan: a tool may, the services never do.
pub(crate) async fn prediction_of(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
    chat_id: i64,
    message_id: i32,
) -> anyhow::Result<Option<Prediction>> {
    let scanned = client
        .scan()
        .table_name(table)
        .filter_expression("chat_id = :chat AND message_id = :message")
        .expression_attribute_values(":chat", AttributeValue::N(chat_id.to_string()))
        .expression_attribute_values(":message", AttributeValue::N(message_id.to_string()))
        .send()
        .await
        .context("can't read the predictions")?;
    Ok(scanned.items().first().map(|item| serde_dynamo::from_item(item.clone())).transpose()?)
}
