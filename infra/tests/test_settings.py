"""What user data sets is what the services read, and nothing that they need is missing."""

import json
import re

import pytest
from repository import CONTRACT, ROOT, SERVICES, required, settings

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


def test_the_log_line_of_the_metrics_is_the_one_that_the_worker_writes(fleet):
    source = (ROOT / "yolo-worker/src/pipeline.rs").read_text()
    filters = [resource["Properties"] for resource in fleet.template["Resources"].values()
               if resource["Type"] == "AWS::Logs::MetricFilter"]
    counted = [properties for properties in filters if properties["MetricTransformations"][0]["MetricValue"] == "1"]
    # The boot's line is the user data's own (test_boot.py).
    of_boots = [properties for properties in filters if re.search(r'"booted"|"boot_failed"|aws.autoscaling', properties["FilterPattern"])]
    counted = [properties for properties in counted if properties not in of_boots]
    filters = [properties for properties in filters if properties not in counted + of_boots]
    assert (len(filters), len(counted), len(of_boots)) == (6, 4, 8)
    events = {event["name"] for event in CONTRACT["events"]}
    for properties in counted:
        event, = re.findall(r'\$\.event = "([^"]+)"', properties["FilterPattern"])
        assert event in events, event
    line = re.search(r'fleet::log!\(JOB_FINISHED, ([^;]*)"job finished"\);', source)
    for properties in filters:
        assert '$.event = "job_finished"' in properties["FilterPattern"]
        value = properties["MetricTransformations"][0]["MetricValue"]
        if value.startswith("$.span."):
            field = value.removeprefix("$.span.")
            assert f"{field} = Empty" in source and f'Stage::start("{field.removesuffix("_ms")}")' in source, value
        else:
            assert re.search(rf"\b{value.removeprefix('$.')} = ", line[1]), value


# As tracing-subscriber writes it with fleet/src/telemetry.rs's settings.
LINE = """{"timestamp":"2026-11-23T03:53:47.543825Z","level":"INFO","event":"job_finished","message":"job finished","outcome":"done",
"duration_ms":224,"target":"yolo_worker::pipeline","span":{"call_back_ms":31,"chat_id":5,"detect_ms":150,"fetch_ms":12,
"prediction_id":"019ab000-0000-7000-8000-000000000000","store_ms":20,"wait_ms":0,"name":"job"},"spans":[]}"""


def test_the_metrics_find_numbers_in_such_a_line(fleet):
    for resource in fleet.template["Resources"].values():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            found = json.loads(LINE)
            value = resource["Properties"]["MetricTransformations"][0]["MetricValue"]
            if '"booted"' in resource["Properties"]["FilterPattern"]:
                continue
            for key in value.split(".")[1:]:
                found = found[key]
            assert value == "1" or isinstance(found, int)
    source = (ROOT / "fleet/src/telemetry.rs").read_text()
    assert ".json().flatten_event(true)" in source, "the line has another shape now; so have the filters' paths"
