"""`infra/take-over` from a bucket and a table that were left behind into a stack, in ministack."""

import os
import subprocess
import sys
from pathlib import Path

import emulators
import pytest
from template import INFRA, load


@pytest.fixture
def take_over(fleet, tmp_path):
    def run(*arguments):
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "TMPDIR": str(tmp_path),
                       "AWS_ACCESS_KEY_ID": emulators.ACCOUNT, "AWS_SECRET_ACCESS_KEY": "none",
                       "AWS_DEFAULT_REGION": emulators.REGION, "AWS_ENDPOINT_URL": fleet.endpoint,
                       "AWS_EC2_METADATA_DISABLED": "true"}
        return subprocess.run([INFRA / "take-over", "--stack", "fleet", *arguments], env=environment, capture_output=True,
                              text=True, timeout=120)

    return run


def test_what_a_stack_left_behind_is_taken_over_and_left_where_it_is(take_over, fleet):
    s3, dynamodb = fleet.client("s3"), fleet.client("dynamodb")
    s3.create_bucket(Bucket="left-behind")
    s3.put_object(Bucket="left-behind", Key="images/original/a.jpg", Body=b"a photo")
    schema = fleet.resolver.resource("PredictionTable")
    dynamodb.create_table(TableName="left-behind", **{key: schema[key] for key in (
        "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")})
    # More than one batch, and what each kind of value is written as.
    items = [{"prediction_id": {"S": f"left-{number}"}, "time": {"N": str(number)}, "expires_at": {"N": "4102444800"},
              "labels": {"L": [{"M": {"class": {"S": "it's \"quoted\""}}}]}} for number in range(60)]
    items[0]["undelivered"] = {"S": "done"}
    for item in items:
        dynamodb.put_item(TableName="left-behind", Item=item)
    for run in range(2):
        taken = take_over("left-behind", "left-behind")
        assert taken.returncode == 0, taken.stderr
        assert taken.stdout == "60 records and the photos of left-behind are in fleet\n"
        for item in items:
            found = dynamodb.get_item(TableName=fleet.outputs["PredictionTableName"], Key={"prediction_id": item["prediction_id"]})
            assert found["Item"] == item
        photo = s3.get_object(Bucket=fleet.outputs["ImageBucketName"], Key="images/original/a.jpg")
        assert photo["Body"].read() == b"a photo"
    assert dynamodb.scan(TableName="left-behind", Select="COUNT")["Count"] == 60


def test_a_stack_takes_nothing_over_from_itself(take_over, fleet):
    taken = take_over(fleet.outputs["ImageBucketName"], fleet.outputs["PredictionTableName"])
    assert taken.returncode == 2 and "already" in taken.stderr


def test_data_outlives_its_stack_but_not_a_first_deploy_that_failed():
    kept = {(template, name): resource["DeletionPolicy"] for template in ("polybot.yaml", "bootstrap.yaml")
            for name, resource in load(template)["Resources"].items() if resource.get("UpdateReplacePolicy") == "Retain"}
    assert kept == {("polybot.yaml", "ImageBucket"): "RetainExceptOnCreate", ("polybot.yaml", "PredictionTable"): "RetainExceptOnCreate",
                    ("bootstrap.yaml", "ArtifactBucket"): "RetainExceptOnCreate"}
