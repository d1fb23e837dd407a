"""The templates deployed to two emulators of AWS (.ci/checks/emulator.py).

Neither does it all, so the template is deployed to both, through CloudFormation's own calls, and each test reads from the
one that keeps what it asks for.

- ministack knows all but a few of the template's resources and every function in it, but makes them with few of their
  properties: no redrive, time to live, encryption, source security groups, metadata options, target tracking.
- moto keeps properties well, but knows fewer resources (MOTO_LACKS), no Fn::Cidr, and takes AWS::NoValue in a list for an
  item of it; both are worked out before.

What neither keeps is put to moto's other APIs with the properties that the template has (test_by_call.py).
"""

import base64
import ipaddress
import itertools
import json
import re
import time
from dataclasses import dataclass

from emulator import ACCOUNT, REGION, client
from template import Resolver, load, references

# What each can't make, by type or by name: left out of what is deployed there.
MINISTACK_LACKS = {
    "AWS::Logs::MetricFilter", "AWS::EC2::EIP", "AWS::EC2::NatGateway", "AWS::EC2::FlowLog", "AWS::IAM::OIDCProvider",
    # Alarms on an expression over several metrics.
    "DeadLetterAlarm", "ServerErrorsAlarm", "FailingJobsAlarm", "WorkersMissingAlarm", "PolybotsMissingAlarm",
    "AWS::Budgets::Budget",
}
MOTO_LACKS = {
    "AWS::AutoScaling::LifecycleHook", "AWS::AutoScaling::ScalingPolicy", "AWS::CertificateManager::Certificate",
    "AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter", "AWS::S3::BucketPolicy", "AWS::SecretsManager::Secret",
    "AWS::SQS::QueuePolicy", "AWS::IAM::OIDCProvider", "AWS::Budgets::Budget", "AWS::CloudFormation::WaitCondition",
    # An attribute that moto does not tell, and what asks for it.
    "TargetGroupFullName", "AWS::CloudWatch::Dashboard",
}

_DEPLOY = 60


@dataclass
class Stack:
    """A deployed template."""

    endpoint: str
    name: str
    template: dict
    outputs: dict
    physical_ids: dict
    attributes: dict
    resolver: Resolver

    def client(self, service):
        """A client of this service, where the stack is."""
        return client(self.endpoint, service)


def deployable(template_name, lacks):
    """The template without the resources that an emulator lacks, and without what names them."""
    template = load(template_name)
    resources = {name: resource for name, resource in template["Resources"].items()
                 if not lacks & {name, resource["Type"]}}
    return _without(set(template["Resources"]) - set(resources), {**template, "Resources": resources})


def deploy(endpoint, template_name, stack_name, parameters, lacks=frozenset()):
    """Create the stack, but for the resources that the emulator lacks, and wait until it is complete."""
    template = load(template_name)
    deployed = deployable(template_name, lacks)
    resources = deployed["Resources"]
    pseudo = {"AWS::StackName": stack_name, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT,
              "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
    before = Resolver(template, parameters, pseudo, {}, {})
    expected = {name for name in resources if before.exists(name)}
    if lacks is MOTO_LACKS:
        deployed["Resources"] = _worked_out(deployed["Resources"], before)
    # Attributes are known to the emulator alone; outputs bring them here.
    keys = {}
    asked_for = references([resource for name, resource in template["Resources"].items() if before.exists(name)])
    for number, (name, attribute) in enumerate(sorted(asked_for)):
        if name in expected and not lacks & {attribute}:
            keys[f"Attribute{number}"] = (name, attribute)
            deployed["Outputs"][f"Attribute{number}"] = {"Value": {"Fn::GetAtt": [name, attribute]}}
    cloudformation = client(endpoint, "cloudformation")
    cloudformation.create_stack(
        StackName=stack_name, TemplateBody=json.dumps(deployed), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()])
    deadline = time.monotonic() + _DEPLOY
    while True:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
        failed = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in events
                  if event["ResourceStatus"].endswith("FAILED")]
        raise AssertionError(f"{template_name} became {stack['StackStatus']}: {'; '.join(failed)}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    made = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    physical_ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in made
                    if "LogicalResourceId" in resource}
    # A handle is nothing that is made; moto does not list it.
    differing = {name for name in set(physical_ids) ^ expected
                 if resources[name]["Type"] != "AWS::CloudFormation::WaitConditionHandle"}
    assert not differing, f"{differing} made otherwise than the template says"
    attributes = {reference: outputs.pop(key) for key, reference in keys.items() if key in outputs}
    resolver = Resolver(template, parameters, pseudo, physical_ids, attributes)
    return Stack(endpoint, stack_name, template, outputs, physical_ids, attributes, resolver)


def launch_template(stack, name):
    """The newest version of a launch template."""
    versions = stack.client("ec2").describe_launch_template_versions(LaunchTemplateId=stack.physical_ids[name])
    version, = versions["LaunchTemplateVersions"]
    return version["LaunchTemplateData"]


def base64_text(text):
    """What a text in base64 says."""
    return base64.b64decode(text).decode()


def _worked_out(value, resolver):
    """The value without the two functions that moto does not do right: Fn::Cidr, and AWS::NoValue in a list."""
    if isinstance(value, list):
        inners = (_worked_out(inner, resolver) for inner in value)
        return [inner for inner in inners if inner != {"Ref": "AWS::NoValue"}]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        name, then, otherwise = value["Fn::If"]
        return _worked_out(then if resolver.condition(name) else otherwise, resolver)
    if "Fn::Cidr" in value:
        block, count, bits = value["Fn::Cidr"]
        subnets = ipaddress.ip_network(resolver.resolve(block)).subnets(new_prefix=32 - bits)
        return [str(subnet) for subnet in itertools.islice(subnets, count)]
    return {key: _worked_out(inner, resolver) for key, inner in value.items()}


def _without(names, value):
    """The value, with "left-out" for whatever names one of these resources."""
    if isinstance(value, list):
        return [_without(names, inner) for inner in value]
    if isinstance(value, dict):
        named = value.get("Ref") or (value.get("Fn::GetAtt") or [None])[0]
        if len(value) == 1 and isinstance(named, str) and named in names:
            return "left-out"
        without = {}
        for key, inner in value.items():
            if key == "DependsOn":
                waits_for = [name for name in ([inner] if isinstance(inner, str) else inner) if name not in names]
                if waits_for:
                    without[key] = waits_for
            elif key == "Fn::Sub":
                without[key] = ([_without_text(names, inner[0]), _without(names, inner[1])]
                                if isinstance(inner, list) else _without_text(names, inner))
            else:
                without[key] = _without(names, inner)
        return without
    return value


def _without_text(names, text):
    return re.sub(r"\$\{(\w+)(\.[\w.]+)?\}", lambda found: "left-out" if found[1] in names else found[0], text)
