"""The template of one machine: what it repeats of the large one is the same, and its machine runs all three services."""

import json
import re

import emulators
import pytest
from alarm_state import states
from repository import CONTRACT, SERVICES, required, settings
from template import load
from test_alarms import BEFORE, HOUR, WELL, each
from test_boot import boot, environment, last_line, unit  # noqa: F401 (boot is a fixture)
from test_by_call import numbers
from test_iam import ACTIONS, IN_FUNCTIONS, MACHINE_ACTIONS, UNBOUND, actions, as_list

LARGE, SMALL = load("polybot.yaml"), load("mini.yaml")
# What the small one has of its own, or otherwise.
OWN = {"SecurityGroup", "Role", "Profile", "Template", "Group"}
OTHERWISE = {"PublicSubnetA", "PublicSubnetB", "S3Endpoint", "DynamoDbEndpoint", "NoMetricAlarm", "PolybotsMissingAlarm"}


def test_what_it_repeats_is_the_same():
    assert SMALL["Mappings"] == LARGE["Mappings"]
    repeated = set(SMALL["Resources"]) - OWN - OTHERWISE
    assert len(repeated) > 25
    for name in repeated:
        assert SMALL["Resources"][name] == LARGE["Resources"][name], name
    for name in set(SMALL["Parameters"]) & set(LARGE["Parameters"]) - {"MachineImageId", "VpcCidr"}:
        assert SMALL["Parameters"][name] == LARGE["Parameters"][name], name
    # Data that the large one takes over has to be left behind by the small one.
    assert {name for name, resource in SMALL["Resources"].items() if resource.get("DeletionPolicy") == "RetainExceptOnCreate"} == {
        "ImageBucket", "PredictionTable"}
    for name, declaration in SMALL["Parameters"].items():
        assert len(declaration["Description"]) > 20


def test_it_wants_neither_a_name_nor_a_certificate_nor_a_load_balancer(mini):
    assert {name for name, declaration in SMALL["Parameters"].items() if "Default" not in declaration} == {
        "TelegramToken", "ImageTag", "MachineImageId"}
    types = {resource["Type"] for resource in SMALL["Resources"].values()}
    assert not [name for name in types if re.search("ElasticLoadBalancing|CertificateManager|Route53|NatGateway", name)]
    assert mini.client("elbv2").describe_load_balancers()["LoadBalancers"] is not None


def test_nobody_connects_to_the_machine(moto_mini):
    group, = moto_mini.client("ec2").describe_security_groups(GroupIds=[moto_mini.physical_ids["SecurityGroup"]])["SecurityGroups"]
    assert group["IpPermissions"] == []
    # From the template: moto lets everything out of a group that lets nothing in.
    assert [rule["ToPort"] for rule in moto_mini.resolver.resource("SecurityGroup")["SecurityGroupEgress"]] == [443]
    data = emulators.launch_template(moto_mini, "Template")
    assert data["MetadataOptions"]["HttpTokens"] == "required" and int(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == 1
    assert str(data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]).lower() == "true"


def test_there_is_one_machine_that_is_replaced_old_one_first(mini):
    """Two that ask Telegram for updates would take them from one another."""
    group, = mini.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["mini-machine"])["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == (1, 1) and len(group["VPCZoneIdentifier"].split(",")) == 2
    preferences = SMALL["Resources"]["Group"]["UpdatePolicy"]["AutoScalingInstanceRefresh"]["Preferences"]
    assert (preferences["MinHealthyPercentage"], preferences["MaxHealthyPercentage"]) == (0, 100)
    hooks = {hook["LifecycleHookName"]: hook for hook in SMALL["Resources"]["Group"]["Properties"]["LifecycleHookSpecificationList"]}
    assert hooks["boot"] == LARGE["Resources"]["WorkerGroup"]["Properties"]["LifecycleHookSpecificationList"][0]
    large = LARGE["Resources"]["DrainHook"]["Properties"]
    assert hooks["drain"] == {key: large[key] for key in ("LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult")}


def test_the_machine_runs_all_three_services(boot, mini):  # noqa: F811
    machine = boot(mini, "Template")
    assert machine.status == 0, machine.output
    for service, port in zip(SERVICES, (8443, 8081, 9090)):
        assert f"systemctl enable --now {service}" in machine.calls
        assert [call for call in machine.calls if call.startswith("curl") and f":{port}/healthz" in call]
        given = environment(machine, service)
        assert required(service) <= set(given) <= set(settings(service))
        assert all(value and "${" not in value for value in given.values())
        assert f"awslogs-group=/polybot/mini/{service}" in unit(machine, service)
    polybot, worker = environment(machine, "polybot"), environment(machine, "yolo-worker")
    # It asks Telegram, and the worker finds it next door.
    assert "TELEGRAM_APP_URL" not in polybot and worker["POLYBOT_RESULTS_URL"] == "http://127.0.0.1:8443/results"
    assert polybot["RESULTS_SECRET"] == worker["RESULTS_SECRET"] == "a s$cret"
    for name in ("BUCKET_NAME", "SQS_QUEUE_URL", "DYNAMODB_TABLE"):
        assert polybot[name] == worker[name]
    assert machine.calls[-1] == "cfn-signal --exit-code 0 --region us-east-1 --stack mini --resource Group"
    assert last_line(machine)[1]["event"] == "booted"
    assert "123456:" not in emulators.base64_text(emulators.launch_template(mini, "Template")["UserData"])


def test_what_crashes_again_and_again_ends_the_machine_only_if_it_is_the_worker(boot, mini):  # noqa: F811
    machine = boot(mini, "Template")
    assert ["OnFailure=crashed.service" in unit(machine, service) for service in SERVICES] == [False, True, False]


def test_a_telegram_outage_at_boot_leaves_nothing_unstarted(boot, mini):  # noqa: F811
    machine = boot(mini, "Template", '"curl "*":8443/healthz"')
    for service in ("polybot", "yolo-worker", "metric-streamer"):
        assert f"systemctl enable --now {service}" in machine.calls
    assert not [call for call in machine.calls if call.startswith("shutdown")]


def test_a_boot_that_fails_ends_the_machine(boot, mini):  # noqa: F811
    machine = boot(mini, "Template", '"docker pull"*')
    assert machine.status != 0 and machine.calls[-1] == "shutdown -P +1"


def test_its_role_allows_what_the_services_and_the_user_data_do_and_nothing_else(mini):
    iam = mini.client("iam")
    allowed = {}
    for name in iam.list_role_policies(RoleName=mini.physical_ids["Role"])["PolicyNames"]:
        document = iam.get_role_policy(RoleName=mini.physical_ids["Role"], PolicyName=name)["PolicyDocument"]
        allowed[name] = (json.loads(document) if isinstance(document, str) else document)["Statement"]
    assert set(allowed) == {*SERVICES, "machine"}
    for service in SERVICES:
        needed = {action for call in CONTRACT["services"][service]["aws_calls"] for action in ACTIONS.get(call, {call})}
        assert actions(allowed[service]) == needed, service
    script = emulators.base64_text(emulators.launch_template(mini, "Template")["UserData"])
    assert actions(allowed["machine"]) == {action for pattern, taken in MACHINE_ACTIONS.items() if re.search(pattern, script, re.M)
                                           for action in taken}
    for line in script.splitlines():
        if re.search(r"\baws \w", line) and not line.lstrip().startswith("#"):
            assert any(re.search(pattern, line) for pattern in [*MACHINE_ACTIONS, *IN_FUNCTIONS]), line
    for statements in allowed.values():
        for statement in statements:
            if "*" in as_list(statement["Resource"]):
                assert set(as_list(statement["Action"])) <= UNBOUND
    assert len(script.encode()) < 16384


@pytest.mark.parametrize("name, failure", [
    ("OldestMessageAlarm", {"ApproximateAgeOfOldestMessage": each(2, BEFORE, 20) | each(400, 20)}),
    ("FailingJobsAlarm", {"JobsFinished": WELL["JobsFinished"] | each(0, 20), "JobsRetried": each(0, BEFORE, 20) | each(1, 20)}),
    ("UndeliverableAlarm", {"Undeliverable": {20: [1]}}),
    ("DeadLetterAlarm", {"NumberOfMessagesReceived": {20: [1]}}),
    ("NoMetricAlarm", {"WorkerDemand": {minute: [0, 0] for minute in range(BEFORE, 20)}}),
    ("PolybotsMissingAlarm", {"GroupInServiceInstances": each(2, BEFORE, 20) | each(0, 20)}),
    ("PolybotBootsAlarm", {"PolybotBootsFailed": {20: [1], 26: [1]}})])
def test_its_alarms_are_raised_by_their_failures(mini, name, failure):
    assert name in {alarm for alarm, resource in SMALL["Resources"].items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    alarm = numbers(mini.resolver.resource(name))
    assert "ALARM" in states(alarm, WELL | failure, HOUR) and "ALARM" not in states(alarm, WELL, HOUR)
