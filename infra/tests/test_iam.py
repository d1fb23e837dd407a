"""Each service's role allows just the calls that its code makes, and its machine those of its user data."""

import json
import re

import pytest
from emulators import ACCOUNT
from repository import CONTRACT

ROLES = {"polybot": "PolybotRole", "yolo-worker": "WorkerRole", "metric-streamer": "StreamerRole"}

# What an operation takes where that is not the action of the same name.
ACTIONS = {
    # Without ListBucket S3 answers 403 for an object that is not there, and the code could not tell.
    "s3:GetObject": {"s3:GetObject", "s3:ListBucket"},
    "s3:HeadObject": {"s3:GetObject", "s3:ListBucket"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "sqs:SendMessageBatch": {"sqs:SendMessage"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "sqs:StartMessageMoveTask": {"sqs:StartMessageMoveTask", "sqs:ReceiveMessage", "sqs:DeleteMessage",
                                 "sqs:GetQueueAttributes", "sqs:SendMessage"},
}

# What a line of user data takes, by what is in the line.
MACHINE_ACTIONS = {
    r"^\s*aws ecr get-login-password\b": {"ecr:GetAuthorizationToken"},
    r"^\s*again docker pull\b": {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
    r"--log-driver awslogs\b": {"logs:CreateLogStream", "logs:PutLogEvents"},
    r"^\s*secret [\w-]+ [A-Z_]+ \S+$": {"secretsmanager:GetSecretValue"},
    r"^\s*again aws acm get-certificate\b": {"acm:GetCertificate"},
    r"^\s*model [\w.-]+/\S+$": {"s3:GetObject"},
    r"^\s*aws logs (create-log-stream|put-log-events)\b": {"logs:CreateLogStream", "logs:PutLogEvents"},
    r"^\s*role_arn = ": {"sts:AssumeRole"},
    r"^\s*aws autoscaling complete-lifecycle-action\b": {"autoscaling:CompleteLifecycleAction"},
}
# Taken by the functions `secret` and `model`, whose calls count above.
IN_FUNCTIONS = {r"^\s*again aws s3 cp\b", r"^\s*value=\$\(again aws secretsmanager get-secret-value\b"}

# AWS lets these be bound to no resource. https://docs.aws.amazon.com/service-authorization/latest/reference/
UNBOUND = {"autoscaling:DescribeAutoScalingGroups", "cloudwatch:PutMetricData", "ecr:GetAuthorizationToken"}


def policies(stack, role):
    """By name, the statements of the role's inline policies."""
    iam, name = stack.client("iam"), stack.physical_ids[role]
    found = {}
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        document = json.loads(document) if isinstance(document, str) else document
        found[policy] = [statement for statement in document["Statement"] if statement]
    # Nothing else gives it rights but PolybotLendsToStreamer and ShellPolicy.
    assert "ManagedPolicyArns" not in stack.template["Resources"][role]["Properties"]
    return found


def as_list(value):
    return [value] if isinstance(value, str) else value


def actions(statements):
    return {action for statement in statements for action in as_list(statement["Action"])}


@pytest.mark.parametrize("service", ROLES)
def test_the_role_allows_what_the_service_calls_and_nothing_else(fleet, service):
    """What it calls is what the in-process tests saw it call (polybot/tests/in_process/aws_calls.rs)."""
    calls = CONTRACT["services"][service]["aws_calls"]
    needed = {action for call in calls for action in ACTIONS.get(call, {call})}
    allowed = actions(policies(fleet, ROLES[service])["code"])
    assert needed <= allowed, f"{service} calls {needed - allowed}: add it to the policy `code` of {ROLES[service]} in infra/polybot.yaml"
    assert allowed <= needed, f"{ROLES[service]} in infra/polybot.yaml allows {allowed - needed}, but {service} does not call it"


def test_machines_may_do_what_their_user_data_does(fleet, other_fleet, user_data):
    for stack in (fleet, other_fleet):
        for template, role in (("PolybotTemplate", "PolybotRole"), ("WorkerTemplate", "WorkerRole"),
                               ("StreamerTemplate", "StreamerRole")):
            if template not in stack.physical_ids:
                continue
            script = user_data(stack, template)
            needed = {action for pattern, taken in MACHINE_ACTIONS.items() if re.search(pattern, script, re.M)
                      for action in taken}
            allowed = {action for name, statements in policies(stack, role).items() if name != "code"
                       for action in actions(statements)}
            if role == "PolybotRole" and "PolybotLendsToStreamer" in stack.physical_ids:
                # A policy of its own, because two roles name each other.
                allowed |= {"sts:AssumeRole"}
            assert needed == allowed, f"{stack.name}: {template} needs {needed}, {role} allows {allowed}"


def test_every_use_of_aws_in_user_data_is_accounted_for(fleet, other_fleet, user_data):
    """A line that asks AWS for something new has to be added to MACHINE_ACTIONS."""
    for stack in (fleet, other_fleet):
        for template in ("PolybotTemplate", "WorkerTemplate", "StreamerTemplate"):
            if template in stack.physical_ids:
                for line in user_data(stack, template).splitlines():
                    if re.search(r"\baws \w", line) and not line.lstrip().startswith("#"):
                        assert any(re.search(pattern, line) for pattern in [*MACHINE_ACTIONS, *IN_FUNCTIONS]), line


def test_a_shell_takes_the_agents_channels_and_nothing_more(fleet, other_fleet):
    assert "ShellPolicy" not in fleet.physical_ids
    policy = other_fleet.resolver.resource("ShellPolicy")
    assert policy["Roles"] == [other_fleet.physical_ids[role] for role in ROLES.values()]
    assert actions(policy["PolicyDocument"]["Statement"]) == {"ssm:UpdateInstanceInformation"} | {
        f"ssmmessages:{what}{kind}Channel" for what in ("Create", "Open") for kind in ("Control", "Data")}
    assert "ShellPolicy" in other_fleet.physical_ids


def test_nothing_is_allowed_on_everything(fleet, other_fleet):
    for stack in (fleet, other_fleet):
        for role in ROLES.values():
            for statements in policies(stack, role).values():
                for statement in statements:
                    assert statement["Effect"] == "Allow"
                    if "*" in as_list(statement["Resource"]):
                        assert set(as_list(statement["Action"])) <= UNBOUND
                    assert not any("*" in action for action in as_list(statement["Action"]))


def test_a_machine_speaks_for_its_own_group_alone(fleet, other_fleet):
    for stack, role, group in ((fleet, "PolybotRole", "PolybotGroup"), (fleet, "WorkerRole", "WorkerGroup"),
                               (other_fleet, "StreamerRole", "StreamerGroup")):
        statement, = [statement for statement in policies(stack, role)["machine"]
                      if "autoscaling:CompleteLifecycleAction" in as_list(statement["Action"])]
        assert statement["Resource"].endswith(f":autoScalingGroupName/{stack.physical_ids[group]}")


def test_each_resource_is_one_that_the_stack_made(fleet):
    """A policy that names a thing by its ARN names one that is there."""
    known = [value for (_, attribute), value in fleet.attributes.items() if attribute == "Arn"]
    # What Ref gives; an ARN in AWS where a policy has it.
    known += fleet.physical_ids.values()
    for role in ROLES.values():
        for statements in policies(fleet, role).values():
            for statement in statements:
                for resource in as_list(statement["Resource"]):
                    if resource != "*" and not re.match(r"arn:aws:(ecr|autoscaling):", resource):
                        assert any(resource.startswith(arn) for arn in known), f"{role}: {resource}"


def test_metrics_are_published_under_one_name_alone(fleet):
    statement, = [statement for statement in policies(fleet, "StreamerRole")["code"]
                  if "cloudwatch:PutMetricData" in as_list(statement["Action"])]
    assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "Polybot"}}


def test_only_polybots_machine_takes_the_role_of_the_metric_streamer_beside_it(fleet, other_fleet):
    def principal(stack, role):
        document = stack.client("iam").get_role(RoleName=stack.physical_ids[role])["Role"]["AssumeRolePolicyDocument"]
        statement, = document["Statement"]
        return statement["Principal"]

    polybot = fleet.client("iam").get_role(RoleName=fleet.physical_ids["PolybotRole"])["Role"]["Arn"]
    assert principal(fleet, "StreamerRole") == {"AWS": polybot}
    assert principal(other_fleet, "StreamerRole") == {"Service": "ec2.amazonaws.com"}


def test_the_flow_logs_role_is_for_this_accounts_delivery_alone(fleet):
    """From the template: ministack makes no flow logs."""
    role = fleet.resolver.resolve(fleet.template["Resources"]["FlowLogRole"]["Properties"]["AssumeRolePolicyDocument"])
    statement, = role["Statement"]
    assert statement["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    # https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html; the stack makes the group itself.
    policy, = fleet.template["Resources"]["FlowLogRole"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    assert actions(statements) == {"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:DescribeLogGroups"}
    assert [as_list(statement["Action"]) for statement in statements if statement["Resource"] == "*"] == [["logs:DescribeLogGroups"]]


def resources(stack, role, action):
    """What the code's policy allows the action on."""
    return {resource for statement in policies(stack, role)["code"] if action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])}


def test_polybot_feeds_one_queue_and_empties_the_other(fleet):
    """The contract does not say which queue a call is about."""
    jobs, dead_letters = fleet.attributes["JobQueue", "Arn"], fleet.attributes["DeadLetterQueue", "Arn"]
    assert resources(fleet, "PolybotRole", "sqs:SendMessage") == {jobs}
    assert resources(fleet, "PolybotRole", "sqs:ReceiveMessage") == {dead_letters}
    assert resources(fleet, "PolybotRole", "sqs:DeleteMessage") == {dead_letters}
    for action in ("sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"):
        assert resources(fleet, "WorkerRole", action) == {jobs}


def test_photos_are_written_and_read_where_the_code_keeps_them(fleet):
    bucket = fleet.attributes["ImageBucket", "Arn"]
    prefixes = CONTRACT["images"]
    # Photos that many jobs name lie below the others, so the same right covers them.
    assert prefixes["shared"].startswith(prefixes["originals"])
    originals, predicted = f"{bucket}/{prefixes['originals']}*", f"{bucket}/{prefixes['predicted']}*"
    assert resources(fleet, "PolybotRole", "s3:PutObject") == {originals}
    assert resources(fleet, "PolybotRole", "s3:GetObject") == {predicted}
    assert resources(fleet, "WorkerRole", "s3:GetObject") == {originals}
    assert resources(fleet, "WorkerRole", "s3:PutObject") == {predicted}
