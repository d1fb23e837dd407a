//! What the services find in AWS, made as `infra/` makes it.

use aws_sdk_sqs::types::QueueAttributeName;
use embedded_aws::{EmbeddedAws, redrive_policy};

pub(crate) const BUCKET: &str = "images";
/// The workers' Auto Scaling group, and the hook that holds an instance until it is drained.
pub(crate) const GROUP: &str = "workers";
pub(crate) const HOOK: &str = "drain";
pub(crate) const TABLE: &str = "predictions";
/// For how many seconds the queue hides a message that was received. SQS's time is real.
pub(crate) const VISIBILITY: u32 = 2;
/// How often a job is received before it is a dead letter.
const RECEIVES: u32 = 5;

/// Clients, and what they can't know.
pub(crate) struct Resources {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) queue_url: String,
    pub(crate) dead_letter_queue_url: String,
}

impl Resources {
    pub(crate) async fn create(aws: &EmbeddedAws) -> Self {
        let config = aws.sdk_config().await;
        let s3 = aws_sdk_s3::Client::new(&config);
        let sqs = aws_sdk_sqs::Client::new(&config);
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        s3.create_bucket().bucket(BUCKET).send().await.expect("a bucket");
        let queue = async |name: &str, attributes: &[(QueueAttributeName, String)]| {
            let mut call = sqs.create_queue().queue_name(name);
            for (attribute, value) in attributes {
                call = call.attributes(attribute.clone(), value);
            }
            call.send().await.expect("a queue").queue_url.expect("its address")
        };
        let dead_letter_queue_url = queue("dead-letters", &[]).await;
        let queue_url = queue(
            "jobs",
            &[
                (QueueAttributeName::VisibilityTimeout, VISIBILITY.to_string()),
                (QueueAttributeName::RedrivePolicy, redrive_policy("dead-letters", RECEIVES)),
            ],
        )
        .await;
        fleet::table::creation(&dynamodb, TABLE).send().await.expect("a table");
        let auto_scaling = aws_sdk_autoscaling::Client::new(&config);
        let group =
            auto_scaling.create_auto_scaling_group().auto_scaling_group_name(GROUP).availability_zones("us-east-1a");
        group.min_size(0).max_size(5).desired_capacity(1).send().await.expect("a group");
        auto_scaling
            .put_lifecycle_hook()
            .auto_scaling_group_name(GROUP)
            .lifecycle_hook_name(HOOK)
            .lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING")
            .heartbeat_timeout(300)
            .send()
            .await
            .expect("a hook");
        Self { s3, sqs, dynamodb, queue_url, dead_letter_queue_url }
    }
}
