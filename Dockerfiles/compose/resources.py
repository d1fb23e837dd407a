"""Make in the emulator what infra/ makes in an AWS account. Run by compose.yaml before the services; runs again harmlessly."""

import json
import os

import boto3
from botocore.exceptions import ClientError

BUCKET = "polybot-images"
QUEUE = "polybot-jobs"
DEAD_LETTER_QUEUE = "polybot-dead-letters"
TABLE = "polybot-predictions"
GROUP = "polybot-workers"
# Any image that the emulator has: nothing is ever started from it.
WORKER_AMI = "ami-12c6146b"


def unless_there(call, *codes, **arguments):
    """Call; that the thing exists already is as good."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise
        return None


def bucket() -> None:
    unless_there(boto3.client("s3").create_bucket, "BucketAlreadyOwnedByYou", Bucket=BUCKET)


def queues() -> None:
    sqs = boto3.client("sqs")
    dead_letters = sqs.create_queue(QueueName=DEAD_LETTER_QUEUE)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": attributes["QueueArn"], "maxReceiveCount": 5}
    sqs.create_queue(
        QueueName=QUEUE,
        Attributes={
            "VisibilityTimeout": "60",
            "ReceiveMessageWaitTimeSeconds": "20",
            "RedrivePolicy": json.dumps(redrive),
        },
    )


def table() -> None:
    dynamodb = boto3.client("dynamodb")
    unless_there(
        dynamodb.create_table,
        "ResourceInUseException",
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "prediction_id", "AttributeType": "S"},
            {"AttributeName": "undelivered", "AttributeType": "S"},
            {"AttributeName": "time", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "prediction_id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "undelivered-index",
                "KeySchema": [
                    {"AttributeName": "undelivered", "KeyType": "HASH"},
                    {"AttributeName": "time", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE)
    expiry = {"Enabled": True, "AttributeName": "expires_at"}
    unless_there(
        dynamodb.update_time_to_live, "ValidationException", TableName=TABLE, TimeToLiveSpecification=expiry
    )


def group(workers: int) -> None:
    """The group that metric-streamer counts. Compose starts the workers; the emulator only says how many there are."""
    auto_scaling = boto3.client("autoscaling")
    unless_there(
        auto_scaling.create_launch_configuration,
        "AlreadyExists",
        LaunchConfigurationName=GROUP,
        ImageId=WORKER_AMI,
        InstanceType="t3.micro",
    )
    if not auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]:
        auto_scaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchConfigurationName=GROUP,
            MinSize=0,
            MaxSize=max(workers, 4),
            DesiredCapacity=workers,
            AvailabilityZones=["us-east-1a"],
        )


if __name__ == "__main__":
    bucket()
    queues()
    table()
    group(int(os.environ.get("WORKERS", "2")))
    print("the bucket, the queues, the table and the group are there", flush=True)
