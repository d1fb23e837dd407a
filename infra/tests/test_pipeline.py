"""The pipeline's role allows what the workflows call, for the one stack that they deploy."""

import re

from botocore.session import get_session
from template import ROOT

# What `docker push` and `docker pull` ask a registry for.
REGISTRY = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload",
            "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"}
# Commands that are no operation of the same name; sts:GetCallerIdentity is everyone's.
COMMANDS = {("s3", "cp"): {"s3:PutObject"}, ("sts", "get-caller-identity"): set(),
            ("ecr", "get-login-password"): {"ecr:GetAuthorizationToken"},
            ("cloudformation", "wait"): {"cloudformation:DescribeChangeSet", "cloudformation:DescribeStacks"}}


def commands():
    """(service, command) of each call of the AWS command line in the workflows and their scripts."""
    found = set()
    for file in sorted((ROOT / ".github").rglob("*")):
        if file.is_file():
            for line in file.read_text().splitlines():
                if not line.lstrip().startswith("#"):
                    found |= set(re.findall(r"\baws ([a-z0-9]+) ([a-z0-9-]+)", line))
    return found


def statements(bootstrap):
    # From the template: moto gives back roles' own policies as no JSON.
    role = bootstrap.template["Resources"]["PipelineRole"]["Properties"]
    policies = bootstrap.resolver.resolve(role["Policies"])
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def pipeline_actions(bootstrap):
    actions = (statement["Action"] for statement in statements(bootstrap))
    return {action for some in actions for action in ([some] if isinstance(some, str) else some)}


def test_the_workflows_may_do_what_they_do(bootstrap):
    allowed, called = pipeline_actions(bootstrap), commands()
    if (ROOT / ".github/workflows/deploy.yaml").exists():
        assert called, "no calls were found in .github; has their form changed?"
    for service, command in called:
        own = "".join(part.capitalize() for part in command.split("-"))
        needed = COMMANDS.get((service, command))
        if needed is None:
            assert own in get_session().get_service_model(service).operation_names, f"aws {service} {command}?"
            needed = {f"{service}:{own}"}
        assert needed <= allowed, f"`aws {service} {command}` in .github needs {needed - allowed}: infra/bootstrap.yaml"
    assert REGISTRY <= allowed


def test_the_pipeline_hands_its_power_to_cloudformation_alone(bootstrap):
    assert not any("*" in action for action in pipeline_actions(bootstrap))
    statement, = [statement for statement in statements(bootstrap) if statement["Action"] == "iam:PassRole"]
    assert statement["Resource"] == bootstrap.attributes["DeployRole", "Arn"]
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


def test_a_session_is_as_long_as_the_parameter_says(bootstrap, bootstrap_with_numbers):
    for stack, seconds in ((bootstrap, 3600), (bootstrap_with_numbers, 14400)):
        role = stack.client("iam").get_role(RoleName=stack.physical_ids["PipelineRole"])["Role"]
        assert role["MaxSessionDuration"] == seconds
