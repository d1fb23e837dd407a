"""What user data sets is what the services read, and nothing that they need is missing."""

import re

import pytest
from repository import CONTRACT, SERVICES, required, settings

# The AWS SDK's own, which no service declares.
SDK = {"AWS_CONFIG_FILE"}


def given(script):
    """By service, what the script's settings and secrets set."""
    found = {}
    for service, lines in re.findall(r"^\s*settings ([\w-]+) <<END\n(.*?)^\s*END$", script, re.M | re.S):
        for line in lines.splitlines():
            name, _, value = line.strip().partition("=")
            found.setdefault(service, {})[name] = value
    for service, name in re.findall(r"^\s*secret ([\w-]+) ([A-Z_]+) \S+$", script, re.M):
        found.setdefault(service, {})[name] = "secret"
    return found


@pytest.fixture(scope="session")
def all_given(fleet, other_fleet, user_data):
    """Of each service in each stack: what it is given."""
    found = {}
    for stack in (fleet, other_fleet):
        for template in ("PolybotTemplate", "WorkerTemplate", "StreamerTemplate"):
            if template in stack.physical_ids:
                for service, given_settings in given(user_data(stack, template)).items():
                    found[stack.name, service] = given_settings
    return found


def test_every_service_is_started_in_both_stacks(all_given):
    assert set(all_given) == {(stack, service) for stack in ("fleet", "other") for service in SERVICES}


def test_every_setting_that_is_given_is_one_of_the_service(all_given):
    for (stack, service), given_settings in all_given.items():
        unknown = set(given_settings) - set(settings(service)) - SDK
        assert not unknown, f"{stack}: {service} has no setting {unknown}; see infra/polybot.yaml"


def test_every_setting_that_is_needed_is_given(all_given):
    for (stack, service), given_settings in all_given.items():
        missing = required(service) - set(given_settings)
        assert not missing, f"{stack}: {service} needs {missing}; give them in infra/polybot.yaml"


def test_none_is_empty_or_left_unresolved(all_given):
    for given_settings in all_given.values():
        for name, value in given_settings.items():
            assert value and "${" not in value, name


def test_settings_name_what_the_stack_made(fleet, other_fleet, all_given):
    polybot, worker = all_given["fleet", "polybot"], all_given["fleet", "yolo-worker"]
    assert polybot["SQS_QUEUE_URL"] == worker["SQS_QUEUE_URL"] == fleet.outputs["JobQueueUrl"]
    assert polybot["DEAD_LETTER_QUEUE_URL"] == fleet.outputs["DeadLetterQueueUrl"]
    assert polybot["BUCKET_NAME"] == worker["BUCKET_NAME"] == fleet.outputs["ImageBucketName"]
    assert polybot["DYNAMODB_TABLE"] == worker["DYNAMODB_TABLE"] == fleet.outputs["PredictionTableName"]
    assert polybot["TELEGRAM_APP_URL"] == "https://bot.example.com/"
    assert polybot["TELEGRAM_SECRET_ID"] == fleet.physical_ids["TelegramSecret"]
    internal, = fleet.client("elbv2").describe_load_balancers(
        LoadBalancerArns=[fleet.physical_ids["InternalLoadBalancer"]])["LoadBalancers"]
    assert worker["POLYBOT_RESULTS_URL"] == f"http://{internal['DNSName']}/results"
    for stack in (fleet, other_fleet):
        group = stack.outputs["WorkerGroupName"]
        assert all_given[stack.name, "yolo-worker"]["ASG_NAME"] == group
        assert all_given[stack.name, "metric-streamer"]["ASG_NAME"] == group
        table = stack.outputs["PredictionTableName"]
        assert all_given[stack.name, "metric-streamer"]["DYNAMODB_TABLE"] == all_given[stack.name, "yolo-worker"]["DYNAMODB_TABLE"] == table
    names = ("INTERVAL", "PROMISE", "IDLE_BEFORE_ZERO")
    assert [all_given["fleet", "metric-streamer"][name] for name in names] == ["10", "10", "900"]
    assert [all_given["other", "metric-streamer"][name] for name in names] == ["5", "8", "600"]


def test_the_hook_and_the_visibility_timeout_are_those_of_the_group_and_the_queue(fleet, moto_fleet, all_given):
    worker = all_given["fleet", "yolo-worker"]
    hook, = [hook for hook in fleet.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="fleet-workers")["LifecycleHooks"]
             if hook["LifecycleHookName"] != "boot"]
    assert worker["LIFECYCLE_HOOK"] == hook["LifecycleHookName"]
    queue = moto_fleet.client("sqs").get_queue_attributes(QueueUrl=moto_fleet.outputs["JobQueueUrl"],
                                                          AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert worker["VISIBILITY_TIMEOUT"] == queue["VisibilityTimeout"]


def test_parameters_reach_the_worker(all_given):
    assert "MODEL" not in all_given["fleet", "yolo-worker"]
    assert all_given["other", "yolo-worker"]["MODEL"] == "/var/lib/polybot/model.onnx"
    assert all_given["fleet", "yolo-worker"]["SCALE_IN_PROTECTION"] == "false"
    assert all_given["other", "yolo-worker"]["SCALE_IN_PROTECTION"] == "true"
    for fleet, precision, rectangular in [("fleet", "f32", "false"), ("other", "bf16", "true")]:
        assert all_given[fleet, "yolo-worker"]["PRECISION"] == precision
        assert all_given[fleet, "yolo-worker"]["RECTANGULAR"] == rectangular


def test_a_self_signed_certificate_is_shown_to_telegram(all_given):
    assert "TELEGRAM_CERTIFICATE" not in all_given["fleet", "polybot"]
    assert all_given["other", "polybot"]["TELEGRAM_CERTIFICATE"] == "/var/lib/polybot/certificate.pem"


def test_the_metric_is_the_one_that_metric_streamer_publishes(fleet):
    published = {metric["name"]: metric for metric in CONTRACT["cloudwatch"]["metrics"]}
    for name in ("DemandPolicy", "BacklogPolicy"):
        query, = fleet.template["Resources"][name]["Properties"]["TargetTrackingConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
        metric = query["MetricStat"]["Metric"]
        assert metric["Namespace"] == CONTRACT["cloudwatch"]["namespace"]
        # To the second: its alarms have periods of ten.
        assert published[metric["MetricName"]]["resolution"] == 1
        assert {dimension["Name"] for dimension in metric["Dimensions"]} == set(CONTRACT["cloudwatch"]["dimensions"])


def test_metrics_are_made_of_what_is_logged(fleet):
    events = {event["name"] for event in CONTRACT["events"]}
    counted, taken = [], []
    for resource in fleet.template["Resources"].values():
        if resource["Type"] != "AWS::Logs::MetricFilter":
            continue
        pattern = resource["Properties"]["FilterPattern"]
        # The boot's line is the user data's own (test_boot.py).
        if re.search(r'"booted"|"boot_failed"|aws.autoscaling', pattern):
            continue
        event, = re.findall(r'\$\.event = "([^"]+)"', pattern)
        assert event in events, event
        value = resource["Properties"]["MetricTransformations"][0]["MetricValue"]
        if value == "1":
            counted.append(event)
            continue
        found = CONTRACT["lines"][event]
        for key in value.removeprefix("$.").split("."):
            found = found[key]
        assert found == "number", value
        taken.append(value)
    assert (len(counted), len(taken)) == (4, 6)
